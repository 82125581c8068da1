"""The deliveries of events to endpoints: noted with the projection, claimed to be posted, ended or tried again."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update

from foundation.broker import codec, payloads
from foundation.errors import NotFound, Refused
from foundation.handling.unit_of_work import new_id
from foundation.store import bulk
from foundation.store.in_list import in_list
from schemas import catalogue
from schemas.envelope import Event
from services.api.projection.activity import SILENT, key_of, kind_of
from services.api.projection.views import order_views
from services.api.webhooks import endpoints
from services.api.webhooks.endpoints import Endpoint
from services.api.webhooks.posting import Result
from services.api.webhooks.tables import State, deliveries
from services.api.webhooks.tables import endpoints as endpoint_table

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360))
"""After the first failures; later ones are 6 to 12 hours apart."""
LASTS = timedelta(days=3)
"""How long a delivery is tried."""
LONGEST_PAUSE = timedelta(hours=1)
"""How long a receiver is left alone at most if it asks for that by Retry-After."""
LEASE = timedelta(minutes=1)
"""How long nobody else posts what a replica has claimed; much longer than posting takes."""
KEPT = timedelta(days=30)
"""How long ended deliveries are shown, and recognized when their event comes again."""
_GONE = 410
_HELD = timedelta(days=1)
"""How long a delivery waits to be told who placed its order."""
_TEST = "webhook.test"
_SEALED = re.compile("^sealed_")
"""What nobody outside can open is left out."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Delivery:
    """One event for one endpoint."""

    id: str
    endpoint_id: str
    key: str
    type: str
    order_id: str | None
    body: str
    state: State
    attempt: int
    """How many attempts have begun."""
    due_at: datetime | None
    give_up_at: datetime
    status: int | None
    """Of the last answer."""
    answer: str | None
    """The beginning of it, or why there was none."""
    created_at: datetime
    ended_at: datetime | None


def note(connection: Connection, events: Sequence[Event[Any]], now: datetime) -> None:
    """Note what of these events is to be delivered, in the transaction that projects them."""
    wanting = [endpoint for endpoint in endpoints.all_of(connection) if endpoint.disabled_because is None]
    told = [event for event in events if _is_news(event)] if wanting else []
    owners = _owners(connection, told)
    rows = [
        _row(endpoint, event, state, now)
        for event in told
        for endpoint in wanting
        if endpoint.wants(kind_of(event)) and (state := _first_state(endpoint, event, owners))
    ]
    if rows:
        bulk.add(connection, deliveries, tuple(rows[0]), [tuple(row.values()) for row in rows], unless_there=True)


def _is_news(event: Event[Any]) -> bool:
    published = catalogue.by_model(type(event.data)).published
    return published and not event.replay and not isinstance(event.data, SILENT)


def _first_state(endpoint: Endpoint, event: Event[Any], owners: Mapping[str, str]) -> State | None:
    """Return the state in which an event's delivery begins; None if it does not concern the endpoint's producer."""
    if endpoint.source is None:
        return State.WAITING
    order: str | None = getattr(event.data, "order_id", None)
    owner: str | None = getattr(event.data, "event_source", None) or owners.get(order or "")
    if owner is None:
        return State.HELD if order else None
    return State.WAITING if owner == endpoint.source else None


def _owners(connection: Connection, events: Sequence[Event[Any]]) -> Mapping[str, str]:
    """Return who placed the orders that these events are about, as far as that was told."""
    about = {order for event in events if (order := getattr(event.data, "order_id", None))}
    known = select(order_views.c.order_id, order_views.c.placed_by).where(
        order_views.c.placed_by.is_not(None), in_list(order_views.c.order_id, connection.dialect.name)
    )
    found = connection.execute(known, {"wanted": sorted(about)}) if about else ()
    return {row.order_id: row.placed_by for row in found}


def _row(endpoint: Endpoint, event: Event[Any], state: State, now: datetime) -> dict[str, Any]:
    body = orjson.dumps(payloads.masked(orjson.loads(codec.encode(event)), secret=_SEALED, mask=None)).decode()
    order: str | None = getattr(event.data, "order_id", None)
    return _new(endpoint.id, key_of(event.source, event.id), kind_of(event), order, body, now) | {"state": state}


def _new(endpoint: str, key: str, type: str, order: str | None, body: str, now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "endpoint_id": endpoint,
        "key": key,
        "type": type,
        "order_id": order,
        "body": body,
        "state": State.WAITING,
        "attempt": 0,
        "due_at": now,
        "give_up_at": now + LASTS,
        "created_at": now,
    }


def release_held(connection: Connection, now: datetime) -> None:
    """Let go what is held, where it was told meanwhile who placed the order; drop what concerns somebody else."""
    source = select(endpoint_table.c.source).where(endpoint_table.c.id == deliveries.c.endpoint_id).scalar_subquery()
    owner = select(order_views.c.placed_by).where(order_views.c.order_id == deliveries.c.order_id).scalar_subquery()
    held = deliveries.c.state == State.HELD
    connection.execute(update(deliveries).where(held, owner == source).values(state=State.WAITING, due_at=now))
    connection.execute(delete(deliveries).where(held, (owner != source) | (deliveries.c.created_at < now - _HELD)))


def due_endpoints(connection: Connection, now: datetime) -> set[str]:
    """Return the endpoints to which something is to be posted."""
    due = select(deliveries.c.endpoint_id).where(*_due(now), deliveries.c.endpoint_id == endpoint_table.c.id).exists()
    awake = or_(endpoint_table.c.paused_until.is_(None), endpoint_table.c.paused_until <= now)
    return set(connection.execute(select(endpoint_table.c.id).where(due, awake)).scalars())


