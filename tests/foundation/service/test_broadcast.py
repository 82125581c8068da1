"""Events that may be lost."""

from collections.abc import Sequence
from time import monotonic
from typing import Any

import pytest

from foundation.broker import Confirmation, Message, codec
from foundation.broker.delay import Ladder
from foundation.config.queues import sitecrew
from foundation.service import broadcast as module
from foundation.service.broadcast import Broadcast
from foundation.testing.memory import MemoryBroker
from schemas.installs import InstallProgress, TimerResumed
from tests.support.house import START


def step(name: str) -> InstallProgress:
    return InstallProgress(install_id="1-g1", order_id="1", generation=1, attempt=1, step=name)


class Recording:
    """A publisher that answers as it is told to, and keeps what it was given."""

    def __init__(self, answer: Confirmation) -> None:
        self.answer = answer
        self.published: list[Message] = []

    def publish(self, messages: Sequence[Message], timeout: float = 30.0) -> list[Confirmation]:
        self.published += messages
        return [self.answer] * len(messages)

    def close(self) -> None:
        return


def test_whoever_watches_gets_it_with_its_trace() -> None:
    broker = MemoryBroker(sitecrew(Ladder()), lambda: START)
    watching = broker.watch("events", "#")
    broadcast = Broadcast(broker.publisher(), "installer", lambda: START)
    cause = codec.envelope(TimerResumed(), id="1", source="/test", subject=None, authid="jo", authtype="user")
    broadcast.tell(step("verify"), "1", cause)
    broadcast.run_once(0)
    [event] = [codec.read(delivery) for delivery in watching.take(10, 0)]
    assert (event.data, event.source, event.subject, event.authid) == (
        step("verify"),
        "/sitecrew/installer",
        "1",
        "jo",
    )


def test_what_nobody_listens_to_is_published_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [monotonic()]
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    nobody = Recording(Confirmation.UNROUTABLE)
    broadcast = Broadcast(nobody, "installer", lambda: START)
    for name in "abc":
        broadcast.tell(step(name), "1")
        broadcast.run_once(0)
    assert len(nobody.published) == 1
    broadcast.tell(TimerResumed())
    broadcast.run_once(0)
    assert len(nobody.published) == 2, "another type of event may have listeners"
    now[0] += module._UNHEARD
    broadcast.tell(step("d"), "1")
    broadcast.run_once(0)
    assert [codec.decode(message.body).data for message in nobody.published][2:] == [step("d")]


def test_without_a_broker_nothing_piles_up_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    away = Recording(Confirmation.UNKNOWN)
    broadcast = Broadcast(away, "installer", lambda: START)
    for name in "abc":
        broadcast.tell(step(name), "1")
    broadcast.run_once(0)
    broadcast.run_once(0)
    told: list[Any] = [codec.decode(message.body).data for message in away.published]
    assert told == [step("a"), step("b")], "nothing is published again"
