"""What a unit of work adds to the outbox."""

from datetime import UTC, datetime
from typing import Any, cast

from foundation.broker import codec
from foundation.handling.unit_of_work import DELAYED, UnitOfWork
from schemas.orders import OrderCancelled
from tests.support.rows import NoRows

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_an_event_says_the_same_wherever_it_goes() -> None:
    uow = UnitOfWork[Any](rows=NoRows(), source="/sitecrew/x", now=NOON, connection=cast("Any", None))
    first = uow.emit(OrderCancelled(order_id="1"), "1")
    second = uow.emit(OrderCancelled(order_id="2"), "2")
    for event in (second, first, first):
        uow.deliver(event, "queue", NOON)
    sent = [(message.exchange == DELAYED, message.message_id, message.body) for message in uow.outbox]
    assert sent == [
        (late, event.id, codec.encode(event))
        for late, event in [(False, first), (False, second), (True, second), (True, first), (True, first)]
    ]
