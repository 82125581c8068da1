"""Events and commands that the command itself publishes, and what it hears in answer."""

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
"""Seconds between looks at the time while waiting for events."""


def event(data: Model, subject: str | None) -> Event[Any]:
    """An event or command of ours, with who it is by. It begins a trace, which all that comes of it carries on."""
    known = {"time": utc_now(), "traceparent": new_traceparent(), "authtype": "user", "authid": acting.name()}
    return codec.envelope(data, id=new_id(), source=SOURCE, subject=subject, **known)


def message(sent: Event[Any], body: bytes | None = None) -> Message:
    """The event as a message to the exchange of its type; `body` is its text, if it has one already."""
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
    """Publish with confirms; one outcome a message."""
    return broker.publisher().publish(messages, _CONFIRMED_WITHIN)


def require_confirmed(outcomes: Sequence[Confirmation]) -> None:
    """Raise Refused or BrokerUnreachable unless the broker has them all."""
    for outcome in outcomes:
        match outcome:
            case Confirmation.UNROUTABLE:
                raise Refused("no queue takes it: `sitecrew topology check` says what is missing on the broker")
            case Confirmation.REFUSED:
                raise Refused("the broker refused it: a queue is full, or its leader is gone. Send it again later")
            case Confirmation.UNKNOWN:
                raise BrokerUnreachable(
                    f"the broker did not confirm within {_CONFIRMED_WITHIN:g} seconds (a memory or disk alarm?). "
                    "It may have arrived; sending it again does no harm"
                )


def heard(watching: Consumer, ends: float, away: Callable[[], object] = lambda: None) -> Iterator[Event[Any]]:
    """The events that a watching consumer hears, until the monotonic clock says `ends`. `away` is called now and
    then, to see whether anything can be heard."""
    while (left := ends - monotonic()) > 0:
        away()
        for delivery in watching.take(1000, min(left, _GLANCE)):
            try:
                yield codec.decode(delivery.body, delivery.content_type, delivery.headers)
            except Malformed:
                continue  # somebody else's, on our exchange: not for us to judge
