"""While the broker is away, the log says so once, and not ten times a second."""

import socket
from contextlib import closing

import pytest
from structlog.testing import capture_logs

from foundation.broker import losses
from foundation.broker.delay import Ladder
from foundation.broker.losses import Losses
from foundation.broker.rabbit import RabbitBroker, link
from foundation.config.queues import sitecrew
from tests.support import peers
from tests.support.brokers import until


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1000.0]
    monkeypatch.setattr(losses, "monotonic", lambda: now[0])
    return now


def test_an_outage_is_told_once_and_then_rarely_with_how_often_it_was(seconds: list[float]) -> None:
    told = Losses()
    lines = []
    for _ in range(140):
        lines.append(told.to_tell("rabbit:5672", "connection refused"))
        seconds[0] += 0.5
    assert [number for number in lines if number] == [1, 60, 60]


def test_each_new_reason_is_told_at_once_and_two_that_alternate_are_no_news(seconds: list[float]) -> None:
    told = Losses()
    assert [told.to_tell("rabbit-1:5672", reason) for reason in ("reset", "refused", "reset", "refused")] == [
        1,
        1,
        0,
        0,
    ]
    assert told.to_tell("rabbit-2:5672", "refused") == 3
    seconds[0] += 31
    assert told.to_tell("rabbit-1:5672", "reset") == 1


@pytest.mark.usefixtures("seconds")
def test_the_next_outage_is_news() -> None:
    told = Losses()
    told.to_tell("rabbit:5672", "reset")
    told.to_tell("rabbit:5672", "reset")
    told.forget()
    assert told.to_tell("rabbit:5672", "reset") == 1


@pytest.mark.parametrize("behaviour", [peers.closes, peers.says(b"AMQP\x00\x01\x00\x00")])
def test_each_connection_tells_once_of_a_broker_that_stays_away_and_goes_on_trying(
    behaviour: peers.Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_PAUSES", (0.01,))
    tries: list[None] = []

    def counted(connection: socket.socket) -> None:
        tries.append(None)
        behaviour(connection)

    with (
        peers.listening(counted) as port,
        closing(RabbitBroker([f"amqp://127.0.0.1:{port}/"], sitecrew(Ladder()), patience=0.2)) as broker,
        capture_logs() as lines,
    ):
        broker.publisher()
        broker.consumer("intake.orders", 1)
        until(lambda: len(tries) > 20, 60)
    told = [(line["connection"], line["reason"]) for line in lines if line["event"] == "broker.disconnected"]
    assert {connection for connection, _ in told} == {"publisher", "intake.orders"}
    assert len(told) == len(set(told)), told
