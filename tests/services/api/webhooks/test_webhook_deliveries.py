"""What becomes of an event that a receiver wants: noted once, posted, tried again, given up."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select
from standardwebhooks import Webhook

from foundation.config.settings import Api
from foundation.errors import NotFound, Refused
from foundation.store import Store
from foundation.telemetry.health import Heartbeats
from schemas.envelope import Event
from services.api.projection.projector import project
from services.api.service import MIGRATIONS
from services.api.webhooks import deliveries, endpoints
from services.api.webhooks.deliveries import Delivery
from services.api.webhooks.dispatcher import AT_A_TIME, Dispatcher
from services.api.webhooks.posting import Poster, Result
from services.api.webhooks.tables import State
from services.api.webhooks.tables import endpoints as endpoint_table
from tests.support.house import START, Clock, House, failure
from tests.support.receiver import Receiver, hang, receiver, status

OWN = Api(secret_key=SecretStr("a long random text"), webhooks_to_private=True)


class Hooks:
    """A store with endpoints and deliveries, and a dispatcher."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = Clock()
        self.dispatcher = self.another()

    def another(self, own: Api = OWN) -> Dispatcher:
        made = Dispatcher(self.store, self.clock.now, own, Heartbeats())
        made._poster = Poster(to_private=True, deadline=2)
        return made

    def create(self, url: str, types: str = "*", source: str | None = None) -> tuple[str, str]:
        with self.store.transaction() as connection:
            made, secret = endpoints.create(connection, OWN, url, types.split(), source, "ann", self.clock.now())
        return made.id, secret

    def tell(self, *events: Event[Any]) -> None:
        with self.store.transaction() as connection:
            project(connection, events, self.clock.now())
            deliveries.note(connection, events, self.clock.now())

    def all(self, endpoint: str) -> list[Delivery]:
        with self.store.reading() as connection:
            return deliveries.latest(connection, endpoint, 1000)[::-1]

    def states(self, endpoint: str) -> list[State]:
        return [one.state for one in self.all(endpoint)]

    def until(self, reached: Callable[[], Any], dispatcher: Dispatcher | None = None) -> None:
        deadline = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < deadline, "it never happened"
            (dispatcher or self.dispatcher).run_once()
            (dispatcher or self.dispatcher)._news.wait(0.05)

    def idle(self) -> None:
        self.until(lambda: self.dispatcher.run_once() == 0)


@pytest.fixture(name="receiver")
def a_receiver() -> Iterator[Receiver]:
    with receiver() as one:
        yield one


@pytest.fixture(params=["sqlite", "postgresql"])
def hooks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hooks]:
    url = f"sqlite:///{tmp_path}/api.db"
    store = Store(url if request.param == "sqlite" else request.getfixturevalue("postgres").database())
    store.migrate([MIGRATIONS])
    yield Hooks(store)
    store.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Event[Any]]:
    """What is published about an order whose install failed once."""
    house = House(tmp_path_factory.mktemp("house"))
    house.installer.failures = [failure("db_down")]
    house.order()
    house.advance_until(house.mailed)
    return house.events()


