"""Whose an order is, what a producer may cause, and which names are sold: told as people report it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from structlog.testing import capture_logs

from foundation.broker import Message, codec
from foundation.broker.topology import ORDERS
from foundation.handling import parking, requeueing
from foundation.hosting.causes import failed
from schemas.orders import OrderCancelled, OrderPlaced, OrderReinstallRequested
from schemas.values import Customer, Model
from services.order_intake import listing
from services.order_intake.orders import Order, digest
from sitecrew.cli.client import sending
from tests.support.house import House, failure, kind


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites={"wordpress": {"stage": False}})


def order_of(house: House, order_id: str = "order-1") -> Order:
    with house.intake.store.reading() as connection:
        found = listing.find(connection, order_id)
    assert found is not None
    return found


def rejected(house: House) -> list[tuple[str, str]]:
    """Cause and field of each rejection since the last look."""
    return [
        (event.data.cause.code, event.data.errors[0].field)
        for event in house.events()
        if kind(event.type) == "order.rejected"
    ]


def parked_codes(house: House) -> list[str]:
    return [str(delivery.headers["reason-code"]) for delivery in house.parked()]


STRANGERS: list[dict[str, Any]] = [
    {"source": "/other"},
    {"user": "mallory"},
    {"user": ""},
    {"source": "/other", "user": "mallory"},
]
"""Who else may come: another program, another user of the broker, one for whom the broker does not vouch."""


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
@pytest.mark.parametrize("wish", [OrderReinstallRequested(order_id="order-1"), OrderCancelled(order_id="order-1")])
def test_nobody_reinstalls_or_cancels_what_another_producer_has_placed(
    house: House, wish: Model, stranger: dict[str, Any]
) -> None:
    house.order(source="/shop", user="shop")
    house.settle()
    house.events()
    house.publish(wish, **{"source": "/shop", "user": "shop", **stranger})
    house.settle()
    assert rejected(house) == [("not_yours", "data.order_id")]
    assert parked_codes(house) == ["not_yours"]
    assert (order_of(house).state, order_of(house).generation) == ("created", 1)
    assert len(house.installer.installed) == 1


def test_the_producer_of_an_order_may_reinstall_and_cancel_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.order(source="/shop", user="shop")
    house.settle()
    house.publish(OrderReinstallRequested(order_id="order-1"), source="/shop", user="shop")
    house.publish(OrderCancelled(order_id="order-1"), source="/shop", user="shop")
    house.settle()
    assert (order_of(house).generation, order_of(house).state) == (2, "cancelled")
    assert rejected(house) == []


def test_where_the_broker_vouches_for_nobody_an_order_is_its_sources(house: House) -> None:
    house.order(source="/shop", user="")
    house.settle()
    house.events()
    house.publish(OrderReinstallRequested(order_id="order-1"), source="/shop", user="")
    house.publish(OrderReinstallRequested(order_id="order-1"), source="/shop", user="shop")
    house.publish(OrderReinstallRequested(order_id="order-1"), source="/other", user="shop")
    house.settle()
    assert order_of(house).generation == 3
    assert rejected(house) == [("not_yours", "data.order_id")]


@pytest.mark.parametrize("stranger", STRANGERS, ids=str)
def test_the_same_order_from_somebody_else_is_a_conflict_and_tells_nothing_of_the_first(
    house: House, stranger: dict[str, Any]
) -> None:
    house.order(source="/shop", user="shop")
    house.settle()
    house.events()
    house.order(id="mine", **{"source": "/shop", "user": "shop", **stranger})
    house.settle()
    said = house.events()
    assert [(kind(event.type), event.data.cause.code) for event in said] == [("order.rejected", "order_conflict")]
    assert "shop1.example" not in said[0].model_dump_json()


def test_nobody_passes_for_ourselves_by_claiming_our_source(house: House) -> None:
    """What we wake comes by our own way; a `source` can be written by anybody."""
    house.server.failures = [RuntimeError("for a moment")]
    house.order(source="/shop", user="shop")
    house.settle()
    house.publish(
        OrderPlaced(
            order_id="order-1",
            site_type="static",
            domain="evil.example",
            customer={"name": "Mallory", "email": "mallory@evil.example"},
        ),
        source="/sitecrew/order-intake",
        user="mallory",
    )
    house.settle()
    assert rejected(house) == [("order_conflict", "data.order_id")]
    house.advance_until(house.mailed)
    assert order_of(house).domain == "shop1.example"


def test_a_cancel_that_claims_our_source_is_no_wish_of_ours(house: House) -> None:
    house.order(source="/shop", user="shop")
    house.publish(OrderCancelled(order_id="order-1"), source="/sitecrew/order-intake", user="mallory")
    house.settle()
    assert rejected(house) == [("not_yours", "data.order_id")]


def test_a_producer_that_uses_our_source_has_its_orders_compared_like_anybodys(house: House) -> None:
    house.order(source="/sitecrew/order-intake", user="mallory")
    house.settle()
    house.events()
    house.order(id="other", source="/sitecrew/order-intake", user="mallory", domain="other.example")
    house.settle()
    assert rejected(house) == [("order_conflict", "data.order_id")]


def test_what_staff_requeue_is_still_its_senders(house: House) -> None:
    house.order(source="/shop", user="shop")
    house.publish(OrderReinstallRequested(order_id="order-1"), source="/shop", user="mallory")
    house.settle()
    chosen = [parking.read(delivery) for delivery in house.parked()]
    assert len(list(requeueing.requeue(house.broker, "parking", chosen, sending.event))) == 1
    assert house.parked() == []
    house.settle()
    assert parked_codes(house) == ["not_yours"]
    assert order_of(house).generation == 1


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("sitecrew-api", ("user", "eve")),
        ("guest", ("user", "eve")),
        ("shop", ("service_account", "producer/shop")),
        ("", ("user", "eve (unverified)")),
    ],
    ids=["api", "ourselves", "shop", "nobody"],
)
def test_whom_a_producer_names_has_asked_only_if_its_user_may_vouch(
    house: House, user: str, told: tuple[str, str]
) -> None:
    house.server.failures = [failure("server_down")]  # so that it comes again
    house.publish(placed(), source="/shop", user=user, authtype="user", authid="eve")
    house.settle()
    house.advance(11)
    events = house.events()
    assert "install.staged" in {kind(event.type) for event in events}
    assert {(event.authtype, event.authid) for event in events} == {told}


# Limits


def test_orders_above_the_limit_wait_their_turn_in_order_and_none_is_lost(tmp_path: Path) -> None:
    house = House(tmp_path, limits={"orders_per_minute": 2}, sites={"wordpress": {"stage": False}})
    with capture_logs() as lines:
        for number in range(1, 7):
            house.order(number, user="shop")
        house.order(7, user="other")
        house.settle()
        assert made(house) == [1, 2, 7], "another producer does not wait"
        house.advance(59)
        assert made(house) == [1, 2, 7]
        house.advance(2)
        assert made(house) == [1, 2, 3, 4, 7]
        house.advance(60)
        assert made(house) == [1, 2, 3, 4, 5, 6, 7]
    assert sum(line["event"] == "orders.limited" for line in lines) == 1, "it is logged once"
    assert house.parked() == []


def made(house: House) -> list[int]:
    return sorted(int(request.marker.removeprefix("order-")) for request in house.server.accounts.values())


def test_a_user_whom_the_broker_knows_has_one_limit_under_whatever_source(tmp_path: Path) -> None:
    house = House(tmp_path, limits={"orders_per_minute": 2})
    for number in range(1, 5):
        house.order(number, source=f"/shop/{number}", user="shop")
    house.settle()
    assert made(house) == [1, 2]


def test_who_says_nothing_of_himself_has_one_limit_and_takes_no_known_users_turns(tmp_path: Path) -> None:
    house = House(tmp_path, limits={"orders_per_minute": 2})
    for number in range(1, 5):
        house.order(number, source=f"/made/up/{number}")
    for number in range(5, 8):
        house.order(number, source="shop")
    house.order(8, user="shop")
    house.settle()
    assert made(house) == [1, 2, 8]


def test_an_order_that_waits_its_turn_survives_a_wiped_broker_and_can_be_cancelled(tmp_path: Path) -> None:
    house = House(tmp_path, limits={"orders_per_minute": 1})
    for number in (1, 2, 3):
        house.order(number)
    house.settle()
    house.publish(OrderCancelled(order_id="order-2"))
    house.settle()
    house.wipe()
    house.let_time_pass(steps=16, seconds=60)
    assert made(house) == [1, 3]
    assert order_of(house, "order-2").state == "cancelled"


def test_the_same_order_again_takes_no_second_turn(tmp_path: Path) -> None:
    house = House(tmp_path, limits={"orders_per_minute": 1})
    for copy in range(5):
        house.order(1, id=f"copy-{copy}")
    house.order(2)
    house.settle()
    house.advance(61)
    assert made(house) == [1, 2]


def test_a_site_is_not_installed_anew_without_end(house: House) -> None:
    house.order(user="shop")
    house.settle()
    house.events()
    for _ in range(12):
        house.publish(OrderReinstallRequested(order_id="order-1"), user="shop")
    house.settle()
    assert order_of(house).generation == 11
    assert rejected(house) == [("too_many_reinstalls", "data.order_id")] * 2
    house.advance(3601)
    house.publish(OrderReinstallRequested(order_id="order-1"), user="shop")
    house.settle()
    assert order_of(house).generation == 12


# Names


RESERVED: dict[str, Any] = {
    "domains": {"reserved": ["acme.example", "Corp", "*.m\u00fcller.example", ".dot.example."]},
    "servers": {"local": {"address": "web1.host.example", "web_address": "intern.host.example:80"}},
    "mailer": {
        "sender": "Us <us@hosting.example>",
        "nameservers": ["ns1.dns.example"],
        "smtp": {"host": "relay.post.example"},
    },
}


@pytest.mark.parametrize(
    "domain",
    [
        "localhost.localdomain",
        "localhost6.localdomain6",
        "localhost.example",
        "printer.local",
        "db.internal",
        "a.localhost",
        "shop.invalid",
        "abcdef.onion",
        "shop.alt",
        "10.in-addr.arpa",
        "acme.example",
        "shop.acme.example",
        "shop.corp",
        "a.m\u00fcller.example",
        "xn--mller-kva.example",
        "a.dot.example",
        "web1.host.example",
        "intern.host.example",
        "hosting.example",
        "www.hosting.example",
        "mail.hosting.example",
        "ns1.dns.example",
        "relay.post.example",
    ],
)
def test_names_that_are_not_public_or_the_hosts_own_are_not_sold(tmp_path: Path, domain: str) -> None:
    house = House(tmp_path, **RESERVED)
    house.order(domain=domain)
    house.settle()
    assert rejected(house) == [("invalid_order", "data.domain")]


@pytest.mark.parametrize(
    "domain", ["shop.test", "notacme.example", "localhosting.example", "host.example", "arpa.example"]
)
def test_names_that_only_look_like_those_are_sold(tmp_path: Path, domain: str) -> None:
    house = House(tmp_path, **RESERVED)
    house.order(domain=domain)
    house.settle()
    assert house.server.accounts


@pytest.mark.parametrize("domain", ["127.0.0.1", "192.0.2.10", "1.2.3", "0x7f.0x1", "STRA\u1e9eE.\uff45xample"])
def test_what_is_no_name_at_all_is_rejected_by_its_field(house: House, domain: str) -> None:
    # The model refuses it, so the body is made by hand.
    good = codec.encode(codec.envelope(placed(), id="1", source="/test", subject="order-1"))
    body = good.replace(b"shop1.example", domain.encode())
    assert house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", body)]) == ["confirmed"]
    house.settle()
    assert rejected(house) == [("invalid", "data.domain")]


def placed() -> OrderPlaced:
    customer = {"name": "Jo Miller", "email": "jo@customer.example"}
    return OrderPlaced.model_validate(
        {"order_id": "order-1", "site_type": "wordpress", "domain": "shop1.example", "customer": customer}
    )


JO: dict[str, Any] = {"customer": {"name": "Jo", "email": "jo@customer.example"}}
SAM: dict[str, Any] = {"customer": {"name": "Sam", "email": "sam@customer.example"}}
NESTED = [
    ("idx.example", "mail.idx.example"),
    ("idx.example", "www.idx.example"),
    ("mail.idx.example", "idx.example"),
    ("idx.example", "a.b.c.idx.example"),
    ("a.b.idx.example", "b.idx.example"),
]


@pytest.mark.parametrize(("first", "second"), NESTED)
def test_a_name_below_or_above_another_customers_is_a_conflict(house: House, first: str, second: str) -> None:
    house.order(1, domain=first, **JO)
    house.settle()
    house.order(2, domain=second, **SAM)
    house.settle()
    said = [event for event in house.events() if kind(event.type) == "order.rejected"]
    assert [event.data.cause.code for event in said] == ["domain_conflict"]
    assert first not in said[0].data.cause.detail.replace(second, "")
    house.order(3, domain=second, **JO)
    house.settle()
    assert made(house) == [1, 3], "the same customer may"


@pytest.mark.parametrize(
    "second", ["notidx.example", "idx.example.test", "idx-a.example", "xidx.example", "idx.example2"]
)
def test_names_beside_another_customers_are_no_conflict(house: House, second: str) -> None:
    house.order(1, domain="idx.example", **JO)
    house.order(2, domain="other.idx2.example", **JO)
    house.order(3, domain=second, **SAM)
    house.settle()
    assert made(house) == [1, 2, 3]


@pytest.mark.parametrize(("first", "second"), NESTED)
def test_a_host_may_sell_names_below_others(tmp_path: Path, first: str, second: str) -> None:
    house = House(tmp_path, domains={"allow_nested": True})
    house.order(1, domain=first, **JO)
    house.order(2, domain=second, **SAM)
    house.order(3, domain="shop.hosting.example", **SAM)
    house.settle()
    assert made(house) == [1, 2, 3]


def test_a_host_that_sells_names_below_its_own_still_keeps_its_own(tmp_path: Path) -> None:
    house = House(tmp_path, domains={"allow_nested": True, "reserved": ["acme.example"]})
    for number, domain in enumerate(["hosting.example", "www.hosting.example", "a.acme.example"]):
        house.order(number, domain=domain)
    house.settle()
    assert rejected(house) == [("invalid_order", "data.domain")] * 3


# At the door


@pytest.mark.parametrize("order_id", ["x-g1", "1042-g999999", "a-g1-g2"])
def test_an_order_is_not_called_like_an_install(house: House, order_id: str) -> None:
    house.order(order_id=order_id)
    house.settle()
    assert rejected(house) == [("invalid_order", "data.order_id")]


@pytest.mark.parametrize("order_id", ["x-g", "g1", "1042-g1a", "x_g1", "x-g1234567"])
def test_order_ids_that_no_install_has_are_good(house: House, order_id: str) -> None:
    house.order(order_id=order_id)
    house.settle()
    assert rejected(house) == []


def test_a_time_zone_is_one_that_there_is_and_goes_to_the_site(house: House) -> None:
    house.order(1, timezone="Europe/Atlantis")
    house.order(2, timezone="Europe/Berlin", locale="de-DE", permalinks="/%postname%/")
    house.settle()
    said = house.events()
    assert [event.data.order_id for event in said if kind(event.type) == "order.rejected"] == ["order-1"]
    (staged,) = [event.data for event in said if kind(event.type) == "install.staged"]
    assert (staged.site.timezone, staged.site.locale, staged.site.permalinks) == (
        "Europe/Berlin",
        "de_DE",
        "/%postname%/",
    )


@pytest.mark.parametrize("zone", ["EST5EDT", "GMT0", "Etc/GMT+5", "  Europe/Berlin\n"])
def test_every_name_of_the_time_zone_database_is_good_however_it_is_padded(house: House, zone: str) -> None:
    house.order(timezone=zone, permalinks=" /%postname%/ ")
    house.settle()
    (staged,) = [event.data for event in house.events() if kind(event.type) == "install.staged"]
    assert (staged.site.timezone, staged.site.permalinks) == (zone.strip(), "/%postname%/")


@pytest.mark.parametrize("zone", ["localtime", "Factory"])
def test_a_zone_that_means_something_else_on_each_machine_is_none(house: House, zone: str) -> None:
    house.order(timezone=zone)
    house.settle()
    assert rejected(house) == [("invalid_order", "data.timezone")]


@pytest.mark.parametrize(
    "structure", ["/", "//", "/wp-admin/", "/../", "/%postname%/../x/", "/./%p%/", "/%%/", "/%41/%a%"]
)
def test_a_form_of_addresses_that_leads_to_no_page_is_rejected_by_its_field(structure: str) -> None:
    with pytest.raises(ValidationError, match=r"permalinks\n.*must be a permalink structure like /%postname%/"):
        OrderPlaced.model_validate({**placed().model_dump(), "permalinks": structure})


@pytest.mark.parametrize("structure", ["/%postname%", "/index.php/%year%/%product-cat%/%post_id%.html", "/a/%x%-%y%/"])
def test_any_other_form_is_good(structure: str) -> None:
    assert OrderPlaced.model_validate({**placed().model_dump(), "permalinks": structure}).permalinks == structure


def test_a_time_that_has_no_utc_is_rejected_and_not_unexpected_later(house: House) -> None:
    house.server.failures = [RuntimeError("so that the order needs a second try")]
    good = codec.encode(codec.envelope(placed(), id="1", source="/test", subject="order-1", time=house.clock.now()))
    body = good.replace(b"2026-01-01T12:00:00Z", b"0001-01-01T00:00:00+14:00")
    assert body != good
    house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", body)])
    house.settle()
    assert rejected(house) == [("invalid", "time")]
    assert parked_codes(house) == ["invalid"]


class Larger(OrderPlaced):
    """An order as a later version may have it."""

    gift_wrap: str | None = None
    extras: tuple[str, ...] = ()


def test_a_field_that_a_later_version_adds_changes_no_earlier_order() -> None:
    later = Larger.model_validate(placed().model_dump())
    assert digest(later) == digest(placed())
    assert digest(later.model_copy(update={"gift_wrap": "red"})) != digest(placed())
    assert digest(placed()).startswith("2-"), "it says by which rule it was made"


def test_an_order_of_before_a_rule_was_made_stays_legible(house: House) -> None:
    """Rules change with their libraries, too; one such row must not hide all others from staff."""
    house.order()
    house.settle()
    address = f"{'x' * 65}@customer.test"
    with pytest.raises(ValidationError):
        Customer(name="Jo", email=address)
    with house.intake.store.transaction() as connection:
        row = f'{{"name": "Jo", "email": "{address}"}}'
        connection.execute(text("UPDATE orders SET customer = :row").bindparams(row=row))
    assert order_of(house).customer.email == address


# A full disk

NO_ROOM = failed("disk_full", "no room on purpose")


def test_a_disk_that_is_full_for_hours_parks_no_order(house: House) -> None:
    house.server.failures = [NO_ROOM] * 20
    house.order()
    house.advance_until(house.mailed)
    assert house.parked() == []
    assert len(house.installer.installed) == 1


def test_what_waits_for_room_has_all_its_tries_for_other_causes(house: House) -> None:
    house.server.failures = [*[NO_ROOM] * 8, *[RuntimeError("in between")] * 5]
    house.order()
    house.advance_until(house.mailed)
    assert house.parked() == []


def test_a_disk_that_is_never_emptied_is_told_in_the_end(house: House) -> None:
    house.server.failures = [NO_ROOM] * 1000
    house.order()
    house.advance_until(lambda: order_of(house).state == "failed", minutes=3 * 24 * 60, step=10)
    assert house.clock.moment - order_of(house).created_at > timedelta(hours=20)
    [failed] = [event.data for event in house.events() if kind(event.type) == "account.failed"][:1]
    assert failed.cause.code == "disk_full"
