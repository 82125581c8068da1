"""The audit of the services' databases: nothing is wrong with a house of orders at every stop and end, and each thing
that is broken in it is named, and nothing else. On SQLite and on PostgreSQL, in a language that does not sort text as
programs do."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import bindparam, text

from foundation.store import Store, Utc, outbox
from foundation.store.outbox import OutboxMessage
from foundation.store.types import metadata
from services.installer.service import MIGRATIONS as INSTALLER
from services.mailer.service import MIGRATIONS as MAILER
from services.order_intake import auditing as order_intake
from services.order_intake.service import MIGRATIONS as ORDER_INTAKE
from sitecrew.audit import Audit, Stores, Violation
from sitecrew.audit.violations import CODES
from tests.support.full_house import a_full_house
from tests.support.house import START, close_houses

pytestmark = pytest.mark.usefixtures("quiet")

SERVICES = {
    "order_intake": (ORDER_INTAKE, "orders"),
    "installer": (INSTALLER, "installs"),
    "mailer": (MAILER, "mails"),
}
"""How each service's database is made, and the table that is looked at in it beside its outbox."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """The databases of a full house, and its time."""
    house = a_full_house(tmp_path_factory.mktemp("full"))
    close_houses()
    return house.directory, house.clock.moment


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """Databases of each kind."""
    with ExitStack() as opened:
        stores = {}
        for name, (migrations, _) in SERVICES.items():
            sqlite = f"sqlite:///{tmp_path_factory.mktemp('made')}/{name}.db"
            url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres").database("de")
            stores[name] = Store(url)
            opened.callback(stores[name].close)
            stores[name].migrate([migrations])
        yield Stores(**stores)


@pytest.fixture
def stores(full: tuple[Path, datetime], made: Stores) -> Stores:
    """Databases of each kind, with what the full house's hold."""
    for name, (_, table) in SERVICES.items():
        source = Store.existing(f"sqlite:///{full[0]}/{name}.db", read_only=True)
        with source.reading() as there, getattr(made, name).transaction() as here:
            for copied in (metadata.tables[table], outbox.outbox):
                here.execute(copied.delete())
                if rows := [row._asdict() for row in there.execute(copied.select())]:
                    here.execute(copied.insert(), rows)
        source.close()
    return made


@pytest.fixture
def found(full: tuple[Path, datetime], stores: Stores) -> Callable[[], list[Violation]]:
    """What the audit finds when nothing is on its way."""
    return lambda: list(Audit(stores, lambda: full[1], grace=timedelta(0), pause=0).run())


def run(store: Store, *statements: str, at: datetime = START) -> None:
    with store.transaction() as connection:
        for statement in statements:
            made = text(statement)
            terms = [bindparam("at", at, Utc)] if ":at" in statement else []
            assert connection.execute(made.bindparams(*terms)).rowcount, statement


def test_a_house_of_all_ends_and_stops_is_clean(found: Callable[[], list[Violation]]) -> None:
    assert found() == []