def test_each_wanted_event_is_posted_once_and_verifies(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    everything, secret = hooks.create(receiver.url("/all"))
    installs, _ = hooks.create(receiver.url("/installs"), "install.* mail.sent")
    hooks.tell(*told)
    hooks.tell(*told[::-1])
    hooks.idle()
    got = receiver.at("/all")
    published = [
        event for event in told if event.type.startswith(("sitecrew.order.acc", "sitecrew.acc", "sitecrew.ins"))
    ]
    assert {event.id for event in published} <= {json.loads(one.body)["id"] for one in got}
    assert len({one.headers["webhook-id"] for one in got}) == len(got) == len(hooks.all(everything))
    assert all(Webhook(secret).verify(one.body, one.headers)["specversion"] == "1.0" for one in got)
    kinds = {json.loads(one.body)["type"].split(".")[1] for one in receiver.at("/installs")}
    assert kinds == {"install", "mail"}
    assert set(hooks.states(everything) + hooks.states(installs)) == {State.DELIVERED}


def test_nothing_sealed_is_posted(hooks: Hooks, receiver: Receiver, told: list[Event[Any]]) -> None:
    assert any("sealed_" in event.model_dump_json() for event in told)
    hooks.create(receiver.url())
    hooks.tell(*told)
    hooks.idle()
    assert receiver.received
    assert not [one for one in receiver.received if b"sealed_" in one.body]


def test_what_a_rebuild_tells_is_not_posted(hooks: Hooks, receiver: Receiver, told: list[Event[Any]]) -> None:
    id, _ = hooks.create(receiver.url())
    hooks.tell(*[event.model_copy(update={"replay": True}) for event in told])
    assert hooks.all(id) == []


def test_a_producer_gets_what_concerns_its_own_orders(hooks: Hooks, receiver: Receiver, told: list[Event[Any]]) -> None:
    [placed_by] = {event.data.placed_by for event in told if hasattr(event.data, "placed_by")}
    own, _ = hooks.create(receiver.url("/own"), source=placed_by)
    other, _ = hooks.create(receiver.url("/other"), source="/another-shop")
    accepted = [event for event in told if hasattr(event.data, "placed_by")]
    hooks.tell(*[event for event in told if event not in accepted])
    assert set(hooks.states(own) + hooks.states(other)) == {State.HELD}
    hooks.idle()
    assert not receiver.received
    hooks.tell(*accepted)
    with hooks.store.transaction() as connection:
        deliveries.release_held(connection, hooks.clock.now())
    hooks.idle()
    assert set(hooks.states(own)) == {State.DELIVERED}
    assert hooks.all(other) == []
    assert receiver.at("/own")
    assert not receiver.at("/other")


def test_a_failed_delivery_is_tried_again_ever_more_rarely_and_given_up_after_three_days(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    receiver.behaviours["/"] = status(500, b"broken")
    id, _ = hooks.create(receiver.url(), "install.completed")
    hooks.tell(*told)
    waited = []
    while hooks.states(id) == [State.WAITING]:
        attempts = len(receiver.received)
        hooks.idle()
        [one] = hooks.all(id)
        assert (one.status, one.answer, one.attempt) == (500, "broken", attempts + 1)
        if one.due_at:
            waited.append(one.due_at - hooks.clock.now())
            hooks.clock.moment = one.due_at
    assert waited[:5] == [timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360)]
    assert all(timedelta(hours=6) <= pause <= timedelta(hours=12) for pause in waited[5:])
    assert timedelta(days=2) < hooks.clock.now() - START <= timedelta(days=3)
    assert hooks.states(id) == [State.DEAD]
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    with hooks.store.reading() as connection:
        assert deliveries.numbers(connection) == {"dead": 1, "held": 0, "waiting": 0}


def test_a_dead_delivery_can_be_posted_again_under_the_same_id(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    id, _ = hooks.create(receiver.url(), "install.completed")
    hooks.tell(*told)
    hooks.idle()
    [one] = hooks.all(id)
    with hooks.store.transaction() as connection:
        deliveries.redeliver(connection, one.id, hooks.clock.now())
    with pytest.raises(Refused), hooks.store.transaction() as connection:
        deliveries.redeliver(connection, one.id, hooks.clock.now())
    hooks.idle()
    assert [got.headers["webhook-id"] for got in receiver.received] == [one.id, one.id]
    with pytest.raises(NotFound), hooks.store.transaction() as connection:
        deliveries.redeliver(connection, "none", hooks.clock.now())


def test_410_disables_the_webhook(hooks: Hooks, receiver: Receiver, told: list[Event[Any]]) -> None:
    receiver.behaviours["/"] = status(410)
    id, _ = hooks.create(receiver.url(), "install.*")
    hooks.tell(*told)
    hooks.until(lambda: State.WAITING not in hooks.states(id))
    hooks.idle()
    with hooks.store.transaction() as connection:
        assert endpoints.get(connection, id).disabled_because == "the receiver answered 410 Gone"
        with pytest.raises(Refused, match="410 Gone"):
            deliveries.send_test(connection, id, START)
        endpoints.enable(connection, id)
        deliveries.send_test(connection, id, START)
    receiver.behaviours.clear()
    hooks.idle()
    assert hooks.states(id)[-1] == State.DELIVERED
    assert json.loads(receiver.received[-1].body)["type"] == "sitecrew.webhook.test.v1"


@pytest.mark.parametrize(("wish", "pause"), [("600", timedelta(minutes=10)), ("999999", timedelta(hours=1))])
def test_a_receiver_that_asks_for_a_pause_is_left_alone_by_all_deliveries(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]], wish: str, pause: timedelta
) -> None:
    receiver.behaviours["/"] = status(429, b"", **{"Retry-After": wish})
    id, _ = hooks.create(receiver.url(), "install.completed")
    other, _ = hooks.create(receiver.url("/other"), "install.completed")
    hooks.tell(*told)
    hooks.idle()
    until = hooks.clock.now() + pause
    with hooks.store.transaction() as connection:
        assert endpoints.get(connection, id).paused_until == until
        deliveries.send_test(connection, id, hooks.clock.now())  # waits too
    receiver.behaviours.clear()
    hooks.clock.moment = until - timedelta(seconds=1)
    hooks.idle()
    assert (len(receiver.at("/")), hooks.states(other)) == (1, [State.DELIVERED])
    hooks.clock.moment = until
    hooks.idle()
    assert hooks.states(id) == [State.DELIVERED] * 2


