"""An api is killed again and again, at moments that are drawn: no order that it has accepted is lost, no line of the
activity log, and no webhook."""

import itertools
import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import func, select
from standardwebhooks import Webhook

from bench import stages
from foundation.broker import codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import EVENTS, PARKING
from foundation.config.queues import API_EVENTS, with_api
from foundation.config.settings import Api
from foundation.store import Store
from services.api.access import tokens
from services.api.access.identity import Scope
from services.api.asking import Outcome, asked
from services.api.projection.activity import SILENT, activity, key_of, kind_of
from services.api.service import MIGRATIONS
from services.api.webhooks import endpoints
from services.order_intake.orders import ORDERS
from sitecrew.stack.ports import free_port
from tests.support.brokers import Brokers, until
from tests.support.crew import OFTEN, Crew, Ears, working
from tests.support.postgres import Stores
from tests.support.projected import every
from tests.support.receiver import Receiver, receiver

pytestmark = [pytest.mark.timeout(900), pytest.mark.endurance]

KILLS = 8
SHOPS = 3
API = ("api", 0)
SERVICES = ("order-intake", "installer", "mailer")
SOURCE = "/shop"


class Shops:
    """Producers, each of whom places one order after the other, and each order until it is accepted."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._shop, args=(number,)) for number in range(SHOPS)]
        self.accepted: list[str] = []
        self.problems: list[str] = []
        self.lost_answers = 0

    def open(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _shop(self, number: int) -> None:
        for count in itertools.count():
            if self._enough.wait(0.15):
                return
            self._place(f"shop-{number}-{count}")

    def _place(self, order: str) -> None:
        data = {
            "order_id": order,
            "site_type": "static",
            "domain": f"{order}.example",
            "customer": {"name": "Jo Miller", "email": f"{order}@customer.example"},
        }
        while not self.problems:
            try:
                headers = {**self._headers, "Idempotency-Key": f"key-{order}"}
                answer = httpx2.post(f"{self._url}/v1/orders", json=data, headers=headers, timeout=30)
            except httpx2.TransportError:
                self.lost_answers += 1
                sleep(0.02)
                continue
            if answer.status_code in (200, 202):
                self.accepted.append(order)
                return
            self.problems.append(f"{answer.status_code} {answer.text}")


class Moments:
    """When to kill: while it starts, or after some more of what it does."""

    def __init__(self, chance: random.Random, shops: Shops, there: Receiver, lines: Callable[[], int]) -> None:
        self._chance = chance
        self._counts: list[Callable[[], int]] = [lambda: len(shops.accepted), lambda: len(there.received), lines]

    def wait_for_one(self) -> None:
        if self._chance.random() < 0.25:
            sleep(self._chance.uniform(0, 2))  # whatever it is at
            return
        count, more = self._chance.choice(self._counts), self._chance.randint(1, 10)
        wanted = count() + more
        until(lambda: count() >= wanted, 240)
        sleep(self._chance.uniform(0, 0.03))


def test_an_api_killed_at_any_moment_loses_no_order_no_line_and_no_webhook(
    tmp_path: Path, brokers: Brokers, stores: Stores
) -> None:
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in (*SERVICES, "api")}
    if stores.server:
        urls["api"] = stores.server.database()
    address, secret = f"127.0.0.1:{free_port()}", "a long random text of a test"
    own = Api(secret_key=SecretStr(secret), webhooks_to_private=True)
    url = brokers.url()
    broker = brokers.broker(with_api(Ladder()), url)
    broker.declare()
    ears, store = Ears(broker.watch(EVENTS, "#")), Store(urls["api"])
    store.migrate([MIGRATIONS])
    environment = {
        **stages.environment(url, urls, {}),
        **OFTEN,
        "SITECREW_API__ADDRESS": address,
        "SITECREW_API__SECRET_KEY": secret,
        "SITECREW_API__WEBHOOKS_TO_PRIVATE": "true",
        "SITECREW_API__REQUESTS_PER_MINUTE": "0",
    }
    wanted = {"/all": ["order.accepted", "install.*", "mail.sent"], "/own": ["account.created", "mail.sent"]}
    with receiver() as there:
        now, secrets = datetime.now(UTC), dict[str, str]()
        with store.transaction() as connection:
            token = tokens.create(connection, "shop", SOURCE, [Scope.ORDERS_WRITE], "test", now)
            for path, types in wanted.items():
                source = SOURCE if path == "/own" else None
                secrets[path] = endpoints.create(connection, own, there.url(path), types, source, "test", now)[1]

        def lines() -> int:
            with store.reading() as reading:
                return int(reading.execute(select(func.count()).select_from(activity)).scalar_one())

        shops = Shops(f"http://{address}", token)
        moments = Moments(random.Random(11), shops, there, lines)
        with working(tmp_path, environment, [(name, 0) for name in (*SERVICES, "api")]) as crew:
            shops.open()
            try:
                _kill_often(crew, moments, ears)
            finally:
                shops.close()
            assert shops.problems == []
            orders = set(shops.accepted)
            _until_all_is_done(ears, orders)
            until(lambda: ears.listen() > 0 and not broker.depth(API_EVENTS), 60)
            said = [codec.decode(body) for body in list(ears.bodies.values())]
            said = [event for event in said if not isinstance(event.data, SILENT)]
            _require_lines(store, said, orders)
            _require_webhooks(there, said, wanted, secrets)
        assert len(orders) == len(shops.accepted) >= KILLS
        assert shops.lost_answers >= KILLS, "some orders were killed with it"
    intake = Store(urls["order-intake"])
    assert {order.order_id for order in every(intake, ORDERS)} == orders
    intake.close()
    for order in orders:
        once = {name: ears.heard[order][name] for name in ("account.created", "install.completed", "mail.sent")}
        assert once == dict.fromkeys(once, 1), (order, ears.heard[order])
    assert broker.browse(PARKING, 100) == []
    store.close()


def _kill_often(crew: Crew, moments: Moments, ears: Ears) -> None:
    while crew.kills < KILLS:
        moments.wait_for_one()
        crew.kill(API)
        ears.listen()


def _until_all_is_done(ears: Ears, orders: set[str]) -> None:
    def is_done() -> bool:
        ears.listen()
        return ears.orders_with("mail.sent") >= orders

    until(is_done, 120)


def _require_lines(store: Store, said: list[Any], orders: set[str]) -> None:
    """Everything that was asked and said is in the activity log, and each order's outcome is known."""
    keys = {key_of(event.source, event.id) for event in said}
    keys |= {key_of(SOURCE, f"key-{order}") for order in orders}

    def missing() -> set[str]:
        with store.reading() as connection:
            return keys - set(connection.scalars(select(activity.c.key)))

    until(lambda: not missing(), 60)
    with store.reading() as connection:
        rows = connection.execute(select(asked.c.order_id, asked.c.outcome)).all()
    assert sorted(rows) == sorted((order, Outcome.DONE) for order in orders)


def _require_webhooks(there: Receiver, said: list[Any], wanted: dict[str, list[str]], secrets: dict[str, str]) -> None:
    """Each event that a receiver wants has come there, and as one webhook-id, however often."""
    for path, types in wanted.items():
        kinds = {"*" if one == "*" else one.removesuffix("*") for one in types}
        due = {event.id for event in said if any(kind_of(event).startswith(kind) for kind in kinds)}

        def got(path: str = path) -> dict[str, set[str]]:
            ids = defaultdict(set)
            for one in there.at(path):
                ids[str(json.loads(one.body)["id"])].add(one.headers["webhook-id"])
            return ids

        until(lambda due=due, got=got: due <= got().keys(), 120)  # type: ignore[misc]
        assert {len(ids) for ids in got().values()} == {1}
        for one in there.at(path):
            at = datetime.fromtimestamp(int(one.headers["webhook-timestamp"]), UTC)
            signed = Webhook(secrets[path]).sign(one.headers["webhook-id"], at, one.body.decode())
            assert signed in one.headers["webhook-signature"].split()
