"""Why a hosting server cannot do what it is asked, and what an operator does about it."""

from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

HOSTING = Causes(
    {
        "username_taken": Meaning(
            CauseKind.CONFLICT,
            "Another account, or a user of the machine, has this name. Remove it if nobody needs it.",
        ),
        "domain_taken": Meaning(
            CauseKind.CONFLICT,
            "Another account of this server has the domain. Remove its entry in `vhosts` if that account is gone,"
            " or place the order again with another domain.",
        ),
        "server_root_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Create the server's root directory, or mount it, or correct `servers.<name>.root`.",
        ),
        "server_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Run the service as a user who may do this (root, if `linux_users` is on) and see that the named"
            " program and group exist.",
        ),
        "disk_full": Meaning(
            CauseKind.CAPACITY,
            "Free space or inodes on the server's disk, or raise the quota, then retry.",
        ),
        "disk_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Mount the disk writable and run the service as the owner of the server's root directory.",
        ),
        "db_down": Meaning(
            CauseKind.TRANSIENT,
            "Start the database server named in the detail, and see that it can be reached there from this machine;"
            " if that is the wrong place, correct `socket`, `host` and `port` in `servers.<name>.databases`.",
        ),
        "db_busy": Meaning(
            CauseKind.TRANSIENT,
            "The database server takes no more connections: raise its `max_connections`, or the limit of the account"
            " named in the detail (`max_user_connections`, MAX_CONNECTIONS_PER_HOUR).",
        ),
        "db_auth": Meaning(
            CauseKind.CONFIGURATION,
            "The database server does not let Sitecrew's own user in: correct `username` and `password` in"
            " `servers.<name>.databases`, or allow that user to connect from this machine.",
        ),
        "db_blocked": Meaning(
            CauseKind.CONFIGURATION,
            "The database server takes no connections from this machine: allow its address in the server's users"
            " (CREATE USER ...@'address'), and run FLUSH HOSTS if it was blocked after errors.",
        ),
        "db_site_refused": Meaning(
            CauseKind.CONFIGURATION,
            "Sitecrew's own user is right; the user made for the site was refused. Set"
            " `servers.<name>.databases.user_host` to the host (or pattern) that the database server sees the web"
            " server come from, and remove anonymous users (DROP USER ''@'localhost'), which come before it.",
        ),
        "db_tls": Meaning(
            CauseKind.CONFIGURATION,
            "The connection to the database server must be encrypted, and could not be. Set"
            " `servers.<name>.databases.tls` to `require`, or to `verify` with `ca_file`; with `verify`, PHP trusts"
            " what its `openssl.cafile` names or the machine trusts. If the server has no certificate, give it one.",
        ),
        "db_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Give the user in `servers.<name>.databases.username` CREATE, DROP, CREATE USER and ALL PRIVILEGES"
            " WITH GRANT OPTION.",
        ),
        "db_policy": Meaning(
            CauseKind.CONFIGURATION,
            "The database server's password policy refuses a random password of 24 letters with small and capital"
            " letters, digits and symbols: ask for less there (`simple_password_check_*`, `validate_password.*`).",
        ),
        "db_name": Meaning(
            CauseKind.CONFIGURATION,
            "The database server does not take a name as long as the one in the detail (MySQL before 5.7: 16 letters"
            " for a user): update the server.",
        ),
        "db_read_only": Meaning(
            CauseKind.TRANSIENT,
            "The database server takes no changes: end its `read_only`, or name the primary server in"
            " `servers.<name>.databases` in place of a replica.",
        ),
        "db_full": Meaning(
            CauseKind.CAPACITY,
            "Free space on the database server's disk, then retry.",
        ),
        "db_error": Meaning(
            CauseKind.PERMANENT,
            "Look the number up in MariaDB's list of error codes, and read the database server's error log.",
        ),
    }
)
"""Every cause that this package raises, by its code."""

failed = HOSTING.failed
