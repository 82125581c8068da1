"""Why a hosting server cannot do what it is asked, and what an operator does about it."""

from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

HOSTING = Causes(
    {
        "username_taken": Meaning(
            CauseKind.CONFLICT,
            "Place the order again with another username, or remove the account that holds this one.",
        ),
        "domain_taken": Meaning(
            CauseKind.CONFLICT,
            "Another account of this server has the domain. Remove its entry in `vhosts` if that account is gone,"
            " or place the order again with another domain.",
        ),
        "server_root_missing": Meaning(
            CauseKind.CONFIGURATION,
            "Create the server's root directory, or mount it, or correct `root` in the server's settings.",
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
            "Start the database server and see that its socket or host and port are those in the server's settings."
            " It is tried again by itself.",
        ),
        "db_auth": Meaning(
            CauseKind.CONFIGURATION,
            "The database server does not know us: correct the administrator's name and password in the server's"
            " settings, or let that user connect from this machine.",
        ),
        "db_denied": Meaning(
            CauseKind.CONFIGURATION,
            "Give the database administrator in the server's settings CREATE, DROP, CREATE USER and ALL PRIVILEGES"
            " WITH GRANT OPTION.",
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