BROKEN = [
    # an order by itself
    ("order_intake", "UPDATE orders SET account = NULL WHERE order_id = 'order-4'", "order_without_account order-4"),
    ("order_intake", "UPDATE orders SET cause = NULL WHERE order_id = 'order-2'", "order_without_reason order-2"),
    (
        "order_intake",
        "UPDATE orders SET cancel_reason = NULL WHERE order_id = 'order-3'",
        "order_without_reason order-3",
    ),
    ("order_intake", "UPDATE orders SET check_at = NULL WHERE order_id = 'order-11'", "order_abandoned order-11"),
    ("order_intake", "UPDATE orders SET check_at = :at WHERE order_id = 'order-11'", "order_overdue order-11"),
    ("order_intake", "UPDATE orders SET holds_domain = true WHERE order_id = 'order-3'", "domain_kept order-3"),
    (
        "order_intake",
        "UPDATE orders SET generation = 0, install_state = 'none' WHERE order_id = 'order-10'",
        "order_without_install order-10, install_without_order order-10-g1",
    ),
    # an install by itself
    (
        "installer",
        "UPDATE installs SET completed = NULL WHERE order_id = 'order-4'",
        "install_without_outcome order-4-g1",
    ),
    ("installer", "UPDATE installs SET cause = NULL WHERE order_id = 'order-5'", "install_without_outcome order-5-g1"),
    ("installer", "UPDATE installs SET check_at = NULL WHERE order_id = 'order-8'", "install_abandoned order-8-g1"),
    ("installer", "UPDATE installs SET check_at = :at WHERE order_id = 'order-8'", "install_overdue order-8-g1"),
    # a letter by itself
    ("mailer", "UPDATE mails SET cause = NULL WHERE order_id = 'order-6'", "letter_without_outcome order-6-g1"),
    ("mailer", "UPDATE mails SET message_id = NULL WHERE order_id = 'order-9'", "letter_without_outcome order-9-g1"),
    ("mailer", "UPDATE mails SET check_at = NULL WHERE order_id = 'order-7'", "letter_abandoned order-7-g1"),
    ("mailer", "UPDATE mails SET check_at = :at WHERE order_id = 'order-7'", "letter_overdue order-7-g1"),
    # what order intake and the installer say
    ("order_intake", "DELETE FROM orders WHERE order_id = 'order-4'", "install_without_order order-4-g1"),
    (
        "order_intake",
        "UPDATE orders SET generation = 1 WHERE order_id = 'order-1'",
        "install_without_order order-1-g2",
    ),
    ("installer", "DELETE FROM installs WHERE order_id = 'order-5'", "install_missing order-5"),
    ("installer", "DELETE FROM installs WHERE order_id = 'order-3'", "install_missing order-3"),
    (
        "installer",
        "DELETE FROM installs WHERE order_id = 'order-4'",
        "install_missing order-4, site_without_install order-4, letter_without_install order-4-g1",
    ),
    (
        "order_intake",
        "UPDATE orders SET install_state = 'staged', has_site = false WHERE order_id = 'order-4'",
        "install_unheard order-4-g1",
    ),
    (
        "order_intake",
        "UPDATE orders SET install_state = 'failed' WHERE order_id = 'order-9'",
        "install_unheard order-9-g2",
    ),
    ("order_intake", "UPDATE orders SET has_site = false WHERE order_id = 'order-9'", "install_unheard order-9-g1"),
    ("order_intake", "UPDATE orders SET has_site = true WHERE order_id = 'order-5'", "site_without_install order-5"),
    # the generations
    (
        "installer",
        "UPDATE installs SET order_id = 'order-4', generation = 1 WHERE install_id = 'order-5-g1'",
        "install_doubled order-4, install_missing order-5",
    ),
    (
        "installer",
        "UPDATE installs SET state = 'installing' WHERE order_id = 'order-1'",
        "*installs_side_by_side order-1-g1",
    ),
    (
        "installer",
        "UPDATE installs SET replaced = 2 WHERE install_id = 'order-1-g1'",
        "generations_reversed order-1-g1",
    ),
    # what the installer and the mailer say
    ("mailer", "DELETE FROM mails WHERE order_id = 'order-9'", "letter_missing order-9-g1"),
    ("mailer", "DELETE FROM mails WHERE order_id = 'order-6'", "letter_missing order-6-g1"),
    ("installer", "UPDATE installs SET mail_state = 'waiting' WHERE order_id = 'order-9'", "letter_unheard order-9-g1"),
    ("installer", "UPDATE installs SET mail_state = 'failed' WHERE order_id = 'order-9'", "letter_unheard order-9-g1"),
    (
        "mailer",
        "UPDATE mails SET order_id = 'order-5', install_id = 'order-5-g1' WHERE order_id = 'order-4'",
        "letter_without_install order-5-g1",
    ),
    (
        "mailer",
        "UPDATE mails SET order_id = 'order-9', install_id = 'order-9-g1-twice' WHERE order_id = 'order-4'",
        "letter_doubled order-9, letter_without_install order-9-g1-twice",
    ),
]


@pytest.mark.parametrize(("service", "statement", "expected"), BROKEN, ids=[expected for *_, expected in BROKEN])
def test_what_is_broken_is_named_and_nothing_else(
    full: tuple[Path, datetime],
    stores: Stores,
    found: Callable[[], list[Violation]],
    service: str,
    statement: str,
    expected: str,
) -> None:
    run(getattr(stores, service), statement, at=full[1] - timedelta(hours=1))
    seen = {f"{one.code} {one.subject}" for one in found()}
    if expected.startswith("*"):  # among others, which follow from it
        assert expected[1:] in seen
    else:
        assert seen == set(expected.split(", "))


