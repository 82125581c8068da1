"""The table of exchanges, queues and bindings: complete, and nothing in it can lose a message."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.broker.delay import DELIVER, Ladder, destination
from foundation.broker.topology import DEAD_LETTERS, PARKING, UNROUTED, Queue, matches
from foundation.config import queues as table
from foundation.testing.memory.routing import Routes

TOPOLOGY = table.sitecrew(Ladder())
WORK = {
    table.INTAKE_ORDERS,
    table.INTAKE_INSTALLS,
    table.INTAKE_COMMANDS,
    table.INSTALLER_STAGED,
    table.INSTALLER_COMMANDS,
    table.MAILER_COMMANDS,
    table.INSTALLER_DUE,
    table.INSTALLER_NOW,
    table.INSTALLER_MAILS,
    table.MAILER_INSTALLS,
}
WORDS = st.sampled_from(["a", "b", "install", "v1"])
KEYS = st.lists(WORDS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), min_size=1, max_size=5).map(".".join)


def as_regex(pattern: str) -> str:
    """The same pattern in another language: of words that each begin with a dot."""
    return "".join({"*": r"\.[^.]+", "#": r"(?:\.[^.]+)*"}.get(w, re.escape(f".{w}")) for w in pattern.split("."))


@given(PATTERNS, KEYS)
def test_patterns_match_as_amqp_says(pattern: str, key: str) -> None:
    assert matches(pattern, key) == bool(re.fullmatch(as_regex(pattern), f".{key}"))


@pytest.mark.parametrize(
    ("pattern", "key", "taken"),
    [
        ("order.placed.*", "order.placed.v1", True),
        ("order.placed.*", "order.placed", False),
        ("order.placed.*", "order.placed.v1.extra", False),
        ("install.#", "install", True),
        ("install.#", "install.completed.v1", True),
        ("install.#", "installer.due", False),
        ("#", "", True),
        ("#", "whatever.it.is", True),
        ("*.1.#", "0.1.1.installer-due", True),
        ("*.1.#", "1.0.1.installer-due", False),
        ("#.installer-due", "installer-due", True),
        ("#.installer-due", "0.1.installer-due", True),
        ("#.installer-due", "installer-due.more", False),
    ],
)
def test_a_pattern_takes_these_keys_and_not_those(pattern: str, key: str, *, taken: bool) -> None:
    assert matches(pattern, key) is taken


def test_every_name_is_declared_once_and_every_binding_leads_somewhere() -> None:
    exchanges = Counter(exchange.name for exchange in TOPOLOGY.exchanges)
    queues = Counter(queue.name for queue in TOPOLOGY.queues)
    assert set(exchanges.values()) == set(queues.values()) == {1}
    for binding in TOPOLOGY.bindings:
        assert binding.source in exchanges
        assert binding.target in (exchanges if binding.to_exchange else queues)
    for queue in TOPOLOGY.queues:
        assert queue.arguments.get("x-dead-letter-exchange", DELIVER) in exchanges


@pytest.mark.parametrize("queue", TOPOLOGY.queues, ids=lambda queue: queue.name)
def test_no_queue_can_lose_a_message(queue: Queue) -> None:
    assert queue.arguments["x-queue-type"] == "quorum"
    assert not {"x-max-length", "x-max-length-bytes", "x-expires", "x-single-active-consumer"} & set(queue.arguments)
    if "x-dead-letter-exchange" in queue.arguments:
        assert queue.arguments["x-dead-letter-strategy"] == "at-least-once"
        assert queue.arguments["x-overflow"] == "reject-publish"
    else:
        assert "x-message-ttl" not in queue.arguments


@pytest.mark.parametrize("name", sorted(WORK))
def test_a_work_queue_parks_what_kills_its_workers_and_keeps_the_rest(name: str) -> None:
    (arguments,) = (queue.arguments for queue in TOPOLOGY.queues if queue.name == name)
    assert arguments["x-delivery-limit"] == 20
    assert arguments["x-dead-letter-exchange"] == DEAD_LETTERS
    assert "x-message-ttl" not in arguments


def routes() -> Routes:
    found = Routes()
    found.declare(TOPOLOGY)
    return found


@pytest.mark.parametrize("name", sorted(WORK))
def test_every_work_queue_is_reached_through_the_ladder_by_its_destination(name: str) -> None:
    assert routes().queues(DELIVER, destination(name)) == [name]
    assert routes().queues(DELIVER, f"0.0.1.{destination(name)}") == [name]


def test_what_has_no_destination_at_the_ladders_end_is_collected() -> None:
    assert routes().queues(DELIVER, "no-such-queue") == [UNROUTED]


def test_what_is_parked_reaches_parking_whatever_its_key() -> None:
    # A copy for anybody else would be confirmed for a parking queue that was deleted, and the message lost.
    assert routes().queues(PARKING, "installer.due") == [PARKING]
    assert routes().queues(DEAD_LETTERS, "installer.due") == [PARKING, table.PARKED]
    assert TOPOLOGY.expects(PARKING, "installer.due")


@pytest.mark.parametrize(
    ("exchange", "key", "queues"),
    [
        ("orders", "order.placed.v1", {table.INTAKE_ORDERS}),
        ("orders", "order.placed.v2", {table.INTAKE_ORDERS}),
        ("orders", "anything", {table.INTAKE_ORDERS}),
        ("events", "account.created.v1", set()),
        ("events", "order.rejected.v1", set()),
        ("events", "install.staged.v1", {table.INSTALLER_STAGED}),
        ("events", "install.started.v1", set()),
        ("events", "install.completed.v1", {table.INTAKE_INSTALLS, table.MAILER_INSTALLS}),
        ("events", "install.failed.v1", {table.INTAKE_INSTALLS}),
        ("events", "install.cancelled.v1", {table.INTAKE_INSTALLS}),
        ("events", "server.closed.v1", {table.INTAKE_INSTALLS}),
        ("events", "service.described.v1", {table.INTAKE_INSTALLS}),
        ("events", "service.heartbeat.v1", set()),
        ("events", "mail.sent.v1", {table.INSTALLER_MAILS}),
        ("events", "mail.failed.v1", {table.INSTALLER_MAILS}),
        ("commands", "install.cancel.v1", {table.INSTALLER_COMMANDS}),
        ("commands", "timer.run_now.v1", {table.INSTALLER_COMMANDS}),
        ("commands", "order.cancel.v1", {table.INTAKE_COMMANDS}),
        (
            "commands",
            "service.describe.v1",
            {table.INTAKE_COMMANDS, table.INSTALLER_COMMANDS, table.MAILER_COMMANDS},
        ),
        ("commands", "mail.resend.v1", {table.MAILER_COMMANDS}),
    ],
)
def test_an_event_reaches_those_who_work_on_it(exchange: str, key: str, queues: set[str]) -> None:
    assert set(routes().queues(exchange, key)) == queues
    assert TOPOLOGY.expects(exchange, key) is bool(queues)


def test_only_exchanges_of_the_table_and_the_nameless_one_can_be_published_to() -> None:
    assert all(TOPOLOGY.has_exchange(exchange.name) for exchange in TOPOLOGY.exchanges)
    assert TOPOLOGY.has_exchange("")
    assert not TOPOLOGY.has_exchange("amq.topic")
