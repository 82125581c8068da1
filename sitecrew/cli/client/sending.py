"""The events and commands that the CLI publishes, and the events it receives in answer."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from foundation.broker import Broker, Confirmation, Consumer, Message, codec
from foundation.broker.codec import Malformed
from foundation.clock import utc_now
from foundation.errors import BrokerUnreachable, Refused
from foundation.handling.unit_of_work import new_id
from foundation.telemetry.tracing import new_traceparent
from schemas import catalogue
from schemas.envelope import Event
from schemas.values import Model
from sitecrew.cli.client import acting

SOURCE = "/sitecrew/cli"
_CONFIRMED_WITHIN = 15.0
_GLANCE = 0.5
"""Seconds after which waiting for events checks the clock again."""


def event(data: Model, subject: str | None) -> Event[Any]:
    """An event or command of our own, with who is acting. It starts a trace, which everything it causes continues."""
    known = {"time": utc_now(), "traceparent": new_traceparent(), "authtype": "user", "authid": acting.name()}
    return codec.envelope(data, id=new_id(), source=SOURCE, subject=subject, **known)


def message(sent: Event[Any], body: bytes | None = None) -> Message:
    """The event as a message to the exchange of its type; `body` is its serialized form, if it came as one."""
    entry = catalogue.by_model(type(sent.data))
    return Message(
        exchange=entry.exchange,
        routing_key=entry.routing_key,
        body=body or codec.encode(sent),
        message_id=sent.id,
        type=sent.type,
        correlation_id=sent.subject or "",
        content_type=codec.CONTENT_TYPE,
    )


def publish(broker: Broker, messages: Sequence[Message]) -> list[Confirmation]:
    """Publish with confirms; one outcome per message."""
    return broker.publisher().publish(messages, _CONFIRMED_WITHIN)


def require_confirmed(outcomes: Sequence[Confirmation]) -> None:
    """Raise Refused or BrokerUnreachable unless the broker confirmed all of them."""
    for outcome in outcomes:
        match outcome:
            case Confirmation.UNROUTABLE:
                raise Refused("no queue takes the message; `sitecrew topology check` shows what the broker lacks")
            case Confirmation.REFUSED:
                raise Refused("the broker refused the message: a queue is full, or its leader is gone. Try again later")
            case Confirmation.UNKNOWN:
                raise BrokerUnreachable(
                    f"the broker did not confirm within {_CONFIRMED_WITHIN:g} seconds (a memory or disk alarm?). "
                    "The message may have arrived; sending it again is safe"
                )


def incoming(watching: Consumer, ends: float, away: Callable[[], object] = lambda: None) -> Iterator[Event[Any]]:
    """The events that a watching consumer receives until the monotonic clock reaches `ends`. `away` is called now and
    then, to check the connection."""
    while (left := ends - monotonic()) > 0:
        away()
        for delivery in watching.take(1000, min(left, _GLANCE)):
            try:
                yield codec.read(delivery)
            except Malformed:
                continue  # another program's message on our exchange
