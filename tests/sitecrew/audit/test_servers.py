"""The audit of a hosting server: each thing on it that does not agree with the rows is named, and nothing else."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting import Database
from foundation.hosting.local import LocalServer
from schemas.orders import OrderReinstallRequested
from schemas.values import CauseKind
from services.installer.sites.docroot.markers import Journal, SiteMarker, write_journal, write_site
from services.installer.sites.docroot.runs import Run
from sitecrew.audit import Stores
from sitecrew.audit.servers import CannotBeAsked, ServerAudit
from sitecrew.audit.violations import GROUPS
from tests.support.house import FakeServer, House, failure

pytestmark = pytest.mark.usefixtures("quiet")

LATER = timedelta(hours=2)


@dataclass
class DatabasesInMemory:
    known: set[str] = field(default_factory=lambda: {"mysql", "somebodys_g1", "sitecrewimage6928f9c1a_g1f1"})
    their_users: set[str] = field(default_factory=lambda: {"root"})

    def create(self, name: str) -> Database:
        self.known.add(name)
        self.their_users.add(name)
        return Database("localhost", name, name, "x")

    def drop(self, name: str) -> None:
        self.known.discard(name)

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.known if name.startswith(prefix))

    def users(self) -> list[str]:
        return sorted(self.their_users)


@dataclass
class Hosting:
    """A house, and a server on which everything stands that its rows tell of."""

    house: House
    server: LocalServer
    databases: DatabasesInMemory

    def home(self, number: int) -> Path:
        return self.server.home(self.username(number))

    def username(self, number: int) -> str:
        return next(name for name, one in self.house.server.accounts.items() if one.marker == f"order-{number}")

    def found(self, later: timedelta = LATER, *, leaves_markers: bool = True) -> set[str]:
        stores = Stores(self.house.intake.store, self.house.installing.store, self.house.mailer.store)
        now, grace = self.house.clock.now() + later, timedelta(minutes=1)
        audit = ServerAudit(self.server, stores, lambda _type: leaves_markers, now, grace)
        return {f"{one.code} {one.subject}" for one in audit.run()}


@pytest.fixture
def hosting(tmp_path: Path) -> Hosting:
    """Two orders with sites, of which one was installed twice, one that failed, and one that waits."""
    house = House(tmp_path)
    house.order(1)
    house.order(2)
    house.settle()
    house.tick()
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    house.installer.failures = [failure("broken", CauseKind.PERMANENT)]
    house.order(3)
    house.settle()
    house.tick()
    house.order(4)
    house.settle()
    databases = DatabasesInMemory()
    (tmp_path / "root" / "accounts").mkdir(parents=True)
    server = LocalServer(
        name="local", root=tmp_path / "root", address="127.0.0.1", web_address="127.0.0.1:80", databases=databases
    )
    hosting = Hosting(house, server, databases)
    for request in house.server.accounts.values():
        server.create_account(request)
    for number, run in ((1, Run(2, 1)), (2, Run(1, 1))):
        database = databases.create(run.database(hosting.username(number))).name
        marker = SiteMarker(f"order-{number}-g{run.generation}", run, "WordPress", "6.1", "http://x", database=database)
        write_site(hosting.home(number) / "private", marker)
        write_journal(hosting.home(number) / "private", Journal(marker.install_id, run))
    return hosting


def test_what_stands_there_as_the_rows_say_is_sound(hosting: Hosting) -> None:
    assert hosting.found() == set()


def _tree(hosting: Hosting, name: str, number: int = 2) -> Path:
    tree = hosting.home(number) / name
    tree.mkdir()
    old = hosting.house.clock.now().timestamp()
    os.utime(tree, (old, old))
    return tree


def _marked(hosting: Hosting, number: int, install_id: str) -> None:
    write_site(hosting.home(number) / "private", SiteMarker(install_id, Run(1, 1), "WordPress", "6.1", "http://x"))


def _an_account_without_an_order(hosting: Hosting) -> str:
    shutil.copytree(hosting.home(3), hosting.server.home("stranger"))
    return "account_without_order stranger"


def _an_order_without_an_account(hosting: Hosting) -> str:
    shutil.rmtree(hosting.home(3))
    return "account_missing order-3"


def _an_account_of_another_order(hosting: Hosting) -> str:
    shutil.rmtree(hosting.home(3))
    shutil.copytree(hosting.home(4), hosting.home(3))
    return "account_of_another order-3"


def _a_draft(hosting: Hosting) -> str:
    draft = hosting.server.root / "accounts" / ".gone.0123"
    draft.mkdir()
    os.utime(draft, (0, 0))
    return "draft_abandoned .gone.0123"


def _a_site_that_is_gone(hosting: Hosting) -> str:
    (hosting.home(2) / "private" / "site.json").unlink()
    database = Run(1, 1).database(hosting.username(2))
    return f"site_differs {hosting.username(2)}, database_left {database}"


def _the_site_of_an_older_install(hosting: Hosting) -> str:
    _marked(hosting, 1, "order-1-g1")
    database = Run(2, 1).database(hosting.username(1))
    return f"site_differs {hosting.username(1)}, database_left {database}"


def _a_site_that_was_never_recorded(hosting: Hosting) -> str:
    _marked(hosting, 3, "order-3-g1")
    return f"site_differs {hosting.username(3)}"


def _an_exchange_that_was_not_finished(hosting: Hosting) -> str:
    write_journal(hosting.home(2) / "private", Journal("order-2-g1", Run(1, 1), swapping=5))
    return f"site_differs {hosting.username(2)}"


def _a_staged_tree(hosting: Hosting) -> str:
    return f"tree_left {_tree(hosting, '.stage-g1-f3')}"


def _a_tree_in_the_trash(hosting: Hosting) -> str:
    return f"tree_left {_tree(hosting, '.trash-0123')}"


def _a_database_that_is_gone(hosting: Hosting) -> str:
    hosting.databases.known.discard(Run(1, 1).database(hosting.username(2)))
    hosting.databases.their_users.discard(Run(1, 1).database(hosting.username(2)))
    return f"database_missing {hosting.username(2)}"


def _a_database_of_a_failed_install(hosting: Hosting) -> str:
    return f"database_left {hosting.databases.create(Run(1, 1).database(hosting.username(3))).name}"


def _a_database_of_an_account_that_is_not_there(hosting: Hosting) -> str:
    return f"database_left {hosting.databases.create('nobody_g1f1').name}"


def _the_user_of_a_database_that_is_gone(hosting: Hosting) -> str:
    hosting.databases.their_users.add("gone_g1f1")
    return "database_user_left gone_g1f1"


BREAKS: list[Callable[[Hosting], str]] = [
    _an_account_without_an_order,
    _an_order_without_an_account,
    _an_account_of_another_order,
    _a_draft,
    _a_site_that_is_gone,
    _the_site_of_an_older_install,
    _a_site_that_was_never_recorded,
    _an_exchange_that_was_not_finished,
    _a_staged_tree,
    _a_tree_in_the_trash,
    _a_database_that_is_gone,
    _a_database_of_a_failed_install,
    _a_database_of_an_account_that_is_not_there,
    _the_user_of_a_database_that_is_gone,
]


@pytest.mark.parametrize("breaks", BREAKS, ids=lambda breaks: breaks.__name__)
def test_what_does_not_agree_is_named_and_nothing_else(hosting: Hosting, breaks: Callable[[Hosting], str]) -> None:
    expected = set(breaks(hosting).split(", "))
    assert hosting.found() == expected


def test_every_code_about_servers_is_shown_to_be_found() -> None:
    text = Path(__file__).read_text()
    assert [code for code in GROUPS["Hosting servers (with `--servers`)"] if f'"{code} ' not in text] == []


def test_where_a_run_may_be_at_work_nothing_is_looked_at(hosting: Hosting) -> None:
    _tree(hosting, ".stage-g1-f1", 4)
    hosting.databases.create(Run(1, 1).database(hosting.username(4)))
    assert hosting.found() == set(), "its install waits for its next attempt"
    _a_site_that_is_gone(hosting)
    assert hosting.found(timedelta(seconds=30)) == set(), "it was installed just now"


def test_a_plug_ins_site_need_not_have_a_marker(hosting: Hosting) -> None:
    (hosting.home(2) / "private" / "site.json").unlink()
    hosting.databases.known.discard(Run(1, 1).database(hosting.username(2)))
    hosting.databases.their_users.discard(Run(1, 1).database(hosting.username(2)))
    assert hosting.found(leaves_markers=False) == set()


def test_a_server_that_cannot_be_read_or_asked_says_so(hosting: Hosting) -> None:
    shutil.rmtree(hosting.server.root)
    with pytest.raises(Failed, match="server_root_missing"):
        hosting.found()
    assert not hosting.server.root.exists(), "an audit creates nothing"
    hosting.server = FakeServer()  # type: ignore[assignment]
    with pytest.raises(CannotBeAsked):
        hosting.found()
