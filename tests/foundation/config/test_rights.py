"""The users of the broker: who may do what, and the file that tells RabbitMQ."""

import base64
import hashlib
import json
import stat
from pathlib import Path

import pytest

from foundation.broker.delay import Ladder
from foundation.broker.topology import COMMANDS, EVENTS, ORDERS, PARKING, PROBE, UNROUTED
from foundation.config import queues
from foundation.config.definitions import as_text, definitions, hashed
from foundation.config.rights import USERS
from schemas.catalogue import CATALOGUE
from tests.support.cli import sitecrew as run
from tests.support.rights import TOPOLOGY, VHOST, Rules

FILE = Path(__file__).parents[3] / "deploy" / "rabbitmq" / "definitions.json"
SERVICES = ("order-intake", "installer", "mailer")
RULES = {who: Rules(user) for who, user in USERS.items()}


@pytest.mark.parametrize("entry", [entry for entry in CATALOGUE if entry.published], ids=lambda entry: entry.name)
def test_somebody_may_publish_each_event(entry: object) -> None:
    key = entry.routing_key  # type: ignore[attr-defined]
    assert [who for who in USERS if who != "admin" and RULES[who].allow_publishing(EVENTS, key)], (
        f"add {key} to whoever publishes it, in foundation/config/rights.py"
    )


@pytest.mark.parametrize(
    ("event", "publishers"),
    [
        ("install.completed.v1", ["installer"]),
        ("install.staged.v1", ["order-intake", "installer"]),
        ("mail.sent.v1", ["mailer"]),
        ("order.accepted.v1", ["order-intake"]),
        ("message.purged.v1", ["api", "cli"]),
        ("service.heartbeat.v1", [*SERVICES, "api"]),
    ],
)
def test_an_event_is_published_by_whom_it_is_about(event: str, publishers: list[str]) -> None:
    assert [who for who in USERS if who != "admin" and RULES[who].allow_publishing(EVENTS, event)] == publishers


@pytest.mark.parametrize("queue", [queue.name for queue in TOPOLOGY.queues])
def test_a_queue_is_read_by_one_service_and_by_nobody_else(queue: str) -> None:
    readers = [who for who in USERS if who != "admin" and RULES[who].allow("read", queue)]
    if queue in (PARKING, UNROUTED):
        assert readers == ["api", "cli"]
    elif queue == PROBE:
        assert readers == [*SERVICES, "api", "cli"]
    elif queue.startswith("delay."):
        assert readers == []
    else:
        service = {"intake": "order-intake"}.get(queue.partition(".")[0], queue.partition(".")[0])
        assert readers == [service]


def test_nobody_but_the_administrator_declares_or_deletes_anything() -> None:
    for who in USERS:
        names = [*(one.name for one in TOPOLOGY.queues), *(one.name for one in TOPOLOGY.exchanges), "new"]
        assert [name for name in names if RULES[who].allow("configure", name)] == (names if who == "admin" else [])


@pytest.mark.parametrize(
    ("who", "exchange", "key", "may"),
    [
        ("shop", ORDERS, "order.placed.v1", True),
        ("shop", ORDERS, "order.cancelled.v1", False),
        ("shop", EVENTS, "order.accepted.v1", False),
        ("shop", "delay.deliver", "intake-orders", False),
        ("mailer", COMMANDS, "mail.resend.v1", False),
        ("mailer", ORDERS, "order.placed.v1", False),
        ("mailer", "delay.3", "0.0.1.mailer-installs", True),
        ("mailer", "delay.3", "0.0.1.installer-due", False),
        ("mailer", "delay.deliver", "x.mailer-installs", False),
        ("order-intake", "delay.19", "1.1.installer-due", True),
        ("order-intake", "delay.19", "1.1.mailer-installs", False),
        ("order-intake", "", "mailer.installs", False),
        ("order-intake", COMMANDS, "install.cancel.v1", True),
        ("order-intake", COMMANDS, "install.retry.v1", False),
        ("installer", PARKING, "installer.due", True),
        ("api", COMMANDS, "timer.run_now.v1", True),
        ("api", PARKING, "", False),
        ("api", "delay.deliver", "installer-due", True),
        ("api", "delay.3", "0.1.installer-due", False),
        ("cli", "replays", "order.accepted.v1", False),
    ],
)
def test_who_may_publish_what_where(who: str, exchange: str, key: str, *, may: bool) -> None:
    assert RULES[who].allow_publishing(exchange, key) is may


def test_each_works_with_what_is_declared() -> None:
    there = {one.name for one in TOPOLOGY.queues} | {one.name for one in TOPOLOGY.exchanges}
    for user in USERS.values():
        assert user.needs(TOPOLOGY) <= there
    assert {"mailer.installs", "events", "parking", "delay.0", "delay.deliver"} <= USERS["mailer"].needs(TOPOLOGY)
    assert USERS["shop"].needs(TOPOLOGY) == {ORDERS}
    assert not {name for name in USERS["api"].needs(TOPOLOGY) if name.startswith("delay.") and name != "delay.deliver"}


def test_the_file_for_rabbitmq_says_the_same_and_nobody_can_log_in_by_it() -> None:
    wanted = definitions(queues.with_api(Ladder()), VHOST, {})
    assert FILE.read_text() == as_text(wanted) + "\n", (
        "SITECREW_AMQP_URL=amqp://localhost/sitecrew sitecrew topology definitions > deploy/rabbitmq/definitions.json"
    )
    assert {user["password_hash"] for user in wanted["users"]} == {""}


def test_the_command_makes_a_password_for_each_user_once(tmp_path: Path) -> None:
    command = ("topology", "definitions", "--passwords", str(tmp_path / "made"))
    first, second = (json.loads(run(*command).stdout) for _ in range(2))
    files = {file.name: file for file in (tmp_path / "made").iterdir()}
    assert files.keys() == {user.name for user in USERS.values()}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}
    assert len({file.read_text() for file in files.values()}) == len(files)
    for told in (first, second):
        assert told["vhosts"] == [{"name": "/"}]
        for user in told["users"]:
            assert is_of(user["password_hash"], files[user["name"]].read_text())
            assert files[user["name"]].read_text() not in json.dumps(told)


def is_of(hash: str, password: str) -> bool:
    known = base64.b64decode(hash)
    return known[4:] == hashlib.sha256(known[:4] + password.encode()).digest()


def test_a_hash_is_salted() -> None:
    assert is_of(hashed("a"), "a")
    assert not is_of(hashed("a"), "b")
    assert hashed("a") != hashed("a")
