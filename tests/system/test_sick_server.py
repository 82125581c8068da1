"""One of two hosting servers has its database stopped while fifty WordPress installs of each wait: the other's go on as
if nothing were, and its own are installed once it is back, with attempts left.

A minute and a half stands for ten: pauses between attempts, and those in which a failing server is left alone, are a
tenth of the defaults.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text

import sitecrew.stack.web
from foundation.errors import StoreUnreachable
from schemas.installs import TimerPause, TimerResume
from sitecrew.stack.own_settings import HOST
from sitecrew.stack.ports import free_port
from sitecrew.stack.servers.mariadb import PrivateMariaDB
from sitecrew.stack.servers.php import PhpWeb
from tests.chaos.customers import Customers, placed
from tests.chaos.fault import Options
from tests.chaos.system import System
from tests.chaos.verdict import audited
from tests.support.brokers import GIVEN, IMAGE, until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.endurance,
    pytest.mark.skipif(bool(GIVEN or IMAGE), reason="it runs a RabbitMQ of its own, from this machine's package"),
]

EACH = 50
_STOPPED = 90.0
_PATIENCE = 300.0
_OPTIONS = Options(site="wordpress")
_ATTEMPTS = 5
"""Used up before the database is back, if each failure were an attempt."""
_TENTH = {
    "installer.max_attempts": _ATTEMPTS,
    "installer.retry_first_seconds": 6,
    "installer.retry_longest_seconds": 30,
}


@dataclass(frozen=True)
class Two:
    """A system with two hosting servers, `local` and `sick`."""

    system: System
    customers: Customers
    database: PrivateMariaDB
    """That of the sick one."""

    def place(self, server: str, numbers: range) -> None:
        """Have orders placed, and wait until all of their installs are staged."""
        for number in numbers:
            self.customers.command(placed(number, _OPTIONS).model_copy(update={"server": server}))
        until(lambda: self.count(server, "state = 'staged'") == len(numbers), _PATIENCE)

    def is_paused(self) -> bool:
        """Whether the installers are up, and the timer does nothing."""
        try:
            return bool(self._ask("SELECT count(*) FROM timers WHERE paused_since IS NOT NULL"))
        except StoreUnreachable:
            return False

    def count(self, server: str, where: str = "mail_state = 'sent'") -> int:
        """How many installs of a server are so: by default, those whose letter is out."""
        return int(self._ask(f"SELECT count(*) FROM installs WHERE server = '{server}' AND {where}"))

    def most_attempts(self, server: str) -> int:
        return int(self._ask(f"SELECT max(attempt) FROM installs WHERE server = '{server}'"))

    def _ask(self, query: str) -> Any:
        with self.system.store("installer") as store, store.reading() as connection:
            return connection.execute(text(query)).scalar_one()


@contextmanager
def two_servers(directory: Path) -> Iterator[Two]:
    """Bring up a system with two hosting servers, whose timer is paused."""
    root, port = directory / "sick", free_port()
    root.mkdir()
    router = Path(sitecrew.stack.web.__file__).with_name("router.php")
    with ExitStack() as opened:
        database = opened.enter_context(PrivateMariaDB(directory / "sick-mariadb"))
        opened.enter_context(PhpWeb(root, HOST, port, router, log=directory / "sick-web.log"))
        settings = {
            "default_server": "local",
            "servers.sick.root": str(root),
            "servers.sick.address": HOST,
            "servers.sick.web_address": f"{HOST}:{port}",
            "servers.sick.public_port": port,
            "servers.sick.databases.socket": str(database.socket),
            "servers.sick.databases.username": database.admin_user,
        }
        system = System(directory / "system", _OPTIONS, pytest.fail, settings | _TENTH)
        opened.enter_context(system.up())
        customers = opened.enter_context(Customers(system))
        customers.command(TimerPause())
        two = Two(system, customers, database)
        until(two.is_paused, _PATIENCE)
        yield two


def test_a_stopped_database_costs_other_servers_nothing_and_its_own_installs_no_attempts(tmp_path: Path) -> None:
    """Some two minutes of processor time."""
    with two_servers(tmp_path) as two:
        two.place("sick", range(EACH))
        two.place("local", range(EACH, 2 * EACH))
        two.database.kill()
        began = monotonic()
        two.customers.command(TimerResume())
        until(lambda: two.count("local") == EACH, _PATIENCE)  # while the other's database is stopped
        Event().wait(max(0.0, began + _STOPPED - monotonic()))
        assert two.count("sick", "state = 'installed'") == 0
        two.database.start()
        until(lambda: two.count("sick") == EACH, _PATIENCE)
        assert two.most_attempts("sick") < _ATTEMPTS
        assert list(audited(two.system)) == []
