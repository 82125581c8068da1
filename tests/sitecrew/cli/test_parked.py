"""What could not be handled: looked at with care, put back without loss, deleted for good."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foundation.broker import Confirmation, Consumer, Delivery, Message, codec, payloads
from foundation.broker.delay import Ladder
from foundation.broker.topology import PARKING, UNROUTED
from foundation.clock import utc_now
from foundation.config.queues import INSTALLER_DUE, INTAKE_ORDERS
from foundation.config.queues import sitecrew as topology
from foundation.handling import parking
from foundation.testing.memory import MemoryBroker
from schemas.envelope import Event
from schemas.services import MessagePurged, MessageRequeued
from sitecrew.cli import everywhere
from sitecrew.cli.client import session
from sitecrew.cli.output import terminal
from tests.support.cli import Ran, settings_file
from tests.support.cli import sitecrew as run

Command = Callable[..., Ran]
BODY = b'{"data": {"order_id": "1042", "password": "canary"}}'
REASON = {
    "parked-at": "2026-01-01T12:00:00+00:00",
    "parked-by": "/sitecrew/order-intake",
    "parked-from": INTAKE_ORDERS,
    "reason-code": "invalid_order",
    "reason": "data.site_type must be one of wordpress, static",
    "remedy": "correct it at the producer",
    "field": "data.site_type",
    "sent-by": "/shop",
    "original-message-id": "theirs",
}


ONCE = {"first-parked-at": "2026-01-01T12:00:00Z", "times-parked": 2}
"""What stays of having been parked once."""


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBroker]:
    made = MemoryBroker(topology(Ladder()), utc_now)
    made.declare()
    monkeypatch.setattr(session, "broker_of", lambda _settings, _name: made)
    yield made
    made.close()


@pytest.fixture
def sitecrew(tmp_path: Path) -> Command:
    config = settings_file(tmp_path)
    return lambda *arguments: run("--config", config, "parked", *arguments)


def park(broker: MemoryBroker, *messages: Message) -> None:
    assert set(broker.publisher().publish(messages)) == {Confirmation.CONFIRMED}


def parked(name: str = "p1", body: bytes = BODY, **changes: Any) -> Message:
    """As a service parks."""
    fields = {"message_id": name, "type": "sitecrew.order.placed.v1", "headers": REASON, **changes}
    return Message(PARKING, "", body, **fields)


def names(broker: MemoryBroker, queue: str = PARKING) -> list[str]:
    return [delivery.name for delivery in broker.browse(queue, 100)]


def test_the_list_says_since_when_from_where_why_and_what_to_do(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked("p1"), parked("p2"))
    ran = sitecrew("list")
    header, first, _ = ran.lines
    assert header.split() == ["NO", "ID", "ORDER", "TYPE", "FROM", "CODE", "AGE", "SENDER", "REASON", "REMEDY"]
    assert first.split()[:6] == ["1", "p1", "1042", "order.placed.v1", INTAKE_ORDERS, "invalid_order"]
    assert "/shop" in first
    assert first.endswith(f"{REASON['reason']}  {REASON['remedy']}")
    assert ran.stderr == "2 in parking\n"
    assert sitecrew("list", "--limit", "1").stderr == "2 in parking; only the first 1 are shown\n"


def test_numbers_stay_with_their_messages_when_many_were_parked_within_a_second(
    broker: MemoryBroker, sitecrew: Command
) -> None:
    park(broker, parked("p3"), parked("p1"), parked("p2"))
    assert [line.split()[:2] for line in sitecrew("list").lines[1:]] == [["1", "p1"], ["2", "p2"], ["3", "p3"]]
    assert sitecrew("purge", "2", "--yes").lines == ["p2"]


def test_before_deleting_it_is_said_what_would_be_deleted(
    broker: MemoryBroker, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(broker, *(parked(f"p{number:02}") for number in range(12)))
    monkeypatch.setattr(everywhere, "may_ask", lambda _: True)
    ran = sitecrew("purge", "--all")
    assert f"warning: p00 (order 1042): invalid_order: {REASON['reason']}\n" in ran.stderr
    assert "warning: and 2 more\n" in ran.stderr
    assert len(names(broker)) == 12


def test_the_type_of_what_a_producer_sent_is_read_from_its_body(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked(type="", body=b'{"type": "sitecrew.order.placed.v1", "data": {"order_id": "1042"}}'))
    assert sitecrew("list").lines[1].split()[2:4] == ["1042", "order.placed.v1"]
    assert sitecrew("list", "--json").json[0]["type"] == "sitecrew.order.placed.v1"


def test_the_longest_code_is_not_broken_at_80_columns(
    broker: MemoryBroker, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {**REASON, "reason-code": "server_root_missing"}
    park(broker, parked("01a2193d-8e9b-77f7-8cc5-cd5517a5b5a3", headers=headers))
    monkeypatch.setattr(terminal, "on_terminal", lambda: True)
    monkeypatch.setattr(terminal, "width", lambda: 80)
    row = sitecrew("list").lines[1].split()
    assert row[1:6] == ["17a5b5a3", "1042", "order.placed.v1", INTAKE_ORDERS, "server_root_missing"]
    assert sitecrew("show", row[1]).exit_code == 0


def test_the_list_as_json_has_all_but_the_bodies(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked())
    (record,) = sitecrew("list", "--json").json
    assert record["id"] == "p1"
    assert record["parked_at"] == "2026-01-01T12:00:00Z"
    assert (record["came_from"], record["code"], record["sent_by"]) == (INTAKE_ORDERS, "invalid_order", "/shop")
    assert record["message_id"] == "theirs"
    assert "canary" not in str(record)


def test_an_empty_queue_has_an_empty_list(sitecrew: Command) -> None:
    assert (sitecrew("list").stdout, sitecrew("list", "--json").json) == ("", [])


def test_without_topology_there_is_no_queue_to_look_into(monkeypatch: pytest.MonkeyPatch, sitecrew: Command) -> None:
    bare = MemoryBroker(topology(Ladder()), utc_now)
    monkeypatch.setattr(session, "broker_of", lambda _settings, _name: bare)
    ran = sitecrew("list")
    assert (ran.exit_code, ran.stdout) == (5, "")
    assert "sitecrew topology declare" in ran.stderr


def test_one_message_is_shown_with_its_body_but_not_its_secrets(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked(headers={**REASON, "ce-token": "canary", "ce-source": "/shop"}))
    ran = sitecrew("show", "p1")
    assert "canary" not in ran.stdout
    for piece in ("invalid_order", "/shop", "data.site_type", '"order_id": "1042"', '"password": "[redacted]"'):
        assert piece in ran.stdout
    shown = sitecrew("show", "p1", "--json").json
    assert json.loads(shown["body"]["text"])["data"]["password"] == "[redacted]"
    assert shown["headers"]["ce-token"] == "[redacted]"
    assert sitecrew("show", "p9").exit_code == 5


def test_requeueing_restores_the_message_as_it_was_sent(broker: MemoryBroker, sitecrew: Command) -> None:
    binary = {"ce-id": "1", "cloudEvents_source": "/shop", "cloudEvents:type": "t", "x-death": "old", "other": "x"}
    park(broker, parked(content_type="application/json", headers={**REASON, **binary}), parked("p2"))
    ran = sitecrew("requeue", "p1")
    assert (ran.exit_code, ran.stdout) == (0, f"p1  {INTAKE_ORDERS}\n")
    (back,) = broker.browse(INTAKE_ORDERS, 10)
    assert (back.body, back.content_type, back.type) == (BODY, "application/json", "sitecrew.order.placed.v1")
    assert back.message_id == "theirs"
    assert back.headers == {"ce-id": "1", "cloudEvents_source": "/shop", "cloudEvents:type": "t", **ONCE}
    assert names(broker) == ["p2"]


def test_everything_can_be_requeued_at_once(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, *(parked(f"p{number}", b"%d" % number) for number in range(450)))
    answers = sitecrew("requeue", "--all", "--json").json
    assert {answer["outcome"] for answer in answers} == {"confirmed"}
    assert [delivery.body for delivery in broker.browse(INTAKE_ORDERS, 1000)] == [b"%d" % n for n in range(450)]
    assert names(broker) == []


def told(watching: Consumer) -> list[Event[Any]]:
    return [codec.decode(delivery.body) for delivery in watching.take(100, 0)]


def test_who_put_back_or_deleted_what_is_told_once_it_is_done(
    broker: MemoryBroker, sitecrew: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITECREW_ACTOR", "dana")
    monkeypatch.setattr(broker, "close", lambda: None)
    park(broker, parked("p1"), parked("p2", b"unreadable"), parked("p3", b'{"data": {"order_id": "a\\nb"}}'))
    watching = broker.watch("events", "message.#")
    sitecrew("requeue", "--all", "--dry-run")
    assert told(watching) == []
    sitecrew("requeue", "p1")
    sitecrew("purge", "p2", "p3", "--yes")
    requeued, *purged = told(watching)
    assert (requeued.authtype, requeued.authid, requeued.source) == ("user", "dana", "/sitecrew/cli")
    assert requeued.data == MessageRequeued(message_id="p1", queue=INTAKE_ORDERS, order_id="1042")
    assert [event.data for event in purged] == [
        MessagePurged(message_id="p2"),
        MessagePurged(message_id="p3", order_id="ab"),
    ]
    park(broker, parked("p4", content_type="application/cloudevents+json"))
    corrected = tmp_path / "corrected.json"
    corrected.write_text(json.dumps(PLACED).replace("wordpres", "wordpress"))
    assert sitecrew("edit", "p4", "--file", str(corrected)).exit_code == 0
    assert [event.data.message_id for event in told(watching)] == ["p4"]


def test_what_the_broker_does_not_confirm_stays_parked(
    broker: MemoryBroker, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        def publish(self, messages: Sequence[Message], timeout: float = 30) -> list[Confirmation]:
            return [Confirmation.UNKNOWN] * len(messages)

        def close(self) -> None:
            """Like any publisher."""

    park(broker, parked())
    monkeypatch.setattr(broker, "publisher", Deaf)
    ran = sitecrew("requeue", "--all")
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert names(broker) == ["p1"]


def test_a_requeue_that_is_killed_in_between_loses_nothing(
    broker: MemoryBroker, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> list[str]:
        raise KeyboardInterrupt

    park(broker, parked())
    monkeypatch.setattr(broker, "remove", killed)
    assert sitecrew("requeue", "p1").exit_code == 130
    assert (names(broker), names(broker, INTAKE_ORDERS)) == (["p1"], ["theirs"])


def test_what_belongs_nowhere_is_refused_and_the_rest_goes_back(broker: MemoryBroker, sitecrew: Command) -> None:
    stray = parked("stray", headers={**REASON, "parked-from": "delay.3"})
    park(broker, stray, parked("good"), Message(PARKING, "", b"bare", message_id="bare"))
    ran = sitecrew("requeue", "--all")
    assert (ran.exit_code, ran.stdout) == (6, f"good  {INTAKE_ORDERS}\n")
    assert "stray, bare" in ran.stderr
    assert names(broker) == ["stray", "bare"]


def test_if_one_of_the_named_is_missing_none_is_touched(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked("p1"))
    for verb in (("requeue",), ("purge", "--yes")):
        ran = sitecrew(*verb, "p1", "p2")
        assert (ran.exit_code, ran.stdout) == (5, "")
        assert "p2" in ran.stderr
    assert names(broker) == ["p1"]


def test_messages_without_an_id_have_a_name_all_the_same(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked("", b"a"), parked("with space", b"b"), parked("", b"a"))
    first, second, third = (record["id"] for record in sitecrew("list", "--json").json)
    assert first == third != second
    assert sitecrew("purge", "--yes", second).lines == [second]
    assert sitecrew("requeue", first).lines == [f"{first}  {INTAKE_ORDERS}"] * 2
    assert names(broker) == []
    assert broker.depth(INTAKE_ORDERS) == 2


def test_purging_deletes_what_is_named_or_all(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked("p1"), parked("p2"), parked("p3"))
    assert sitecrew("purge", "p2", "--yes").lines == ["p2"]
    assert names(broker) == ["p1", "p3"]
    assert sitecrew("purge", "--all", "--yes", "--json").json == ["p1", "p3"]
    assert names(broker) == []


def test_purging_without_a_terminal_needs_a_yes(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked())
    ran = sitecrew("purge", "--all")
    assert (ran.exit_code, "--yes" in ran.stderr) == (2, True)
    assert names(broker) == ["p1"]


@pytest.mark.parametrize("arguments", [("requeue",), ("requeue", "p1", "--all"), ("purge",), ("list", "--queue", "q")])
def test_naming_none_or_both_is_wrong_usage(sitecrew: Command, arguments: tuple[str, ...]) -> None:
    assert sitecrew(*arguments, *(["--yes"] if arguments == ("purge",) else [])).exit_code == 2


def test_what_no_queue_took_can_be_looked_at_and_purged(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, Message("delay.deliver", "nowhere", BODY, message_id="u1"))
    assert [row["id"] for row in sitecrew("list", "--queue", UNROUTED, "--json").json] == ["u1"]
    assert sitecrew("requeue", "--queue", UNROUTED, "u1").exit_code == 6
    assert sitecrew("purge", "--queue", UNROUTED, "--all", "--yes").lines == ["u1"]


# What the broker parked by itself


def dead(headers: Mapping[str, object]) -> parking.Parked:
    return parking.read(Delivery(PARKING, b"", "", "m", "t", headers, 0, 1, 1))


def test_the_last_death_counts_because_the_first_may_have_been_on_the_ladder() -> None:
    moment = datetime(2026, 1, 1, 12)  # noqa: DTZ001 - as pika gives it
    deaths = [
        {"queue": INSTALLER_DUE, "reason": "delivery_limit", "time": moment, "count": 1},
        {"queue": "delay.0", "reason": "expired", "time": moment, "count": 1},
    ]
    headers = {"x-death": deaths, "x-first-death-queue": "delay.0", "x-first-death-reason": "expired"}
    found = dead(headers)
    assert (found.came_from, found.code, found.by) == (INSTALLER_DUE, "delivery_limit", "broker")
    assert found.at == moment.replace(tzinfo=UTC)
    assert found.can_go_back
    assert found.message_id == "m"
    assert INSTALLER_DUE in found.remedy


def test_without_a_history_the_brokers_short_word_counts() -> None:
    found = dead({"x-first-death-queue": INTAKE_ORDERS, "x-first-death-reason": "delivery_limit"})
    assert (found.came_from, found.at, found.can_go_back) == (INTAKE_ORDERS, None, True)
    found = dead({"x-last-death-queue": INSTALLER_DUE, "x-first-death-queue": "delay.0"})
    assert found.came_from == INSTALLER_DUE


@pytest.mark.parametrize(("reason", "said"), [("expired", "waited longer"), ("maxlen", "queue was longer")])
def test_what_a_policy_of_the_house_took_out_of_a_work_queue_is_told_as_that(reason: str, said: str) -> None:
    found = dead({"x-death": [{"queue": INTAKE_ORDERS, "reason": reason, "count": 1}]})
    assert said in found.reason
    assert "a policy that is not Sitecrew's" in found.reason
    assert "sitecrew doctor" in found.remedy
    assert found.can_go_back


def test_headers_of_any_shape_are_read() -> None:
    for deaths in ("text", [], [5], [{"queue": 7}]):
        assert not dead({"x-death": deaths}).can_go_back
    assert json.dumps(dead({"x-death": [{"time": datetime.now(UTC), "raw": b"\xff"}]}).record())


# Bodies


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [{"Password": "canary"}], "apiKey": "canary", "API_KEY": "canary"}',
        '{"sealed_password": "canary", "client_secret": {"deep": "canary"}}',
        '{"cut": true, "password": "canary',
        "password=canary",
        "Authorization: Bearer canary",
        'token: "ca\\"canary" and more',
        "PRIVATE_KEY = canary\nother",
    ],
)
def test_values_whose_keys_look_secret_are_masked(text: str) -> None:
    shown = payloads.shown(text.encode())
    assert "canary" not in shown.text
    assert "[redacted]" in shown.text


def test_what_is_no_text_is_shown_as_hex() -> None:
    shown = payloads.shown(b"\xff\x00canary" * 200)
    assert (shown.kind, shown.size, shown.cut) == ("hex", 1600, True)
    assert shown.text.startswith("ff00 6361")


def test_long_and_deep_bodies_are_cut() -> None:
    assert payloads.shown(b'"' + b"x" * 5000 + b'"').cut
    assert not payloads.shown(b'{"x": 1}').cut
    deep = payloads.shown(b"[" * 500 + b'{"password": "canary"}' + b"]" * 500)
    assert "canary" not in deep.text
    assert "canary" not in payloads.shown(b'{"a":' * 3000 + b'{"password": "canary"}').text
    huge = payloads.shown(b'{"password": "canary", "x": "' + b"x" * 300_000 + b'"}')
    assert (huge.kind, huge.cut, "canary" in huge.text) == ("text", True, False)


# Finding, narrowing, correcting


def at(hour: int, **more: str) -> dict[str, str]:
    return {**REASON, "parked-at": f"2026-01-01T{hour:02}:00:00+00:00", **more}


def test_what_waits_longest_comes_first_however_the_broker_has_them(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked("late", headers=at(14)), parked("early", headers=at(9)), parked("bare", headers={}))
    assert [row["id"] for row in sitecrew("list", "--json").json] == ["early", "late", "bare"]


@pytest.mark.parametrize("word", ["2", "0197-late", "late-9fe2", "0197-late-9fe2"])
def test_a_message_is_named_by_a_number_or_by_part_of_its_id(
    broker: MemoryBroker, sitecrew: Command, word: str
) -> None:
    park(broker, parked("0197-late-9fe2", headers=at(14)), parked("0197-early-1ab3", headers=at(9)))
    assert sitecrew("show", word, "--json").json["id"] == "0197-late-9fe2"


@pytest.mark.parametrize(("word", "code"), [("0197", 6), ("019", 5), ("3", 5), ("0", 5), ("zzzz", 5)])
def test_a_name_that_fits_several_or_none_touches_nothing(
    broker: MemoryBroker, sitecrew: Command, word: str, code: int
) -> None:
    park(broker, parked("0197-late-9fe2", headers=at(14)), parked("0197-early-1ab3", headers=at(9)))
    assert sitecrew("purge", word, "--yes").exit_code == code
    assert len(names(broker)) == 2


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("--code", "invalid_order"), ["p3"]),
        (("--code", "db_down,invalid_order"), []),
        (("--order", "1042"), ["p2"]),
        (("--since", "2026-01-01T13:00:00+00:00"), ["p1", "p2"]),
    ],
)
def test_requeue_and_purge_take_what_the_filters_choose(
    broker: MemoryBroker, sitecrew: Command, options: tuple[str, ...], left: list[str]
) -> None:
    park(
        broker,
        parked("p1", headers=at(9)),
        parked("p2", b'{"data": {"order_id": "7"}}', headers=at(10)),
        parked("p3", headers=at(14, **{"reason-code": "db_down"})),
    )
    chosen = [row["id"] for row in sitecrew("list", "--json", *options).json]
    assert sorted([*chosen, *left]) == ["p1", "p2", "p3"]
    assert [row["id"] for row in sitecrew("requeue", "--dry-run", "--json", *options).json] == chosen
    assert len(names(broker)) == 3
    assert sitecrew("purge", "--yes", "--json", *options).json == chosen
    assert names(broker) == left


def test_since_when_and_how_often_is_kept_through_a_requeue(broker: MemoryBroker, sitecrew: Command) -> None:
    park(broker, parked("p1", headers=at(9)))
    sitecrew("requeue", "--all")
    [back] = broker.browse(INTAKE_ORDERS, 10)
    again = {**at(15), **{name: value for name, value in back.headers.items() if isinstance(value, str | int)}}
    broker.remove(INTAKE_ORDERS, [back.name])
    park(broker, parked("p2", headers=again))
    [row] = sitecrew("list", "--json").json
    assert (row["parked_at"], row["first_parked_at"]) == ("2026-01-01T15:00:00Z", "2026-01-01T09:00:00Z")
    assert row["times_parked"] == 2
    assert "parked 2 times, first " in sitecrew("list").stdout


@pytest.mark.parametrize(
    ("body", "headers", "order", "source"),
    [
        (b'{"source": "/shop", "subject": "9", "data": {"order_id": "1042"}}', {}, "1042", "/shop"),
        (b'{"data": {"install_id": "shop-7-g12"}}', {}, "shop-7", None),
        (b'{"order_id": "1042"}', {"ce-source": "/shop"}, "1042", "/shop"),
        (b'{"data": []}', {"cloudEvents_subject": "8"}, "8", None),
        (b"\xff", {}, None, None),
        (b"[" * 50, {}, None, None),
    ],
)
def test_order_and_sender_are_read_from_whatever_it_is(
    broker: MemoryBroker, sitecrew: Command, body: bytes, headers: dict[str, str], order: str | None, source: str | None
) -> None:
    bare = {name: value for name, value in REASON.items() if name != "sent-by"}
    park(broker, parked("p1", body, headers={**bare, **headers}))
    [row] = sitecrew("list", "--json").json
    assert (row["order_id"], row["sent_by"]) == (order, source)


PLACED = {
    "specversion": "1.0",
    "id": "1",
    "source": "/shop",
    "type": "sitecrew.order.placed.v1",
    "data": {
        "order_id": "1042",
        "site_type": "wordpres",
        "domain": "shop.example",
        "customer": {"name": "Ann", "email": "ann@example.org"},
    },
}


def test_a_slip_is_corrected_and_the_message_goes_back(broker: MemoryBroker, tmp_path: Path) -> None:
    park(broker, parked("p1", json.dumps(PLACED).encode(), content_type="application/cloudevents+json"))
    config = settings_file(tmp_path)
    mended = json.dumps(PLACED).replace("wordpres", "wordpress")
    wrong = mended.replace("shop.example", "no domain")
    refused = run("--config", config, "parked", "edit", "1", "--file", "-", given=wrong)
    assert (refused.exit_code, names(broker)) == (2, ["p1"])
    assert "data.domain" in refused.stderr
    same = run("--config", config, "parked", "edit", "1", "--file", "-", given=json.dumps(PLACED, indent=2))
    assert (same.exit_code, names(broker)) == (0, ["p1"])
    ran = run("--config", config, "parked", "edit", "1", "--file", "-", given=mended)
    assert (ran.exit_code, ran.stdout) == (0, f"p1  {INTAKE_ORDERS}\n")
    [back] = broker.browse(INTAKE_ORDERS, 10)
    assert json.loads(back.body)["data"]["site_type"] == "wordpress"
    assert names(broker) == []


def test_the_editor_is_the_persons_own_and_sees_the_message(
    broker: MemoryBroker, sitecrew: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(broker, parked("p1", json.dumps(PLACED).encode(), content_type="application/cloudevents+json"))
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nsed -i s/wordpres/wordpress/ "$2"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", f"{script} -f")
    monkeypatch.setattr(everywhere, "may_ask", lambda _: True)
    assert sitecrew("edit", "p1").exit_code == 0
    [back] = broker.browse(INTAKE_ORDERS, 10)
    assert json.loads(back.body)["data"]["site_type"] == "wordpress"


def test_an_editor_that_is_no_command_line_is_wrong_configuration(
    broker: MemoryBroker, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    park(broker, parked("p1", json.dumps(PLACED).encode(), content_type="application/cloudevents+json"))
    monkeypatch.setenv("VISUAL", "vim '-f")
    monkeypatch.setattr(everywhere, "may_ask", lambda _: True)
    ran = sitecrew("edit", "p1")
    assert ran.exit_code == 2
    assert "is not a valid command line: No closing quotation" in ran.stderr
