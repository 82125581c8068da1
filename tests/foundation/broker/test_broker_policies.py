"""What the house's policies do to our queues, and how far these would survive a node, by what management says."""

import json
import socket
from typing import Any

import pytest

from foundation.broker.delay import Ladder
from foundation.broker.rabbit.management import Management
from foundation.broker.rabbit.policies import are_known, harms, thin
from foundation.broker.tls import Tls
from foundation.config import queues as table
from foundation.config.queues import UNLIMITED
from foundation.errors import BrokerUnreachable, ConfigurationError
from tests.support import peers

TOPOLOGY = table.sitecrew(Ladder(unit_ms=1000, levels=2))


def state(name: str, definition: object = None, **other: object) -> dict[str, Any]:
    return {"name": name, "effective_policy_definition": definition or {}, "type": "quorum", **other}


@pytest.mark.parametrize(
    ("name", "definition", "said"),
    [
        (
            "intake.orders",
            {"message-ttl": 2000},
            "policy 'house' deletes messages after 2000 ms (message-ttl): intake",
        ),
        ("intake.orders", {"expires": 60000}, "nobody has used it for 60000 ms (expires)"),
        ("installer.due", {"max-length": 5}, "accepts at most 5 messages (max-length)"),
        ("unrouted", {"max-length-bytes": 1000}, "accepts at most 1000 bytes (max-length-bytes)"),
        ("parking", {"delivery-limit": 20}, "removes messages that were delivered 20 times (delivery-limit)"),
        ("intake.orders", {"delivery-limit": 3}, "delivered 3 times"),
        ("delay.1", {"message-ttl": 1999}, "deletes messages after 1999 ms"),
        ("installer.now", {"overflow": "drop-head"}, "makes full queues 'drop-head' instead of 'reject-publish'"),
        ("delay.0", {"dead-letter-routing-key": "x"}, "sends what leaves the queue to 'x'"),
    ],
)
def test_a_policy_that_loses_or_holds_up_messages_is_named(name: str, definition: object, said: str) -> None:
    (sentence,) = harms(TOPOLOGY, [state(name, definition, policy="house")])
    assert said in sentence


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("intake.orders", {}),
        ("intake.orders", []),
        ("intake.orders", None),
        ("intake.orders", {"overflow": "reject-publish"}),
        ("intake.orders", {"dead-letter-exchange": "x", "dead-letter-strategy": "at-most-once"}),  # ours count
        ("intake.orders", {"delivery-limit": 50}),  # ours is smaller
        ("parking", {"delivery-limit": UNLIMITED}),
        ("delay.1", {"message-ttl": 2000}),
        ("somebody.else", {"message-ttl": 1}),
    ],
)
def test_a_policy_that_changes_nothing_for_us_is_not(name: str, definition: object) -> None:
    assert harms(TOPOLOGY, [state(name, definition, policy="house")]) == []


def test_what_one_policy_does_to_many_queues_is_one_sentence_and_the_operators_is_told_apart() -> None:
    names = [queue.name for queue in TOPOLOGY.queues]
    said = harms(TOPOLOGY, [state(name, {"expires": 9}, policy=None, operator_policy="op") for name in names])
    assert len(said) == 1
    assert said[0].startswith("the operator policy 'op' deletes the whole queue")
    assert said[0].endswith(f"and {len(names) - 3} more")


def test_management_may_not_know_yet() -> None:
    assert not are_known(TOPOLOGY, [state("parking"), {"name": "unrouted"}])
    assert are_known(TOPOLOGY, [state("parking"), {"name": "somebody.else"}])


def test_a_queue_on_fewer_nodes_than_there_are_is_named() -> None:
    alone = state("parking", members=["a"], online=["a"])
    whole = state("unrouted", members=["a", "b", "c"], online=["a", "b", "c"])
    assert thin(TOPOLOGY, [alone, whole], nodes=1) == []
    (said,) = thin(TOPOLOGY, [alone, whole], nodes=5)
    assert said.startswith("only 1 of 5 nodes have it, because the others joined later: parking.")
    assert "rabbitmq-queues grow" in said


def test_a_queue_that_has_lost_its_majority_is_named() -> None:
    (said,) = thin(TOPOLOGY, [state("parking", members=["a", "b", "c"], online=["a"])], nodes=3)
    assert said == "the majority of its members is away: parking"


# The HTTP API


def answer(status: str, body: bytes = b"[]") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


def management(port: int, user: str = "") -> Management:
    return Management.of(f"http://{user}127.0.0.1:{port}/", "amqp://ann:hunt%2Cer2@rabbit/a%2Fb", 0.5, Tls())


@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        (peers.says(answer("401 Unauthorized")), ConfigurationError, "refuses the user ann: rabbitmqctl set_user_tags"),
        (peers.says(answer("403 Forbidden")), ConfigurationError, "refuses the user ann"),
        (
            peers.says(answer("404 Not Found")),
            BrokerUnreachable,
            r"answers \(404\), but not like RabbitMQ's",
        ),
        (peers.says(answer("200 OK", b"<html>")), BrokerUnreachable, "but not like RabbitMQ's"),
        (peers.says(answer("200 OK", b"{}")), BrokerUnreachable, "but not like RabbitMQ's"),
        (peers.silent, BrokerUnreachable, "cannot query .*Check amqp_management_url"),
        (peers.closes, BrokerUnreachable, "cannot query"),
    ],
)
def test_a_management_that_does_not_tell_is_told_with_what_to_do(
    behaviour: peers.Behaviour, error: type[Exception], said: str
) -> None:
    with peers.listening(behaviour) as port, pytest.raises(error, match=said) as caught:
        management(port).queues()
    assert "er2" not in str(caught.value)


def test_it_is_asked_for_our_virtual_host_as_the_user_of_the_broker_or_another() -> None:
    heard: list[bytes] = []

    def note(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(answer("200 OK", json.dumps([state("parking")]).encode()))

    with peers.listening(note) as port:
        assert management(port).queues() == [state("parking")]
        assert management(port, "watcher:pw@").queues() == [state("parking")]
    assert [line.split()[1] for line in heard] == [b"/api/queues/a%2Fb"] * 2
    assert b"Basic YW5uOmh1bnQsZXIy" in heard[0]  # ann:hunt,er2
    assert b"Basic d2F0Y2hlcjpwdw==" in heard[1]
    assert "er2" not in repr(management(1))
