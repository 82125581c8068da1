"""The hosting server: its web server and the sites' databases, gone for a while, or silent."""

from sitecrew.stack.servers.mariadb import PrivateMariaDB
from tests.chaos.fault import Fault, Options, one
from tests.chaos.faults.servers import Server, killed, restarted, stands_still
from tests.chaos.system import System

_ANY_WEB = one("web server")


def _database(system: System) -> PrivateMariaDB:
    assert system.database
    return system.database


def _web(system: System) -> Server:
    return system.web


def _has_databases(options: Options) -> str:
    return "" if options.site == "wordpress" else "needs --site wordpress"


_DATABASE_STILL = stands_still(lambda system: _database(system).pid)
FAULTS = (
    Fault("web server killed", "hosting", (0.5, 8), _ANY_WEB, killed(_web)),
    Fault("web server stands still", "hosting", (2, 15), _ANY_WEB, stands_still(lambda system: system.web.child.pid)),
    Fault("sites' database killed", "hosting", (0.5, 8), one("MariaDB"), killed(_database), _has_databases),
    Fault("sites' database restarted", "hosting", (0.5, 8), one("MariaDB"), restarted(_database), _has_databases),
    Fault("sites' database stands still", "hosting", (2, 15), one("MariaDB"), _DATABASE_STILL, _has_databases),
)