def claim(connection: Connection, endpoint: str, limit: int, now: datetime) -> list[Delivery]:
    """Claim up to `limit` deliveries to an endpoint. If we die, another replica claims them after `LEASE`."""
    found = (
        select(deliveries)
        .where(deliveries.c.endpoint_id == endpoint, *_due(now))
        .order_by(deliveries.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    claimed = [replace(Delivery(**row), attempt=row.attempt + 1) for row in connection.execute(found).mappings().all()]
    for delivery in claimed:
        values = {"attempt": delivery.attempt, "due_at": now + LEASE}
        connection.execute(update(deliveries).where(deliveries.c.id == delivery.id).values(**values))
    return claimed


def record(connection: Connection, delivery: Delivery, result: Result, now: datetime) -> None:
    """Write down what came of an attempt, unless somebody else has claimed the delivery since."""
    paused_until = now + min(result.pause, LONGEST_PAUSE)
    due = max(next_at(delivery.attempt, now), paused_until)
    values: dict[str, Any] = {"status": result.status, "answer": result.answer or None, "due_at": due}
    if result.is_delivered:
        values |= {"state": State.DELIVERED, "due_at": None, "ended_at": now}
    elif due > delivery.give_up_at or result.status == _GONE:
        values |= {"state": State.DEAD, "due_at": None, "ended_at": now}
    ours = (
        (deliveries.c.id == delivery.id)
        & (deliveries.c.attempt == delivery.attempt)
        & (deliveries.c.state == State.WAITING)
    )
    if not connection.execute(update(deliveries).where(ours).values(**values)).rowcount or result.is_delivered:
        return
    if result.pause:
        endpoints.pause(connection, delivery.endpoint_id, paused_until)
    about = {
        "message_id": delivery.id,
        "type": delivery.type,
        "attempt": delivery.attempt,
        "webhook": delivery.endpoint_id,
    }
    reason = f"HTTP status {result.status}" if result.status else result.answer
    if result.status == _GONE:
        endpoints.disable(connection, delivery.endpoint_id, "the receiver answered 410 Gone", now)
        _log.warning("webhook.disabled", **about, reason=reason)
    elif values["due_at"] is None:
        _log.warning("webhook.dead", **about, reason=reason)
    else:
        _log.info("webhook.failed", **about, reason=reason, due_at=due)


def next_at(attempt: int, now: datetime) -> datetime:
    """Return when to try again after this many attempts."""
    later = timedelta(hours=random.uniform(6, 12))
    return now + (PAUSES[attempt - 1] if attempt <= len(PAUSES) else later)


def send_test(connection: Connection, endpoint: str, now: datetime) -> Delivery:
    """Post a test event to an endpoint, whatever it wants. Raises NotFound, Refused if it is disabled."""
    _require_enabled(connection, endpoint)
    id = new_id()
    event: dict[str, Any] = {"specversion": "1.0", "id": id, "source": "/sitecrew/api"}
    event |= {
        "type": f"sitecrew.{_TEST}.v1",
        "time": now.isoformat(),
        "datacontenttype": "application/json",
        "data": {},
    }
    row = _new(endpoint, key_of("/sitecrew/api", id), _TEST, None, orjson.dumps(event).decode(), now)
    connection.execute(deliveries.insert().values(**row))
    return get(connection, row["id"])


def redeliver(connection: Connection, id: str, now: datetime) -> Delivery:
    """Post an event again, with the same `webhook-id`, for another three days. Raises NotFound, Refused if its
    endpoint is disabled."""
    delivery = get(connection, id)
    _require_enabled(connection, delivery.endpoint_id)
    if delivery.state == State.WAITING:
        raise Refused("this delivery is under way already")
    values = {"state": State.WAITING, "attempt": 0, "due_at": now, "give_up_at": now + LASTS, "ended_at": None}
    connection.execute(update(deliveries).where(deliveries.c.id == id).values(**values))
    return get(connection, id)


def get(connection: Connection, id: str) -> Delivery:
    """Return a delivery. Raises NotFound."""
    row = connection.execute(select(deliveries).where(deliveries.c.id == id)).mappings().first()
    if row is None:
        raise NotFound(f"there is no delivery {id[:40]}")
    return Delivery(**row)


def latest(connection: Connection, endpoint: str, limit: int = 20) -> list[Delivery]:
    """Return an endpoint's newest deliveries."""
    found = (
        select(deliveries)
        .where(deliveries.c.endpoint_id == endpoint)
        .order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc())
        .limit(limit)
    )
    return [Delivery(**row) for row in connection.execute(found).mappings()]


def numbers(connection: Connection) -> Mapping[str, float]:
    """Return how many deliveries there are in each state that is not success."""
    open_or_dead = [state for state in State if state != State.DELIVERED]
    counted = select(deliveries.c.state, func.count().label("number")).where(deliveries.c.state.in_(open_or_dead))
    found = connection.execute(counted.group_by(deliveries.c.state))
    return dict.fromkeys(open_or_dead, 0) | {row.state: row.number for row in found}


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove deliveries that ended long ago."""
    connection.execute(delete(deliveries).where(deliveries.c.ended_at < now - KEPT))


def _due(now: datetime) -> Sequence[ColumnElement[bool]]:
    return (deliveries.c.state == State.WAITING, deliveries.c.due_at <= now)


def _require_enabled(connection: Connection, endpoint: str) -> None:
    if because := endpoints.get(connection, endpoint).disabled_because:
        raise Refused(f"the webhook is disabled: {because}")
