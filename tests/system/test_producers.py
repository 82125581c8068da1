"""What docs/producers.md promises: each example places its orders, as a user who may do no more than that."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.queues import sitecrew
from sitecrew.stack.machine import Plan
from tests.support.brokers import MANAGEMENT, Node
from tests.support.lost_answer import lost_answer
from tests.support.postgres import Stores
from tests.support.shop import BINARY, PACKAGES, PASSWORD, PRODUCERS, Place, Ran, Shop, an_order
from tests.support.watching import Watched, watched

DOCUMENT = Path(__file__).parents[2] / "docs" / "producers.md"

each_producer = pytest.mark.parametrize("producer", PRODUCERS)
each_producer_and_mode = pytest.mark.parametrize("producer", [*PRODUCERS, *BINARY])


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    missing = [program for program in ("php", "node", "curl", "jq") if not shutil.which(program)]
    library = ["php", "-r", 'exit((int) !@include "PhpAmqpLib/autoload.php");']
    if "php" not in missing and subprocess.run(library, check=False).returncode:
        missing.append("php-amqplib")
    if not (PACKAGES / "amqplib").exists():
        missing.append("amqplib")
    if missing and "CI" in os.environ:
        pytest.fail(f"missing: {missing}")
    if missing:
        pytest.skip(f"missing: {missing}; script/bootstrap node producers installs them")


@pytest.fixture(scope="module")
def api(managed_node: Node) -> Iterator[httpx2.Client]:
    """RabbitMQ's HTTP API, as the broker's own administrator."""
    managed_node.ctl("await_startup")
    admin = urlsplit(managed_node.amqp_url)
    url = f"http://127.0.0.1:{managed_node.plugin_ports[MANAGEMENT]}/api"
    with httpx2.Client(base_url=url, auth=(admin.username or "", admin.password or ""), timeout=60) as api:
        yield api


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, managed_node: Node, api: httpx2.Client) -> Shop:
    """With the users that the document tells to make."""
    for user in ("shop", "shop-news"):
        _put(api, f"/users/{user}", password=PASSWORD, tags="")
    RabbitBroker([managed_node.amqp_url], sitecrew(Ladder())).declare()  # permissions are about what is there
    for line in re.findall(r"^rabbitmqctl (set_.*)$", DOCUMENT.read_text(), re.MULTILINE):
        managed_node.ctl(*shlex.split(line))
    port = urlsplit(managed_node.amqp_url).port or 5672
    return Shop(tmp_path_factory.mktemp("shop"), Place(port, managed_node.plugin_ports[MANAGEMENT]))


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory, managed_node: Node, stores: Stores) -> Iterator[Watched]:
    """A stack of static sites, which are installed at once."""
    settings = {"sites.static.stage": False, **stores.settings()}
    directory = tmp_path_factory.mktemp("crew")
    plan = Plan(directory, site_types=("static",), amqp_url=managed_node.amqp_url, settings=settings)
    with watched(plan) as stack:
        yield stack


# What is promised


@each_producer_and_mode
def test_an_order_is_installed_as_it_was_sent_and_its_letter_arrives(shop: Shop, crew: Watched, producer: str) -> None:
    order = an_order()
    ran = shop.order(producer, order)
    assert ran == Ran(0, f"Order {order[0]} is placed: the broker has it.\n", "")
    completed = crew.until("install.completed", order[0]).data
    assert (completed.customer.name, completed.customer.email, completed.site.title) == order[3:]
    assert httpx2.get(completed.site.url, timeout=60).status_code == 200
    crew.until("mail.sent", order[0])
    assert len(crew.letters(order[0])) == 1


@each_producer_and_mode
def test_the_same_order_again_changes_nothing(shop: Shop, crew: Watched, producer: str) -> None:
    order = an_order()
    for _ in range(2):
        assert shop.order(producer, order).exit_code == 0
        crew.until("mail.sent", order[0])
    require_all_once(shop, crew, producer, order)


@each_producer
def test_an_order_whose_confirm_is_lost_can_be_sent_again_and_is_done_once(
    shop: Shop, crew: Watched, producer: str
) -> None:
    order = an_order()
    port = shop.place.management_port if producer == "curl" else shop.place.amqp_port
    with lost_answer(port, b"order.placed.v1") as line:
        place = Place(line.port, line.port)
        first = shop.order(producer, order, place)
        assert line.lost
        if producer == "python":  # it has sent it again by itself
            assert first.exit_code == 0
        else:
            assert first.exit_code == 75
            assert f"Order {order[0]} is perhaps not placed: " in first.stderr
            assert "Send the same order again: if it was placed, that changes nothing." in first.stderr
            assert shop.order(producer, order, place).exit_code == 0
    crew.until("mail.sent", order[0])
    require_all_once(shop, crew, producer, order)


def require_all_once(shop: Shop, crew: Watched, producer: str, order: tuple[str, ...]) -> None:
    """All that is said of an order was said once, and nothing else, also when a later order is through; but that it is
    known, to who sends it again."""
    later = an_order()
    shop.order(producer, later)
    crew.until("mail.sent", later[0])
    known = "sitecrew.order.known.v1"
    said = sorted(event.type for event in crew.events if event.subject == order[0] and event.type != known)
    news = ("account.created", "install.completed", "install.staged", "install.started", "mail.sent", "order.accepted")
    assert said == [f"sitecrew.{name}.v1" for name in news]
    assert len(crew.letters(order[0])) == 1


@each_producer
def test_another_order_under_a_known_id_is_rejected_by_that_field(shop: Shop, crew: Watched, producer: str) -> None:
    first = an_order()
    shop.order(producer, first)
    crew.until("account.created", first[0])
    assert shop.order(producer, an_order(order_id=first[0])).exit_code == 0
    rejected = crew.until("order.rejected", first[0]).data
    assert rejected.cause.code == "order_conflict"
    assert [error.field for error in rejected.errors] == ["data.order_id"]


@each_producer_and_mode
def test_an_invalid_order_is_parked_and_its_rejection_names_the_field(shop: Shop, crew: Watched, producer: str) -> None:
    order = an_order(domain="no domain")
    assert shop.order(producer, order).exit_code == 0
    rejected = crew.until("order.rejected", order[0]).data
    assert rejected.event_id.startswith(f"{order[0]}-placed-")
    assert rejected.event_source == "/shop"
    assert [error.field for error in rejected.errors] == ["data.domain"]
    (parked,) = [message for message in crew.parked() if order[0].encode() + b'"' in message.body]
    assert (b"specversion" in parked.body) == (producer not in BINARY)
    assert parked.headers["field"] == "data.domain"
    assert str(parked.headers["reason"]).startswith("data.domain: ")


# A broker that says no


@pytest.fixture(scope="module")
def refusing(shop: Shop, api: httpx2.Client) -> Shop:
    """With virtual hosts where an order can't be placed, each for another reason."""
    for vhost, write in {"bare": "^orders$", "closed": "^$", "unbound": "^orders$", "full": "^orders$"}.items():
        _put(api, f"/vhosts/{vhost}")
        _put(api, f"/permissions/{vhost}/shop", configure="^$", write=write, read="^$")
    for vhost in ("closed", "unbound", "full"):
        _put(api, f"/exchanges/{vhost}/orders", type="topic", durable=True)
    _put(api, "/queues/full/orders", durable=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    bound = api.post("/bindings/full/e/orders/q/orders", json={"routing_key": "#"})
    bound.raise_for_status()
    return shop


@each_producer
@pytest.mark.parametrize(
    ("place", "exit_code", "says"),
    [
        ({"vhost": "bare"}, 1, "not placed: the broker refuses: .*(NOT_FOUND|not_found).* whether Sitecrew is set up"),
        ({"vhost": "closed"}, 1, "not placed: the broker refuses: .*access to exchange 'orders'.* the user may do"),
        ({"vhost": "nowhere"}, 1, "not placed: the broker refuses: .*Check user, password and (virtual host|VHOST)"),
        ({"password": "wrong" + PASSWORD}, 1, "not placed: the broker refuses: .*Check user, password and"),
        ({"vhost": "unbound"}, 1, "not placed: no queue takes orders there. Run `sitecrew topology declare`"),
        ({"vhost": "full"}, 75, "perhaps not placed: .*nack.* Send the same order again: .* changes nothing."),
        ({"amqp_port": 1, "management_port": 1}, 75, "perhaps not placed: .* Send the same order again: .* changes"),
    ],
    ids=["no exchange", "no permission", "no virtual host", "wrong password", "no queue", "full queue", "no broker"],
)
def test_a_broker_that_does_not_take_it_is_told_with_what_to_do(
    refusing: Shop, producer: str, place: dict[str, Any], exit_code: int, says: str
) -> None:
    order = an_order()
    ran = refusing.order(producer, order, replace(refusing.place, **place))
    assert (ran.exit_code, ran.stdout) == (exit_code, "")
    assert re.search(f"^Order {order[0]} is {says}", ran.stderr, re.MULTILINE), ran.stderr


@each_producer
def test_a_secure_address_is_spoken_to_in_tls_and_in_nothing_else(shop: Shop, producer: str) -> None:
    def first_words() -> bytes:
        with server, server.accept()[0] as client:
            return client.recv(3)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(60)
        port = server.getsockname()[1]
        said = pool.submit(first_words)
        ran = shop.order(producer, an_order(), Place(port, port, tls=True))
        assert said.result()[:2] == b"\x16\x03"  # a handshake record; TLS 1.2, RFC 5246, section 6.2.1
    assert ran.exit_code == 75


@each_producer
def test_too_few_arguments_are_answered_with_the_usage(shop: Shop, producer: str) -> None:
    ran = shop.order(producer, ("1042",))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "usage: " in ran.stderr


# The users of the document


@pytest.mark.parametrize(
    "attempt",
    [
        lambda channel: channel.queue_declare("mine"),
        lambda channel: channel.exchange_delete("orders"),
        lambda channel: channel.basic_get("intake.orders"),
        lambda channel: channel.queue_purge("intake.orders"),
        lambda channel: channel.basic_publish("commands", "timer.run_now.v1", b"{}"),
        lambda channel: channel.basic_publish("", "intake.orders", b"{}"),
    ],
    ids=["declare", "delete", "read", "purge", "command", "write past the exchange"],
)
@pytest.mark.usefixtures("crew")
def test_a_producers_user_may_publish_orders_and_nothing_else(shop: Shop, attempt: Any) -> None:
    with pika.BlockingConnection(pika.URLParameters(shop.place.amqp_url())) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            attempt(channel)


def test_who_listens_as_the_document_says_hears_what_becomes_of_an_order(shop: Shop, crew: Watched) -> None:
    heard, order = shop.directory / "heard", an_order()
    with heard.open("w") as output:
        watcher = subprocess.Popen(
            [sys.executable, "python/watch_orders.py", "shop.news"],
            cwd=shop.directory,
            env={"AMQP_URL": shop.place.amqp_url("shop-news")},
            stdout=output,
        )
    try:
        crew.eventually(lambda: "listening on shop.news" in heard.read_text())
        shop.order("python", order)
        crew.eventually(lambda: f"{order[0]} sitecrew.mail.sent.v1" in heard.read_text())
    finally:
        watcher.terminate()
        watcher.wait()
    told = {line.split()[1] for line in heard.read_text().splitlines() if line.startswith(f"{order[0]} ")}
    assert told == {f"sitecrew.{news}.v1" for news in ("account.created", "install.completed", "mail.sent")}


def _put(api: httpx2.Client, path: str, **body: Any) -> None:
    api.put(path, json=body).raise_for_status()
