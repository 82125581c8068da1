"""The services' databases, brought up to date and moved, on both kinds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from foundation.errors import StoreUnreachable
from foundation.store import Store, outbox
from foundation.store.copy import copy, tables_of
from foundation.store.outbox import OutboxMessage
from schemas.values import CauseKind
from services.installer.installs import installs
from services.mailer.service import MIGRATIONS
from tests.support.cli import Ran, settings_file, sitecrew
from tests.support.house import House, failure


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """Its installer has installed, failed and waiting installs, an inbox, and a filled outbox."""
    house = House(tmp_path)
    for number in range(3):
        house.order(number)
    house.settle()
    house.installer.failures = [failure("disk_full", CauseKind.CAPACITY)]
    house.tick()
    house.order(4)
    house.settle()
    with house.installing.store.transaction() as connection:
        outbox.add(
            connection,
            [OutboxMessage("events", "x", "m1", "t", "", "application/json", b"\x00\xff")],
            house.clock.now(),
        )
    for service in house.services:
        service.store.close()
    yield house
    house.batch.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/elsewhere.db"
    return str(request.getfixturevalue("postgres").database())


def copied(source: object, target: str, *more: str) -> Ran:
    return sitecrew("store", "copy", "--from", str(source), "--to", target, *more)


def content(url: str) -> dict[str, list[Any]]:
    store = Store(url)
    with store.reading() as connection:
        rows = {t.name: sorted(map(repr, connection.execute(select(t)))) for t in tables_of(store)}
    store.close()
    return rows


@pytest.mark.parametrize("service", ["order_intake", "installer", "mailer"])
def test_every_row_arrives_as_it_was(house: House, elsewhere: str, service: str) -> None:
    source = f"sqlite:///{house.directory / service}.db"
    ran = copied(source, elsewhere, "--json")
    assert ran.exit_code == 0
    before = content(source)
    assert content(elsewhere) == before
    assert ran.json == {table: len(rows) for table, rows in before.items()}
    assert f"set {service}.store_url to the new URL" in ran.stderr


def test_it_can_be_moved_back_and_goes_on_counting(house: House, elsewhere: str, tmp_path: Path) -> None:
    copied(f"sqlite:///{house.directory}/installer.db", elsewhere)
    assert copied(elsewhere, f"sqlite:///{tmp_path}/back.db").exit_code == 0
    for url in (elsewhere, f"sqlite:///{tmp_path}/back.db"):
        store = Store(url)
        with store.transaction() as connection:
            last = max(connection.execute(select(outbox.outbox.c.id)).scalars())
            added = OutboxMessage("events", "x", "m2", "t", "", "", b"")
            outbox.add(connection, [added], house.clock.now())
        assert added.id > last
        store.close()


def test_a_database_that_has_rows_is_not_written_to(house: House, elsewhere: str) -> None:
    source = f"sqlite:///{house.directory}/installer.db"
    copied(source, elsewhere)
    before = content(elsewhere)
    ran = copied(source, elsewhere)
    assert ran.exit_code == 6
    assert "use an empty database" in ran.stderr
    assert content(elsewhere) == before


def test_nobody_writes_to_the_source_meanwhile(
    house: House, elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(f"sqlite:///{house.directory}/mailer.db", elsewhere)
    monkeypatch.setattr("foundation.store.engine._BUSY_SECONDS", 0.1)
    target = Store(f"sqlite:///{tmp_path}/target.db")
    target.migrate([MIGRATIONS])
    others: list[str] = []

    def write(table: str, _count: int) -> None:
        others.append(table)
        with pytest.raises(StoreUnreachable), late.transaction() as connection:
            outbox.add(connection, [OutboxMessage("events", "x", "m2", "t", "", "", b"")], house.clock.now())

    source, late = Store(elsewhere), Store(elsewhere)
    copy(source, target, write)
    assert others
    for store in (source, late, target):
        store.close()


def test_if_one_row_can_not_be_copied_none_is(house: House, elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(table: Any) -> Any:
        assert table is not installs, "the disk is full"
        return insert(table)

    monkeypatch.setattr("foundation.store.copy.insert", broken)
    with pytest.raises(AssertionError, match="the disk is full"):
        copied(f"sqlite:///{house.directory}/installer.db", elsewhere)
    assert not any(content(elsewhere).values())


def test_what_is_no_database_of_ours_is_told(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/other.db")
    store.migrate([])
    store.close()
    ran = copied(f"sqlite:///{tmp_path}/other.db", f"sqlite:///{tmp_path}/new.db")
    assert ran.exit_code == 5
    assert "is not the database of exactly one service" in ran.stderr
    ran = copied(f"sqlite:///{tmp_path}/absent.db", f"sqlite:///{tmp_path}/new.db")
    assert ran.exit_code == 4
    assert copied("nonsense", f"sqlite:///{tmp_path}/new.db").exit_code == 2


def test_a_password_on_the_command_line_is_warned_of_and_not_shown(tmp_path: Path) -> None:
    ran = copied(f"sqlite:///{tmp_path}/absent.db", "postgresql://ann:canary-password@127.0.0.1:1/x")
    assert "use ~/.pgpass instead" in ran.stderr
    assert "canary-password" not in ran.stdout + ran.stderr


def test_migrating_makes_the_tables_of_all_services_or_of_one(tmp_path: Path) -> None:
    urls = {f"{name}__store_url": f"sqlite:///{tmp_path}/{name}.db" for name in ("order_intake", "installer", "mailer")}
    config = settings_file(tmp_path, **urls)
    migrate: Callable[..., Ran] = lambda *names: sitecrew("--config", config, "store", "migrate", *names)  # noqa: E731
    assert migrate("mailer").stdout == f"mailer  sqlite:///{tmp_path}/mailer.db\n"
    assert not (tmp_path / "installer.db").exists()
    assert list(migrate("--json").json) == ["order-intake", "installer", "mailer"]
    assert "installs" in content(urls["installer__store_url"])
    assert migrate("mailman").exit_code == 2


@pytest.mark.parametrize("url", ["postgresql://host:word/name", "mysql://host/name", "nonsense"])
def test_a_database_that_is_none_of_ours_is_told_in_one_line(tmp_path: Path, url: str) -> None:
    (tmp_path / "mailer.db").touch()
    ran = sitecrew("store", "copy", "--from", f"sqlite:///{tmp_path}/mailer.db", "--to", url)
    assert (ran.exit_code, ran.stderr.count("\n")) == (2, 1)
