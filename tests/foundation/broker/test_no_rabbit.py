"""What answers is no RabbitMQ, or one that has stopped answering: it counts as away, and that is said in words."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.rabbit.reasons import reason_of
from foundation.broker.topology import EVENTS
from foundation.config import queues as table
from foundation.config.keys import generate_keys
from foundation.config.queues import INTAKE_ORDERS
from foundation.errors import BrokerUnreachable
from tests.support import peers
from tests.support.cli import settings_file, sitecrew

pytestmark = pytest.mark.timeout(120)

TOPOLOGY = table.sitecrew(Ladder(levels=2))
TIMEOUT = 0.5

FRAME_OF_RUBBISH = b"\x01\x00\x00\x00\x00\x00\x10" + b"\xff" * 16 + b"\xce"
START_FOR_NOBODY = (
    b"\x01\x00\x00\x00\x00\x00\x14\x00\x0a\x00\x0a\x00\x09\x00\x00\x00\x00\x00\x00\x00\x04NONE\x00\x00\x00\x00\xce"
)

PEERS: dict[str, tuple[peers.Behaviour, str]] = {
    "silent": (peers.silent, "no answer within 0.5 s"),
    "hangs up": (peers.closes, "closed the connection instead of speaking AMQP"),
    "resets": (peers.resets, "closed the connection instead of speaking AMQP|reset"),
    "a web server": (
        peers.says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "no answer within|closed the connection",
    ),
    "a mail server": (peers.says(b"220 mail.example ESMTP\r\n", first=True), "no answer within|closed the connection"),
    "AMQP 1.0": (peers.says(b"AMQP\x00\x01\x00\x00"), "closed the connection instead of speaking AMQP|no answer"),
    "rubbish in a frame": (peers.says(FRAME_OF_RUBBISH), "closed the connection instead of speaking AMQP"),
    "no way to log in": (peers.says(START_FOR_NOBODY), "cannot use"),
}


@contextmanager
def broker_at(ports: Sequence[int], scheme: str = "amqp") -> Iterator[RabbitBroker]:
    urls = [f"{scheme}://ann:hunter2@127.0.0.1:{port}/" for port in ports]
    with closing(RabbitBroker(urls, TOPOLOGY, patience=TIMEOUT)) as broker:
        yield broker


def test_a_connection_that_is_reset_before_anybody_looks_is_told_like_any_other_that_was_closed() -> None:
    checked = AssertionError("Expected connected socket, but getpeername() failed: error=OSError(107)")
    assert reason_of(checked, TIMEOUT).startswith("it closed the connection instead of speaking AMQP")


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_no_rabbitmq_counts_as_away(name: str) -> None:
    behaviour, words = PEERS[name]
    with peers.listening(behaviour) as port, broker_at([port]) as broker:
        for ask in (broker.declare, broker.differences, broker.version, lambda: broker.depth(INTAKE_ORDERS)):
            with pytest.raises(BrokerUnreachable, match=words) as caught:
                ask()
            assert str(caught.value).startswith(f"cannot use RabbitMQ at 127.0.0.1:{port}: ")
            assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (OSError, "OSError"),
        (lambda: KeyError("x"), "x"),
        (AssertionError, "AssertionError"),
        (UnicodeError, "does not resolve"),
    ],
)
def test_whatever_comes_out_of_pika_is_the_broker_that_is_away(
    make: Callable[[], Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise make()

    monkeypatch.setattr("pika.BlockingConnection", fail)
    with broker_at([1]) as broker, pytest.raises(BrokerUnreachable, match=said):
        broker.declare()


def test_tls_is_spoken_to_a_peer_that_does_not() -> None:
    with (
        peers.listening(peers.says(b"AMQP\x00\x00\x09\x01")) as port,
        broker_at([port], "amqps") as broker,
        pytest.raises(BrokerUnreachable, match="does not speak TLS on this port"),
    ):
        broker.declare()


def test_a_watch_of_a_silent_broker_ends() -> None:
    with (
        peers.listening(peers.silent) as port,
        broker_at([port]) as broker,
        pytest.raises(BrokerUnreachable, match=r"no answer within 0\.5 s"),
    ):
        broker.watch(EVENTS, "#")


def test_a_host_without_an_address_is_named() -> None:
    said = r"nowhere\.invalid:5672: its host name does not resolve"
    with (
        closing(RabbitBroker(["amqp://ann:pw@nowhere.invalid/"], TOPOLOGY)) as broker,
        pytest.raises(BrokerUnreachable, match=said),
    ):
        broker.declare()


@pytest.mark.parametrize(
    "command", [("doctor",), ("order", "cancel", "1042"), ("parked", "list"), ("topology", "check")]
)
def test_a_command_says_so_and_ends_as_for_a_refused_connection(command: tuple[str, ...], tmp_path: Path) -> None:
    with peers.listening(peers.silent) as port:
        address = f"amqp://ann:hunter2@127.0.0.1:{port}/"
        keys = {"keys__public": generate_keys()[0]}
        config = settings_file(tmp_path, amqp_url=address, amqp_timeout_seconds=TIMEOUT, **keys)
        ran = sitecrew("--config", config, *command)
    assert ran.exit_code == 3
    said = f"RabbitMQ at 127.0.0.1:{port}: no answer within 0.5 s. Check amqp_url"
    assert said in " ".join((ran.stdout + ran.stderr).split())
