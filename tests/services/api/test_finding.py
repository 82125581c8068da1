"""Finding orders, installs, letters and lines of the activity log, on both kinds of database."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from foundation.store import Store, bulk
from schemas.values import Cause, CauseKind
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter, LetterFilter, SiteFilter
from services.api.finding.paging import BadCursor, Page, Position
from services.api.projection import activity
from services.api.projection.activity import Line
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, InstallView, LetterView, OrderView
from services.api.service import MIGRATIONS
from tests.support.house import START
from tests.support.in_memory import at

DOWN = Cause(code="db_down", kind=CauseKind.TRANSIENT, detail="It is down.", remedy="Start it.")
COUNT = 30


def order(number: int) -> OrderView:
    return OrderView(
        order_id=f"order-{number}",
        state="created",
        site_type="static" if number % 10 == 0 else "wordpress",
        domain=f"www.shop{number}.example",
        server="local",
        username=f"shop{number}",
        customer_email=f"Jo{number}@customer.example",
        placed_by="/shop" if number % 2 else "/panel",
        updated_at=at(number // 2),  # two at a time
    )


def install(number: int) -> InstallView:
    known = {name: getattr(order(number), name) for name in ("order_id", "site_type", "server", "updated_at")}
    state = ("staged", "failed", "installed")[number % 3]
    code = DOWN.code if state == "failed" else None
    return InstallView(install_id=f"order-{number}-g1", generation=1, state=state, cause_code=code, **known)


def letter(number: int) -> LetterView:
    own = install(number)
    return LetterView(
        install_id=own.install_id, order_id=own.order_id, generation=1, state="waiting", updated_at=own.updated_at
    )


def lines(number: int) -> Iterator[Line]:
    named: dict[str, Any] = {"order_id": f"order-{number}", "at": at(number)}
    yield Line(key=f"{number}a", kind="install.staged", **named)
    yield Line(key=f"{number}b", kind="install.cancel", actor="mia" if number % 5 else "tom", **named)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    file = tmp_path_factory.mktemp("store") / "api.db"
    sqlite = request.param == "sqlite"
    store = Store(f"sqlite:///{file}" if sqlite else request.getfixturevalue("postgres").database("de"))
    store.migrate([MIGRATIONS])
    numbers = range(1, COUNT + 1)
    with store.transaction() as connection:
        for records, made in ((ORDERS, order), (INSTALLS, install), (LETTERS, letter)):
            bulk.add(connection, records.table, records.names, [records.values(vars(made(n))) for n in numbers])
        activity.write(connection, [line for number in numbers for line in lines(number)])
    yield store
    store.close()


@pytest.fixture
def connection(store: Store) -> Iterator[Connection]:
    with store.reading() as connection:
        yield connection


def all_pages(page: Callable[[str], Page[Any]]) -> list[Any]:
    rows, cursor = list[Any](), ""
    while True:
        found = page(cursor)
        rows += found.rows
        if not found.next:
            return rows
        assert found.rows
        cursor = found.next


def numbers(rows: list[Any]) -> list[int]:
    return [int(row.order_id.removeprefix("order-")) for row in rows]


@pytest.mark.parametrize("limit", [1, 7, COUNT])
@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("states", [(), ("staged", "failed")])
def test_every_install_is_on_one_page_in_the_order_of_its_last_change(
    connection: Connection, limit: int, oldest_first: bool, states: tuple[str, ...]
) -> None:
    wanted = SiteFilter(oldest_first=oldest_first, states=states)
    rows = all_pages(lambda after: listing.installs(connection, wanted, after, limit))
    expected = [install(number) for number in range(1, COUNT + 1)]
    expected = [one for one in expected if not states or one.state in states]
    expected.sort(key=lambda one: (one.updated_at, one.install_id), reverse=not oldest_first)
    assert rows == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (SiteFilter(site_type="static"), {10, 20, 30}),
        (SiteFilter(server="elsewhere"), set()),
        (SiteFilter(causes=["db_down"], until=at(5)), {1, 4, 7}),
        (SiteFilter(causes=["other"]), set()),
        (SiteFilter(since=at(14), until=at(15)), {28, 29}),
        (SiteFilter(placed_by="/panel", states=["failed"]), {4, 10, 16, 22, 28}),
        (SiteFilter(placed_by="/nobody"), set()),
        (SiteFilter(order_id="order-7"), {7}),
        (SiteFilter(search="order-7-g1"), {7}),
        (SiteFilter(search="order-3"), {3, 30}),
        (SiteFilter(search=" WWW.shop17"), {17}),
        (SiteFilter(search="shop17"), {17}),
        (SiteFilter(search="Jo17@"), {17}),
        (SiteFilter(search="jo17@customer"), {17}),
        (SiteFilter(search="OP17.example"), {17}),
        (SiteFilter(search="%"), set()),
        (SiteFilter(search="' OR 1=1 --"), set()),
        (SiteFilter(search="example", states=["installed"], site_type="static"), {20}),
    ],
    ids=repr,
)
def test_orders_and_installs_are_found(connection: Connection, wanted: SiteFilter, expected: set[int]) -> None:
    assert set(numbers(all_pages(lambda after: listing.installs(connection, wanted, after, 4)))) == expected
    stateless = replace(wanted, states=(), causes=())
    if stateless == wanted:
        assert set(numbers(all_pages(lambda after: listing.orders(connection, wanted, after, 4)))) == expected


@pytest.mark.parametrize("few", [0, 500])
def test_a_producer_finds_its_own_only_whether_few_or_many(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(listing, "_FEW", few)
    wanted = LetterFilter(placed_by="/shop", states=["waiting"])
    found = numbers(all_pages(lambda after: listing.letters(connection, wanted, after, 4)))
    assert sorted(found) == list(range(1, COUNT + 1, 2))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ActivityFilter(), 2 * COUNT),
        (ActivityFilter(kinds=["install.staged"]), COUNT),
        (ActivityFilter(kinds=["install.staged", "install.cancel", "mail.sent"]), 2 * COUNT),
        (ActivityFilter(actor="tom"), 6),
        (ActivityFilter(actor="tom", kinds=["install.staged"]), 0),
        (ActivityFilter(order_id="order-7"), 2),
        (ActivityFilter(placed_by="/shop"), COUNT),
        (ActivityFilter(search="shop17"), 2),
        (ActivityFilter(since=at(COUNT)), 2),
    ],
    ids=repr,
)
def test_lines_of_the_log_are_found_newest_first(connection: Connection, wanted: ActivityFilter, expected: int) -> None:
    found = all_pages(lambda after: listing.activity(connection, wanted, after, 5))
    assert len(found) == expected
    assert found == sorted(found, key=lambda line: (line.at, line.id), reverse=True)


def test_news_follow_the_last_one_in_the_order_in_which_they_came(connection: Connection) -> None:
    everything = listing.news(connection, 0, None, 100)
    assert [line.id for line in everything] == sorted(line.id for line in everything)
    rest = listing.news(connection, everything[9].id, "/shop", 3)
    assert rest == [line for line in everything[10:] if numbers([line])[0] % 2][:3]


@pytest.mark.parametrize("cursor", ["x", "!!!", "AAAA", "bnVsbA", Position(START, 7).cursor(), "é", "\x00"])
def test_a_cursor_that_no_page_ended_with_is_refused(connection: Connection, cursor: str) -> None:
    with pytest.raises(BadCursor):
        listing.orders(connection, SiteFilter(), cursor)


def test_a_page_goes_on_where_the_last_one_ended_whatever_was_added(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/api.db")
    store.migrate([MIGRATIONS])
    with store.transaction() as connection:
        bulk.add(connection, ORDERS.table, ORDERS.names, [ORDERS.values(vars(order(n))) for n in (1, 2, 3, 4)])
    with store.transaction() as connection:
        first = listing.orders(connection, SiteFilter(), limit=2)
        new = replace(order(9), updated_at=START + timedelta(hours=1))
        bulk.add(connection, ORDERS.table, ORDERS.names, [ORDERS.values(vars(new))])
        second = listing.orders(connection, SiteFilter(), first.next or "", limit=2)
    store.close()
    assert numbers([*first.rows, *second.rows]) == [4, 3, 2, 1]
    assert second.next is None
