"""Webhooks of real processes: killed between claim and result, nothing is lost."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from standardwebhooks import Webhook

from foundation.config.settings import load
from foundation.store import Store
from services.api.webhooks import endpoints
from services.api.webhooks.tables import State, deliveries
from sitecrew.stack.machine import Plan
from tests.support.receiver import receiver
from tests.support.watching import Watched, watched


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str]) -> Iterator[Watched]:
    settings = {"timer.every": "*/2 * * * * *", "api.webhooks_to_private": "true"}
    plan = Plan(tmp_path_factory.mktemp("webhooks"), ("static",), amqp_url=next(vhosts), settings=settings)
    with watched(plan) as stack:
        yield stack


def test_an_api_killed_while_it_posts_loses_no_event(house: Watched) -> None:
    own = load(house.running.config, environment=False).api
    key = SecretStr((house.running.config.parent / "api.key").read_text().strip())
    own = own.model_copy(update={"secret_key": key})
    store, begun = Store(own.store_url.get_secret_value()), threading.Event()
    with receiver() as there:

        def hang_once(request: BaseHTTPRequestHandler) -> None:
            if not begun.is_set():
                begun.set()
                there.ended.wait()
            request.send_response(204)
            request.end_headers()

        there.behaviours["/"] = hang_once
        with store.transaction() as connection:
            _, secret = endpoints.create(connection, own, there.url(), ["*"], None, "test", datetime.now(UTC))
        order, child = house.order("static"), house.running.services["api"]
        assert begun.wait(60)
        ended = child.pid
        os.kill(ended, signal.SIGKILL)
        house.until("mail.sent", order)
        house.eventually(lambda: child.pid != ended, what="another api")
        with store.transaction() as connection:  # as if the leases of the killed one had ended
            waiting = deliveries.c.state == State.WAITING
            connection.execute(update(deliveries).where(waiting).values(due_at=datetime.now(UTC)))

        def got() -> set[str]:
            return {json.loads(one.body)["type"] for one in there.received}

        wanted = {
            f"sitecrew.{name}.v1"
            for name in ("order.accepted", "account.created", "install.staged", "install.completed", "mail.sent")
        }
        house.eventually(lambda: wanted <= got(), what="all events")
        first = there.received[0].headers["webhook-id"]
        house.eventually(lambda: [one.headers["webhook-id"] for one in there.received].count(first) == 2, what="again")
        for one in there.received:
            Webhook(secret).verify(one.body, one.headers)
    store.close()