def test_what_a_killed_replica_had_claimed_another_one_posts(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    id, _ = hooks.create(receiver.url(), "install.completed")
    hooks.tell(*told)
    with hooks.store.transaction() as connection:  # claimed by one that is killed before it posts
        [lost] = deliveries.claim(connection, id, 5, hooks.clock.now())
    hooks.idle()
    assert not receiver.received
    hooks.clock.moment += deliveries.LEASE + timedelta(seconds=1)
    hooks.until(lambda: hooks.states(id) == [State.DELIVERED])
    assert [one.headers["webhook-id"] for one in receiver.received] == [lost.id]


def test_the_late_result_of_one_that_lost_its_lease_counts_for_nothing(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    id, _ = hooks.create(receiver.url(), "install.completed")
    hooks.tell(*told)
    with hooks.store.transaction() as connection:
        [slow] = deliveries.claim(connection, id, 5, hooks.clock.now())
    hooks.clock.moment += deliveries.LEASE + timedelta(seconds=1)
    with hooks.store.transaction() as connection:
        successor = deliveries.claim(connection, id, 5, hooks.clock.now())
        deliveries.record(connection, slow, Result(410, ""), hooks.clock.now())
    assert hooks.all(id) == [replace(one, due_at=hooks.clock.now() + deliveries.LEASE) for one in successor]
    with hooks.store.transaction() as connection:
        deliveries.record(connection, successor[0], Result(200, ""), hooks.clock.now())
        deliveries.record(connection, slow, Result(500, ""), hooks.clock.now())
    assert hooks.states(id) == [State.DELIVERED]


def test_several_replicas_post_everything_once(hooks: Hooks, receiver: Receiver, told: list[Event[Any]]) -> None:
    id, _ = hooks.create(receiver.url())
    hooks.tell(*told)
    replicas = [hooks.dispatcher, hooks.another(), hooks.another()]
    while sum(replica.run_once() for replica in replicas) or State.WAITING in hooks.states(id):
        pass
    assert len(receiver.received) == len(hooks.all(id)) == len({one.headers["webhook-id"] for one in receiver.received})


def test_one_that_hangs_holds_up_nobody_else(hooks: Hooks, receiver: Receiver, told: list[Event[Any]]) -> None:
    receiver.behaviours["/hangs"] = hang(receiver)
    hooks.dispatcher._poster = Poster(to_private=True, deadline=60)
    hanging, _ = hooks.create(receiver.url("/hangs"))
    others = [hooks.create(receiver.url(f"/{number}"))[0] for number in range(3)]
    hooks.tell(*told)
    hooks.until(lambda: all(set(hooks.states(other)) == {State.DELIVERED} for other in others))
    assert set(hooks.states(hanging)) == {State.WAITING}
    assert len(receiver.at("/hangs")) <= AT_A_TIME
    receiver.ended.set()


def test_a_rotated_secret_and_the_old_one_both_verify_for_a_day(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    id, old = hooks.create(receiver.url(), "install.completed")
    with hooks.store.transaction() as connection:
        new = endpoints.rotate(connection, OWN, id, hooks.clock.now())
        kept = connection.execute(select(endpoint_table)).mappings().one()
    assert not [secret for secret in (old, new) if secret in str(dict(kept)) or secret[6:] in str(dict(kept))]
    hooks.tell(*told)
    hooks.idle()
    hooks.clock.moment += endpoints.OVERLAP
    with hooks.store.transaction() as connection:
        deliveries.send_test(connection, id, hooks.clock.now())
    hooks.idle()
    signed = [one.headers["webhook-signature"].count("v1,") for one in receiver.received]
    assert signed == [2, 1]
    for secret in (old, new):
        Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    Webhook(new).verify(receiver.received[1].body, receiver.received[1].headers)


def test_with_another_secret_key_it_is_said_that_secrets_cannot_be_read(
    hooks: Hooks, receiver: Receiver, told: list[Event[Any]]
) -> None:
    id, _ = hooks.create(receiver.url(), "install.completed")
    hooks.tell(*told)
    changed = hooks.another(Api(secret_key=SecretStr("another"), webhooks_to_private=True))
    hooks.until(lambda: hooks.all(id)[0].answer, changed)
    assert "api.secret_key has changed" in str(hooks.all(id)[0].answer)
    assert not receiver.received


def test_a_webhook_that_cannot_work_is_not_created(hooks: Hooks) -> None:
    with hooks.store.transaction() as connection:
        for own, url, types, wrong in (
            (OWN, "https://shop.example/", ["install.begun"], "no event is called 'install.begun'"),
            (OWN, "https://user@shop.example/", ["*"], "must not contain a user name"),
            (Api(secret_key=SecretStr("x")), "http://shop.example/", ["*"], "must begin with https"),
            (Api(secret_key=SecretStr("x")), "https://[::1]/", ["*"], "loopback"),
            (Api(), "https://shop.example/", ["*"], "api.secret_key is not set"),
        ):
            with pytest.raises(Refused, match=wrong.replace("*", "\\*")):
                endpoints.create(connection, own, url, types, None, "ann", START)
