"""Causes of failures on hosting servers, and what an operator does about them."""

from datetime import datetime

from foundation.causes import Causes, Meaning
from foundation.clock import exact
from schemas.values import Cause, CauseKind

HOSTING_CAUSES = Causes(
    {
        "server_busy": Meaning(
            CauseKind.CAPACITY,
            "Nothing to do: it begins when other work on this server ends. `servers.<name>.concurrency` says how many"
            " installs, and how many accounts, may be worked on at a time.",
        ),
        "server_failing": Meaning(
            CauseKind.TRANSIENT,
            "Fix what the detail says. `sitecrew server list` shows how the server stands, and `sitecrew server resume`"
            " lets its installs and accounts begin at once.",
        ),
        "server_paused": Meaning(
            CauseKind.TRANSIENT,
            "Nothing to do, or end the pause at once with `sitecrew server resume`.",
        ),
        "username_taken": Meaning(
            CauseKind.CONFLICT,
            "Another account or system user already has this name. Remove it if nobody needs it.",
        ),
        "domain_taken": Meaning(
            CauseKind.CONFLICT,
            "Another account of this server has the domain. Remove its entry in `vhosts` if that account is gone,"
            " or place the order again with another domain.",
        ),
        "server_root_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Create the server's root directory, or mount it, or correct `servers.<name>.root`.",
            blames_server=True,
        ),
        "server_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Run the service as a user with permission for this (root, if `linux_users` is on), and make sure that the"
            " named program and group exist.",
        ),
        "disk_full": Meaning(
            CauseKind.CAPACITY,
            "Free space or inodes on the server's disk, or raise the quota, then retry.",
            blames_server=True,
        ),
        "disk_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Mount the disk writable and run the service as the owner of the server's root directory.",
            blames_server=True,
        ),
        "db_down": Meaning(
            CauseKind.TRANSIENT,
            "Start the database server named in the detail, and make sure that this machine can reach it; if its"
            " address is wrong, correct `socket`, `host` and `port` in `servers.<name>.databases`.",
            blames_server=True,
        ),
        "db_busy": Meaning(
            CauseKind.TRANSIENT,
            "The database server accepts no more connections: raise its `max_connections`, or the limit of the account"
            " named in the detail (`max_user_connections`, MAX_CONNECTIONS_PER_HOUR).",
            blames_server=True,
        ),
        "db_auth": Meaning(
            CauseKind.CONFIGURATION,
            "The database server rejects Sitecrew's own user: correct `username` and `password` in"
            " `servers.<name>.databases`, or allow that user to connect from this machine.",
            blames_server=True,
        ),
        "db_blocked": Meaning(
            CauseKind.CONFIGURATION,
            "The database server accepts no connections from this machine: create a user for its address"
            " (CREATE USER ...@'address'), and run FLUSH HOSTS if it was blocked after errors.",
            blames_server=True,
        ),
        "db_site_refused": Meaning(
            CauseKind.CONFIGURATION,
            "Sitecrew's own user works, but the user created for the site was rejected. Set"
            " `servers.<name>.databases.user_host` to the host (or pattern) from which the database server sees the web"
            " server connect, and remove anonymous users (DROP USER ''@'localhost'), which take precedence.",
        ),
        "db_tls": Meaning(
            CauseKind.CONFIGURATION,
            "The connection to the database server must be encrypted, but could not be. Set"
            " `servers.<name>.databases.tls` to `require`, or to `verify` with `ca_file`; with `verify`, PHP trusts"
            " its `openssl.cafile` or the machine's CAs. If the server has no certificate, give it one.",
            blames_server=True,
        ),
        "db_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Grant the user in `servers.<name>.databases.username` CREATE, DROP, CREATE USER and ALL PRIVILEGES"
            " WITH GRANT OPTION.",
            blames_server=True,
        ),
        "db_policy": Meaning(
            CauseKind.CONFIGURATION,
            "The database server's password policy rejects a random password of 24 characters with lower and upper"
            " case, digits and symbols: relax it (`simple_password_check_*`, `validate_password.*`).",
        ),
        "db_name": Meaning(
            CauseKind.CONFIGURATION,
            "The database server does not accept a name as long as the one in the detail (MySQL before 5.7: 16"
            " characters for a user): upgrade the server.",
        ),
        "db_read_only": Meaning(
            CauseKind.TRANSIENT,
            "The database server accepts no writes: turn off its `read_only`, or set `servers.<name>.databases` to the"
            " primary server instead of a replica.",
            blames_server=True,
        ),
        "db_full": Meaning(
            CauseKind.CAPACITY,
            "Free space on the database server's disk, then retry.",
            blames_server=True,
        ),
        "db_error": Meaning(
            CauseKind.PERMANENT,
            "Look the number up in MariaDB's list of error codes, and read the database server's error log.",
        ),
    }
)
"""Every cause that this package raises, by its code."""

failed = HOSTING_CAUSES.failed


def busy(server: str, number: int, work: str) -> Cause:
    """Return why something waits for a server that has as much of this work as it may."""
    return HOSTING_CAUSES.cause("server_busy", f"{number} {work} on {server}, as many as may at a time")


def paused(server: str, until: datetime | None, reason: str | None, by: str | None = None) -> Cause:
    """Return why something waits for a server that staff have paused."""
    ends = f", until {exact(until)}" if until else ""
    detail = f"{server} is paused{f' by {by}' if by else ''}{ends}{f': {reason}' if reason else ''}"
    return HOSTING_CAUSES.cause("server_paused", detail)


def failing(server: str, failures: int | None, last: Cause | None) -> Cause:
    """Return why something waits for a server that has failed again and again; None: nobody says how often."""
    often = "several times" if failures is None else f"{failures} times"
    told = f"; the last time {last.code}: {last.detail}" if last else ""
    return HOSTING_CAUSES.cause("server_failing", f"{server} has failed {often} in a row{told}")