def test_a_letter_that_nobody_asks_for_any_more_is_missing(
    full: tuple[Path, datetime], stores: Stores, found: Callable[[], list[Violation]]
) -> None:
    run(stores.mailer, "DELETE FROM mails WHERE order_id = 'order-9'")
    run(stores.installer, "UPDATE installs SET mail_state = 'waiting' WHERE order_id = 'order-9'")
    assert [(one.code, one.subject) for one in found()] == [("letter_missing", "order-9-g1")]
    later = "UPDATE installs SET check_at = :at WHERE install_id = 'order-9-g1'"
    run(stores.installer, later, at=full[1] + timedelta(hours=1))
    assert found() == []  # the installer publishes `install.completed` again


def test_an_install_that_order_intake_announces_again_is_not_missing(
    stores: Stores, found: Callable[[], list[Violation]]
) -> None:
    run(stores.installer, "DELETE FROM installs WHERE order_id = 'order-10'")
    assert found() == []
    run(stores.order_intake, "UPDATE orders SET check_at = NULL WHERE order_id = 'order-10'")
    assert [(one.code, one.subject) for one in found()] == [("install_missing", "order-10")]


def test_every_code_about_orders_installs_and_letters_is_shown_to_be_found() -> None:
    shown = {word.strip("*") for *_, expected in BROKEN for word in expected.replace(",", "").split()}
    assert {code for code in CODES if code.startswith(("order_", "install", "letter_", "generations_"))} <= shown


def test_what_has_just_happened_may_be_on_its_way(full: tuple[Path, datetime], stores: Stores) -> None:
    run(stores.installer, "DELETE FROM installs WHERE order_id = 'order-5'")

    def codes(seconds: float) -> list[str]:
        return [one.code for one in Audit(stores, lambda: full[1] + timedelta(seconds=seconds), pause=0).run()]

    assert codes(59) == []
    assert codes(61) == ["install_missing"]


def test_what_has_mended_itself_by_the_second_look_was_no_violation(
    full: tuple[Path, datetime], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "UPDATE orders SET install_state = 'staged' WHERE order_id IN ('order-4', 'order-6')"
    run(stores.order_intake, broken)
    mended = "UPDATE orders SET install_state = 'installed' WHERE order_id = 'order-4'"
    monkeypatch.setattr("sitecrew.audit.auditing.sleep", lambda _seconds: run(stores.order_intake, mended))
    found = Audit(stores, lambda: full[1] + timedelta(minutes=2), pause=3).run()
    assert [(one.code, one.subject) for one in found] == [("install_unheard", "order-6-g1")]


def test_a_message_that_is_due_and_was_not_published_for_a_minute_is_stuck(stores: Stores) -> None:
    now = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    late, far, fresh = now - timedelta(seconds=70), now + timedelta(days=20), now - timedelta(seconds=50)
    with stores.installer.transaction() as connection:
        rows = [
            outbox_message("install.started", late),
            outbox_message("install.started", late),
            outbox_message("install.staged", late, due_at=far),
            outbox_message("install.completed", fresh),
        ]
        outbox.add(connection, rows, now + timedelta(seconds=50))
    found = [one for one in Audit(stores, lambda: now, pause=0).run() if one.code == "outbox_stuck"]
    assert [(one.subject, one.detail) for one in found] == [
        ("installer", "2 of install.started for events, the oldest of 2026-01-01T12:28:50Z")
    ]


def test_accounts_come_in_the_order_in_which_servers_list_theirs(stores: Stores) -> None:
    run(stores.order_intake, "UPDATE orders SET username = 'ab' WHERE order_id = 'order-4'")
    run(stores.order_intake, "UPDATE orders SET username = 'a-c' WHERE order_id = 'order-9'")
    with stores.order_intake.reading() as connection:
        names = [account.username for account in order_intake.accounts(connection, "local")]
    assert names == sorted(names)
    assert names[:2] == ["a-c", "ab"]


def outbox_message(type: str, written_at: datetime, due_at: datetime | None = None) -> OutboxMessage:
    id = f"{int(written_at.timestamp() * 1000):012x}7{uuid4().hex[13:]}"
    return OutboxMessage("events", type, "m", type, "", "application/json", b"{}", due_at, id=id)
