"""The receivers of webhooks: who wants which events, and with which secret they are signed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from foundation.config.settings import Api
from foundation.errors import NotFound, Refused
from foundation.handling.unit_of_work import new_id
from schemas import catalogue
from services.api import keys
from services.api.projection.activity import SILENT
from services.api.webhooks import destinations, signing
from services.api.webhooks.destinations import ForbiddenAddress
from services.api.webhooks.tables import State, deliveries, endpoints

OVERLAP = timedelta(hours=24)
"""How long the old secret stays valid after a rotation."""

_PURPOSE = "webhook secrets"
_MOST = 100
"""Endpoints; each event is compared with each."""

TYPES: Sequence[str] = tuple(
    entry.routing_key.rpartition(".v")[0]
    for entry in catalogue.CATALOGUE
    if entry.published and entry.model not in SILENT
)
"""The types that can be wanted, without prefix and version."""


@dataclass(frozen=True)
class Endpoint:
    """One receiver, without its secrets."""

    id: str
    url: str
    types: tuple[str, ...]
    """Types as in `install.failed`, or their beginnings as in `install.*`; `*` for all."""
    source: str | None
    """Only what concerns orders that this source placed; None for all."""
    disabled_because: str | None
    paused_until: datetime | None
    """Until when the receiver wants to be left alone."""
    old_until: datetime | None
    """Until when events are signed with the previous secret as well."""
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, row: Row[Any]) -> "Endpoint":
        """Return a row as an endpoint."""
        return cls(
            id=row.id,
            url=row.url,
            types=tuple(row.types.split()),
            source=row.source,
            disabled_because=row.disabled_because,
            paused_until=row.paused_until,
            old_until=row.old_until,
            created_at=row.created_at,
            created_by=row.created_by,
        )

    def is_told_of(self, type: str) -> bool:
        """Whether it is told of every event of a type, whoever's orders it is about."""
        return self.disabled_because is None and self.source is None and self.wants(type)

    def wants(self, type: str) -> bool:
        """Whether it wants events of a type."""
        return any(_matches(wanted, type) for wanted in self.types)


def create(
    connection: Connection, own: Api, url: str, types: Iterable[str], source: str | None, by: str, now: datetime
) -> tuple[Endpoint, str]:
    """Create an endpoint; return it and its secret, which nobody can read again. Raises Refused."""
    try:
        destinations.parsed(url, to_private=own.webhooks_to_private)
    except ForbiddenAddress as error:
        raise Refused(str(error)) from None
    wanted = tuple(dict.fromkeys(types)) or ("*",)
    for name in wanted:
        if not any(_matches(name, known) for known in TYPES):
            raise Refused(f"no event is called '{name[:80]}'; expected *, install.* or one of {', '.join(TYPES)}")
    if len(all_of(connection)) >= _MOST:
        raise Refused(f"there are {_MOST} webhooks already")
    secret = signing.new_secret()
    id = new_id()
    row = {"id": id, "url": url, "types": " ".join(wanted), "source": source or None, "created_at": now}
    row |= {"secret": keys.encrypted(keys.derived(own, _PURPOSE), secret), "created_by": by}
    connection.execute(endpoints.insert().values(**row))
    return get(connection, id), secret


def all_of(connection: Connection) -> list[Endpoint]:
    """Return all endpoints, oldest first."""
    found = select(endpoints).order_by(endpoints.c.created_at, endpoints.c.id)
    return [Endpoint.of(row) for row in connection.execute(found)]


def get(connection: Connection, id: str) -> Endpoint:
    """Return an endpoint. Raises NotFound."""
    return Endpoint.of(_row(connection, id))


def secrets(connection: Connection, own: Api, id: str, now: datetime) -> Sequence[str]:
    """Return the secrets to sign with, newest first. Raises NotFound, Refused, Unreadable."""
    row = _row(connection, id)
    kept = [row.secret, row.old_secret if row.old_until and row.old_until > now else None]
    key = keys.derived(own, _PURPOSE)
    return [keys.decrypted(key, secret) for secret in kept if secret]


def rotate(connection: Connection, own: Api, id: str, now: datetime) -> str:
    """Give an endpoint a new secret, and return it. Events are signed with the old one as well for a day. Raises
    NotFound."""
    row, secret = _row(connection, id), signing.new_secret()
    _change(
        connection,
        id,
        {
            "secret": keys.encrypted(keys.derived(own, _PURPOSE), secret),
            "old_secret": row.secret,
            "old_until": now + OVERLAP,
        },
    )
    return secret


def disable(connection: Connection, id: str, reason: str, now: datetime) -> None:
    """Post nothing to an endpoint any more; what waits is given up. Raises NotFound."""
    get(connection, id)
    _change(connection, id, {"disabled_because": reason[:200]})
    waiting = (deliveries.c.endpoint_id == id) & (deliveries.c.state == State.WAITING)
    dead = {"state": State.DEAD, "due_at": None, "ended_at": now}
    connection.execute(update(deliveries).where(waiting).values(**dead))


def enable(connection: Connection, id: str) -> None:
    """Post to an endpoint again whatever happens from now on. Raises NotFound."""
    get(connection, id)
    _change(connection, id, {"disabled_because": None, "paused_until": None})


def pause(connection: Connection, id: str, until: datetime) -> None:
    """Post nothing to an endpoint for a while; whatever is to be posted waits."""
    _change(connection, id, {"paused_until": until})


def _matches(wanted: str, type: str) -> bool:
    return type.startswith(wanted[:-1]) if wanted == "*" or wanted.endswith(".*") else wanted == type


def _row(connection: Connection, id: str) -> Row[Any]:
    row = connection.execute(select(endpoints).where(endpoints.c.id == id)).first()
    if row is None:
        raise NotFound(f"there is no webhook {id[:40]}")
    return row


def _change(connection: Connection, id: str, values: Mapping[str, Any]) -> None:
    connection.execute(update(endpoints).where(endpoints.c.id == id).values(**values))
