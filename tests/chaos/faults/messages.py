"""Messages that come twice, late, out of order, broken, or huge. `System.heard` has the latest."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from foundation.broker import Message
from foundation.broker.topology import COMMANDS, EVENTS, ORDERS
from foundation.errors import SitecrewError
from foundation.handling.unit_of_work import new_id
from tests.chaos.fault import Fault, Options, one
from tests.chaos.system import System

_ROUTES = (
    *((ORDERS, f"order.{what}.v1") for what in ("placed", "cancelled", "reinstall_requested")),
    *((EVENTS, key) for key in ("install.staged.v1", "install.completed.v1", "mail.sent.v1")),
    *((COMMANDS, key) for key in ("install.retry.v1", "mail.resend.v1", "timer.pause.v1")),
)
HUGE = 6_000_000
"""Bytes of a huge body."""


def _publish(system: System, messages: Sequence[Message]) -> None:
    publisher = system.broker.publisher()
    try:
        publisher.publish(messages, 5)
    except SitecrewError:
        return  # nobody listens just now
    finally:
        publisher.close()


@contextmanager
def _repeated(system: System, target: str) -> Iterator[None]:
    again = [
        Message(*(one.exchange, one.routing_key, _renamed(one.body, target), one.message_id, one.type), mandatory=False)
        for one in list(system.heard)
        for _ in range(2)
    ]
    random.shuffle(again)
    _publish(system, again)
    yield


def _renamed(body: bytes, target: str) -> bytes:
    """The event under another id, if that is wanted."""
    if target == "same ids":
        return body
    return json.dumps({**json.loads(body), "id": new_id()}).encode()


@contextmanager
def _broken(system: System, _target: str) -> Iterator[None]:
    damaged = []
    for exchange, key in _ROUTES:
        body = bytearray(random.choice([one.body for one in system.heard] or [b'{"specversion": "1.0"}']))
        for _ in range(random.randint(1, 5)):
            body[random.randrange(len(body))] = random.randrange(256)
        cut = bytes(body[: random.randint(1, len(body) - 1)])
        system.broken |= {cut}
        damaged.append(Message(exchange, key, cut, new_id(), mandatory=False))
    _publish(system, damaged)
    yield


@contextmanager
def _huge(system: System, _target: str) -> Iterator[None]:
    _publish(system, [Message(exchange, key, b"x" * HUGE, new_id()) for exchange, key in _ROUTES[:4]])
    yield


def _ids(_options: Options) -> tuple[str, ...]:
    return ("same ids", "new ids")


FAULTS = (
    Fault("events repeated", "messages", (0.1, 0.2), _ids, _repeated),
    Fault("events broken", "messages", (0.1, 0.2), one("all routes"), _broken),
    Fault("bodies huge", "messages", (0.1, 0.2), one("some routes"), _huge),
)
