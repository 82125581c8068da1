"""Lists of orders and installs, asked of both kinds of database: the same rows, whatever narrows them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from foundation.store import Store
from foundation.store.lease import Terms
from schemas.installs import InstallStaged, SiteSpec
from schemas.values import AccountRef, Customer
from services.installer import listing
from services.installer.installs import INSTALLS
from services.installer.listing import Wanted
from services.installer.service import MIGRATIONS
from services.installer.states import State
from services.order_intake import listing as orders
from services.order_intake.service import MIGRATIONS as INTAKE
from tests.support.house import failure
from tests.support.rows import install_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    sqlite = request.param == "sqlite"
    opened = Store(f"sqlite:///{tmp_path}/x.db" if sqlite else str(request.getfixturevalue("postgres").database()))
    opened.migrate([MIGRATIONS, INTAKE])
    with opened.transaction() as connection:
        loaded = INSTALLS.load(connection, ())
        for number in (1, 2, 3):
            loaded.save(install_of(staged(number), at=NOON))
        begun = loaded.of("order-3")[0].begun(Terms("me", timedelta(minutes=1)), NOON, 6)
        loaded.save(begun.failed(failure("db_down").cause, 6, NOON))
        loaded.flush(connection)
    yield opened
    opened.close()


def staged(number: int) -> InstallStaged:
    return InstallStaged(
        install_id=f"order-{number}-g1",
        order_id=f"order-{number}",
        generation=1,
        due_at=NOON + timedelta(minutes=number),
        site=SiteSpec(site_type="static", url="http://a.example/", title="100% Ünïcode_"),
        account=AccountRef(server="local", username=f"shop{number}", domain=f"shop{number}.example", address="::1"),
        customer=Customer(name=f"Jo Müller {number}", email=f"jo{number}@customer.example"),
    )


@pytest.mark.parametrize(
    ("narrowed", "found"),
    [
        ({}, ["1", "2", "3"]),
        ({"states": [State.FAILED]}, ["3"]),
        ({"causes": ["db_down", "disk_full"]}, ["3"]),
        ({"causes": ["db%"]}, []),
        ({"customer": "jo Müller 2"}, ["2"]),
        ({"customer": "JO1@customer"}, ["1"]),
        ({"customer": "100%"}, []),
        ({"domain": "shop2"}, ["2"]),
        ({"domain": "shop_"}, []),
        ({"since": NOON + timedelta(hours=1)}, []),
    ],
)
def test_installs_are_narrowed_alike(store: Store, narrowed: dict[str, Any], found: list[str]) -> None:
    with store.reading() as connection:
        assert [one.order_id[-1] for one in listing.listing(connection, Wanted(**narrowed), 10)] == found


def test_a_list_goes_on_after_any_row_in_both_directions(store: Store) -> None:
    with store.reading() as connection:
        for backwards, rest in ((False, ["order-3-g1"]), (True, ["order-1-g1"])):
            page = listing.listing(connection, Wanted(), 10, after="order-2-g1", newest_first=backwards)
            assert [one.install_id for one in page] == rest


@pytest.mark.parametrize("name", ["order-2-g1", "order-2", "Shop2.Example", "JO2@customer.example"])
def test_one_is_found_by_any_of_its_names(store: Store, name: str) -> None:
    with store.reading() as connection:
        assert [one.install_id for one in listing.named(connection, name)] == ["order-2-g1"]


def test_orders_are_asked_for_alike(store: Store) -> None:
    wanted = orders.Wanted(causes=["db_down"], customer="jo", domain="x", since=NOON)
    with store.reading() as connection:
        assert orders.listing(connection, wanted, 10) == []
        assert orders.find(connection, "nothing") is None
