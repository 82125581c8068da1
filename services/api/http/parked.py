"""/v1/parked: messages that could not be handled, and putting them back or discarding them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from foundation.broker.codec import Malformed
from foundation.errors import BrokerUnreachable, NotFound, Refused
from schemas.orders import FieldError
from services.api.access.identity import Scope
from services.api.finding.paging import MOST
from services.api.http.answers import Document
from services.api.http.caller import AtDesk, Operator, allowed
from services.api.http.problems import SOON, Problem
from services.api.parked import acting
from services.api.parked.messages import ParkedMessage

router = APIRouter(tags=["parked"])

Queue = Literal["parking", "unrouted"]


class Parked(Document):
    """A message that could not be handled."""

    id: str
    queue: str
    """`parking`, or `unrouted` for what no queue took."""
    parked_at: datetime
    times: int
    """How often it was parked."""
    parked_from: str
    """The queue that it came from; empty if unknown."""
    code: str
    reason: str
    remedy: str
    field: str
    sender: str
    type: str
    order_id: str
    """The order it is about; empty if that could not be read."""
    body: str
    """The beginning of its body, with secrets masked."""
    can_go_back: bool


class ParkedMessages(Document):
    """Parked messages, the oldest first."""

    items: list[Parked]


class Chosen(Document):
    """Which messages."""

    queue: Queue = "parking"
    ids: list[Annotated[str, Field(max_length=200)]] = Field(min_length=1, max_length=MOST)


class One(Document):
    """Which message."""

    queue: Queue = "parking"
    id: str = Field(max_length=200)


class Correction(One):
    """A message's new body."""

    body: str


class Body(Document):
    """A message's whole body."""

    body: str


class Handled(Document):
    """The ids of the messages that it was done with. Others are gone, or came from an unknown queue."""

    ids: list[str]


@router.get("/parked", dependencies=[Depends(allowed(Scope.INSTALLS_WRITE))])
def list_parked(
    desk: AtDesk,
    queue: Queue = "parking",
    limit: Annotated[int, Query(ge=1, le=10_000)] = MOST,
) -> ParkedMessages:
    """List the messages that nobody has acted on, the oldest first."""
    with desk.reading() as connection:
        waiting = ParkedMessage.waiting(connection, limit, queue)
    return ParkedMessages(items=[Parked.model_validate(one) for one in waiting])


@router.post("/parked/requeue")
def requeue_parked(chosen: Chosen, who: Operator, desk: AtDesk) -> Handled:
    """Put messages back into the queues that they came from. What cannot be handled comes back."""
    with _broker_needed():
        return Handled(ids=acting.requeue(desk, chosen.queue, chosen.ids, who))


@router.post("/parked/discard")
def discard_parked(chosen: Chosen, who: Operator, desk: AtDesk) -> Handled:
    """Delete messages for good. Whatever they asked for does not happen."""
    with _broker_needed():
        return Handled(ids=acting.discard(desk, chosen.queue, chosen.ids, who))


@router.post("/parked/body", dependencies=[Depends(allowed(Scope.INSTALLS_WRITE))])
def get_parked_body(one: One, desk: AtDesk) -> Body:
    """Return a message's whole body, to be corrected. It may hold secrets."""
    with _broker_needed():
        return Body(body=acting.body(desk, one.queue, one.id).decode(errors="replace"))


@router.post("/parked/correct")
def correct_parked(correction: Correction, who: Operator, desk: AtDesk) -> Handled:
    """Put a message back with another body."""
    with _broker_needed():
        acting.correct(desk, correction.queue, correction.id, correction.body.encode(), who)
    return Handled(ids=[correction.id])


@contextmanager
def _broker_needed() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise Problem(404, "not_found", f"{error}.") from None
    except Refused as error:
        raise Problem(409, "refused", f"{error}.") from None
    except Malformed as error:
        errors = [FieldError(field=field, message=message) for field, message in error.errors]
        raise Problem(422, "invalid", "The corrected message is not a valid event.", errors=errors) from None
    except BrokerUnreachable:
        title = "The broker does not answer the api, and the messages are there."
        remedy = "Send the request again after Retry-After seconds."
        raise Problem(503, "unavailable", title, remedy=remedy, headers={"Retry-After": str(SOON)}) from None
