"""The api as a process beside the other services: real RabbitMQ, real HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Table, select

from foundation.config.settings import Settings, load
from foundation.store import Store
from foundation.store.records import Records
from services.api.access import tokens
from services.api.access.identity import Scope
from services.api.projection.activity import activity
from services.api.projection.views import install_views, letter_views, order_views
from services.installer.installs import INSTALLS
from services.mailer.mails import MAILS
from services.order_intake.orders import ORDERS
from sitecrew.stack.machine import Plan
from tests.support.brokers import Brokers
from tests.support.watching import Watched, watched

VIEWS = (order_views, install_views, letter_views)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str]) -> Iterator[Watched]:
    settings = {"timer.every": "*/2 * * * * *"}
    plan = Plan(tmp_path_factory.mktemp("api"), ("static",), amqp_url=next(vhosts), settings=settings)
    with watched(plan) as stack:
        yield stack


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    store = Store(settings.api.store_url.get_secret_value())
    yield store
    store.close()


def settings_of(house: Watched) -> Settings:
    return load(house.running.config, environment=False)


def rows(house: Watched, table: Table, order_id: str) -> list[dict[str, Any]]:
    with opened(settings_of(house)) as store, store.reading() as connection:
        return [dict(row) for row in connection.execute(select(table).where(table.c.order_id == order_id)).mappings()]


def states(house: Watched, order_id: str) -> list[list[str]]:
    return [[row["state"] for row in rows(house, table, order_id)] for table in VIEWS]


def done(house: Watched, order_id: str) -> None:
    house.until("mail.sent", order_id)
    house.eventually(lambda: states(house, order_id) == [["created"], ["installed"], ["sent"]], what="its projection")


def answer(house: Watched, headers: dict[str, str]) -> httpx2.Response | None:
    try:
        return httpx2.get(f"http://{settings_of(house).api.address}/v1/me", headers=headers)
    except httpx2.TransportError:
        return None


def test_an_order_that_came_by_amqp_is_shown_with_its_install_and_its_letter(house: Watched) -> None:
    order = house.order("static")
    done(house, order)
    completed = house.until("install.completed", order).data
    [shown], [install], [letter] = (rows(house, table, order) for table in VIEWS)
    assert (shown["username"], shown["server"]) == (completed.account.username, "local")
    assert (install["url"], install["application"]) == (completed.site.url, "static")
    assert letter["recipient"] == completed.customer.email


def test_a_token_is_told_whose_it_is_and_the_health_address_answers(house: Watched) -> None:
    settings = settings_of(house)
    with opened(settings) as store, store.transaction() as connection:
        token = tokens.create(connection, "shop", "/shop", [Scope.ORDERS_READ], "test", datetime.now(UTC))
    found = answer(house, {"Authorization": f"Bearer {token}"})
    assert found is not None
    assert (found.status_code, found.json()["name"], found.json()["source"]) == (200, "shop", "/shop")
    refused = answer(house, {})
    assert refused is not None
    assert refused.status_code == 401
    ready = httpx2.get(f"http://{settings.api.listen}/readyz")
    assert ready.status_code == 200
    assert "sitecrew_projection_behind_seconds" in httpx2.get(f"http://{settings.api.listen}/metrics").text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_api_that_ends_in_the_middle_shows_the_same_afterwards(house: Watched, number: signal.Signals) -> None:
    before, child = house.order("static"), house.running.services["api"]
    house.until("install.staged", before)
    ended = child.pid
    os.kill(ended, number)
    after = house.order("static")
    house.until("mail.sent", after)
    house.eventually(lambda: child.pid != ended and answer(house, {}), what="another api")
    for order in (before, after):
        done(house, order)


def test_an_order_that_was_answered_is_carried_out_though_the_api_is_killed_at_once(house: Watched) -> None:
    settings, child = settings_of(house), house.running.services["api"]
    with opened(settings) as store, store.transaction() as connection:
        token = tokens.create(connection, "killed", "/killed", [Scope.ORDERS_WRITE], "test", datetime.now(UTC))
    bearer, killed = {"Authorization": f"Bearer {token}"}, list[int]()
    for number in range(3):
        house.eventually(lambda: answer(house, bearer), what="an api")
        data = {
            "order_id": f"killed-{number}",
            "site_type": "static",
            "domain": f"killed{number}.example",
            "customer": {"name": "Jo Miller", "email": f"killed{number}@customer.example"},
        }
        placed = httpx2.post(f"http://{settings.api.address}/v1/orders", json=data, headers=bearer)
        killed.append(child.pid)
        os.kill(killed[-1], signal.SIGKILL)
        assert (placed.status_code, placed.json()["order_id"]) == (202, f"killed-{number}")
        house.eventually(lambda: child.pid not in killed, what="another api")
    for number in range(3):
        done(house, f"killed-{number}")


def test_a_taken_address_is_a_wrong_setting(brokers: Brokers, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        environment = {
            "PATH": os.environ["PATH"],
            "SITECREW_AMQP_URL": brokers.url(),
            "SITECREW_API__ADDRESS": taken,
            "SITECREW_API__LISTEN": "off",
            "SITECREW_API__STORE_URL": f"sqlite:///{tmp_path}/api.db",
        }
        command = [sys.executable, "-m", "services.api"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=90)
    assert ran.returncode == 2
    assert ran.stderr == f"error: api.address: cannot listen on {taken}: Address already in use\n"


def told(house: Watched) -> dict[str, Any]:
    """What the projection has of all orders, installs and letters."""
    with opened(settings_of(house)) as store, store.reading() as connection:
        orders = connection.execute(select(order_views)).all()
        installs = connection.execute(select(install_views)).all()
        letters = connection.execute(select(letter_views)).all()
    facts: dict[str, Any] = {
        row.order_id: (row.state, row.domain, row.server, row.username, row.customer_email, row.placed_by)
        for row in orders
    }
    facts |= {row.install_id: (row.state, row.attempt, row.domain, row.url) for row in installs}
    letter = {row.install_id: (row.state, row.recipient, row.message_id, row.sent_at) for row in letters}
    return facts | {f"letter of {install_id}": fact for install_id, fact in letter.items()}


def kept(house: Watched) -> dict[str, Any]:
    """What the services' own rows say of the same."""
    settings = settings_of(house)
    facts: dict[str, Any] = {}
    for order in every(settings.order_intake.store_url.get_secret_value(), ORDERS):
        customer, placed_by = order.customer.email, order.source
        facts[order.order_id] = (order.state, order.domain, order.server, order.username, customer, placed_by)
    for install in every(settings.installer.store_url.get_secret_value(), INSTALLS):
        url = install.completed.site.url if install.completed else install.staged.site.url
        facts[install.install_id] = (install.state, install.current_attempt, install.domain, url)
    for mail in every(settings.mailer.store_url.get_secret_value(), MAILS):
        facts[f"letter of {mail.install_id}"] = (mail.state, mail.recipient, mail.message_id, mail.sent_at)
    return facts


def every(url: str, records: Records[Any]) -> list[Any]:
    store = Store(url)
    with store.reading() as connection:
        found = records.page(connection, None, 10_000)
    store.close()
    return found


def test_rebuilt_in_the_middle_of_many_orders_it_equals_the_stores_of_the_services(house: Watched) -> None:
    orders = [house.order("static") for _ in range(30)]
    house.until("account.created", orders[10])
    with opened(settings_of(house)) as store, store.reading() as connection:
        lines = connection.execute(select(activity.c.id)).scalars().all()
    command = [sys.executable, "-m", "sitecrew", "--config", str(house.running.config), "api", "rebuild", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert set(json.loads(ran.stdout)) == {"order-intake", "installer", "mailer"}
    for order in orders:
        house.until("mail.sent", order)
    house.eventually(lambda: told(house) == kept(house), what="the same as the stores")
    with opened(settings_of(house)) as store, store.reading() as connection:
        assert set(lines) <= set(connection.execute(select(activity.c.id)).scalars().all())
