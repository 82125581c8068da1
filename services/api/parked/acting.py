"""What staff do with parked messages: requeue, correct or discard them. It happens in the real queue."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from foundation.broker import Broker, Confirmation, codec
from foundation.broker.topology import PARKING, UNROUTED
from foundation.clock import Now
from foundation.errors import NotFound, Refused
from foundation.handling import parking, requeueing
from foundation.handling.parking import Parked
from foundation.handling.requeueing import Tell
from foundation.handling.unit_of_work import new_id
from foundation.store import Store
from foundation.telemetry.tracing import new_traceparent
from schemas import catalogue
from schemas.envelope import Event
from schemas.services import SiteTypeConfigure
from schemas.values import Model
from services.api.access.identity import Identity
from services.api.desk import Desk
from services.api.parked import messages


def requeue(desk: Desk, queue: str, ids: Sequence[str], who: Identity) -> list[str]:
    """Put messages back into the queues that they came from; return the ids of those that went. What came from an
    unknown queue stays, as does what is gone already. Raises BrokerUnreachable."""
    going = [parked for parked in _chosen(desk, queue, ids) if parked.can_go_back]
    results = requeueing.requeue(desk.broker, queue, going, _teller(desk, who))
    return [parked.told_name for parked, outcome in results if outcome == Confirmation.CONFIRMED]


def discard(desk: Desk, queue: str, ids: Sequence[str], who: Identity) -> list[str]:
    """Delete messages for good; return the ids of those that were still there. Raises BrokerUnreachable."""
    chosen = _chosen(desk, queue, ids)
    removed = requeueing.purge(desk.broker, queue, chosen, _teller(desk, who))
    return [parked.told_name for parked in chosen if parked.name in removed]


def body(desk: Desk, queue: str, id: str) -> bytes:
    """Return a message's body, to be corrected. It may hold secrets. Raises NotFound and BrokerUnreachable."""
    return _one(desk, queue, id).delivery.body


def correct(desk: Desk, queue: str, id: str, body: bytes, who: Identity) -> None:
    """Requeue a message with another body. Raises Malformed if it is no valid event then, NotFound if the message is
    gone, Refused if it can't go back, speaks for somebody else then, or the broker doesn't take it, and
    BrokerUnreachable."""
    parked = _one(desk, queue, id)
    if not parked.can_go_back:
        raise Refused(f"the queue that {id} came from is unknown")
    event = codec.decode(body, parked.delivery.content_type, parked.delivery.headers)
    _require_same_sender(parked, event, who)
    outcome = requeueing.requeue_edited(desk.broker, queue, parked, body, _teller(desk, who))
    if outcome != Confirmation.CONFIRMED:
        raise Refused("the broker did not confirm it; the message stays parked. Try again later")


def _require_same_sender(parked: Parked, event: Event[Any], who: Identity) -> None:
    """Require that a correction says nothing in another name, and asks for nothing else. Raises Refused."""
    was = _attributes(parked.delivery.body)
    names = ["source", "authtype", "authid"] + (["type"] if catalogue.by_type(str(was.get("type"))) else [])
    for name in names:
        if name in was and getattr(event, name) != was[name]:
            raise Refused(f"{name} must stay as it is: {was[name]}")
    if "authid" not in was and event.authid not in (None, who.name):
        raise Refused(f"authid must be missing, or {who.name}")
    if "type" not in names and isinstance(event.data, SiteTypeConfigure):
        raise Refused("a site type is configured on the page Settings")


def _attributes(body: bytes) -> Mapping[str, Any]:
    """Return the attributes of an event in structured mode, as far as the body is one."""
    with suppress(orjson.JSONDecodeError):
        document = orjson.loads(body)
        return document if isinstance(document, dict) else {}
    return {}


def compare(store: Store, broker: Broker, now: Now) -> None:
    """Look into the real queues, and show what is there. Raises BrokerUnreachable and StoreUnreachable."""
    for queue in (PARKING, UNROUTED):
        since = now()
        found = parking.browse(broker, queue)
        with store.transaction() as connection:
            messages.compared(connection, queue, found, since)


def _chosen(desk: Desk, queue: str, ids: Sequence[str]) -> list[Parked]:
    desk.require_broker()
    wanted = set(ids)
    return [parked for parked in parking.browse(desk.broker, queue) if parked.told_name in wanted]


def _one(desk: Desk, queue: str, id: str) -> Parked:
    for parked in _chosen(desk, queue, [id]):
        return parked
    raise NotFound(f"there is no message {id} in {queue} any more")


def _teller(desk: Desk, who: Identity) -> Tell:
    def tell(data: Model, order_id: str | None) -> Event[Any]:
        known = {"time": desk.now(), "traceparent": new_traceparent(), "authtype": who.authtype, "authid": who.name}
        return codec.envelope(data, id=new_id(), source="/sitecrew/api", subject=order_id, **known)

    return tell
