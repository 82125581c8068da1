"""Rebuilding the api's projection from what the services tell again."""

from collections.abc import Callable, Mapping
from time import monotonic

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from foundation.clock import utc_now
from foundation.config.queues import API_EVENTS
from foundation.config.settings import Settings
from foundation.errors import NotFound, SitecrewError
from foundation.store import Store
from schemas.services import ServiceReplay, ServiceReplayed
from services.api.parked import acting
from services.api.projection import rebuilding
from sitecrew.cli.client import sending, session
from sitecrew.cli.client.stores import API
from sitecrew.cli.output import terminal

_GLANCE = 0.5
"""Seconds between looks at how far it is."""

Rows = Mapping[str, int]
"""The number of rows or records, by service."""


def rebuild(settings: Settings, patience: float) -> Rows:
    """Forget the projection's records, have the services tell of their rows again, and wait until the api has taken
    that in. Returns how many rows each service told of. Raises NotFound if no api has run with this broker, and
    SitecrewError if nothing moves for `patience` seconds."""
    store = Store(settings.api.store_url.get_secret_value())
    try:
        with session.ready_broker(settings) as broker:
            if broker.is_missing(API_EVENTS):
                raise NotFound(f"the broker has no queue {API_EVENTS}: run the api once (`sitecrew run api`)")
            store.migrate([API])
            acting.compare(store, broker, utc_now)
            with terminal.working("asking the services for their rows") as say:
                return _rebuilt(broker, store, patience, say)
    finally:
        store.close()


def _rebuilt(broker: Broker, store: Store, patience: float, say: Callable[[str], None]) -> Rows:
    watching = broker.watch(EVENTS, "service.replayed.#")
    try:
        with store.transaction() as connection:
            rebuilding.forget(connection, utc_now())
        asked = sending.event(ServiceReplay(), None)
        sending.require_confirmed(sending.publish(broker, [sending.message(asked)]))
        told: dict[str, int] = {}
        known, moved = _known(store), monotonic()
        while not _complete(told, known, broker):
            for answer in sending.incoming(watching, monotonic() + _GLANCE):
                if isinstance(answer.data, ServiceReplayed) and answer.data.command_id == asked.id:
                    told[answer.data.service] = answer.data.rows
            before, known = known, _known(store)
            moved = moved if known == before else monotonic()
            say(", ".join(f"{service}: {known[service]}{_of(told.get(service))} rows" for service in known))
            if monotonic() - moved > patience:
                raise SitecrewError(_stuck(told, patience))
        return told
    finally:
        watching.close()


def _complete(told: Rows, known: Rows, broker: Broker) -> bool:
    return told.keys() == known.keys() and all(known[one] >= told[one] for one in told) and not broker.depth(API_EVENTS)


def _known(store: Store) -> Rows:
    with store.reading() as connection:
        return rebuilding.counted(connection)


def _of(rows: int | None) -> str:
    return "" if rows is None else f" of {rows}"


def _stuck(told: Rows, patience: float) -> str:
    if silent := [service for service in rebuilding.TOLD_BY if service not in told]:
        names = ", ".join(silent)
        return f"nothing has come from {names} for {patience:g} seconds. Run them; the rebuild then goes on by itself"
    return (
        f"the api has taken in nothing for {patience:g} seconds. Run it (`sitecrew run api`); it then goes on by itself"
    )
