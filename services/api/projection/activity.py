"""The activity log: one line for each thing that happened or was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, String, Table

from foundation.store import PydanticJson, Utc, bulk
from foundation.store.records import Records, lock
from foundation.store.types import metadata
from schemas import catalogue
from schemas.alerts import MailAlerts
from schemas.envelope import Event
from schemas.installs import InstallProgress
from schemas.mails import PreviewRendered
from schemas.services import ServiceDescribe, ServiceDescribed, ServiceHeartbeat, ServiceReplay, ServiceReplayed
from schemas.values import Cause

SILENT = (
    InstallProgress,
    MailAlerts,
    PreviewRendered,
    ServiceDescribe,
    ServiceDescribed,
    ServiceHeartbeat,
    ServiceReplay,
    ServiceReplayed,
)
"""What nobody looks for afterwards."""
_SAID = (
    "headline",
    "server",
    "waiting_for",
    "reason",
    "note",
    "step",
    "queue",
    "recipient",
    "stage",
    "welcome_email",
    "site_type",
    "name",
    "email",
)
"""Fields that say in a line's detail what was asked or has happened, where an event has them."""

activity = Table(
    "activity",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("at", Utc, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("order_id", String(64)),
    Column("install_id", String(80)),
    Column("actor_type", String(64)),
    Column("actor", String(255)),
    Column("source", String(255), nullable=False),
    Column("detail", String(400), nullable=False),
    Column("cause", PydanticJson(Cause)),
    Column("trace_id", String(32)),
    Index("ix_activity_at_id", "at", "id"),
    Index("ix_activity_order_id_at", "order_id", "at", "id"),
    Index("ix_activity_actor_at", "actor", "at", "id", "kind"),
    Index("ix_activity_kind_at", "kind", "at", "id", "actor"),
    Index("ix_activity_trace_id", "trace_id"),
)


class Line(NamedTuple):
    """One line, in the order of the table's columns after `id`."""

    key: str
    """What tells it from all others, so that it is written once."""
    at: Any
    kind: str
    """The event's type without prefix and version: `install.failed`; or what was done here: `staff.signed_in`."""
    order_id: str | None = None
    install_id: str | None = None
    actor_type: str | None = None
    actor: str | None = None
    source: str = "/sitecrew/api"
    detail: str = ""
    cause: Cause | None = None
    trace_id: str | None = None


@dataclass(frozen=True)
class Entry:
    """A line as it was written."""

    id: int
    key: str
    at: datetime
    kind: str
    order_id: str | None
    install_id: str | None
    actor_type: str | None
    actor: str | None
    source: str
    detail: str
    cause: Cause | None
    trace_id: str | None


ENTRIES = Records(activity, Entry, key="id")


def line_of(event: Event[Any], at: Any) -> Line | None:
    """Return the line for an event; None if it deserves none. `at` is when it was received, if it has no time."""
    if event.replay or isinstance(event.data, SILENT):
        return None
    told = vars(event.data)
    install: str | None = told.get("install_id")
    return Line(
        key=key_of(event.source, event.id),
        at=event.time or at,
        kind=kind_of(event),
        order_id=told.get("order_id") or (install.rpartition("-g")[0] if install else None),
        install_id=install,
        actor_type=event.authtype,
        actor=event.authid,
        source=event.source,
        detail=_detail_of(told)[:400],
        cause=told.get("cause"),
        trace_id=event.trace_id,
    )


def key_of(source: str, id: str) -> str:
    """Return a key of fixed length for an event's source and id."""
    return blake2b(f"{source}\n{id}".encode(), digest_size=16).hexdigest()


def kind_of(event: Event[Any]) -> str:
    """Return an event's type as people read it: `install.failed`."""
    return catalogue.by_model(type(event.data)).routing_key.rpartition(".v")[0]


def _detail_of(told: Mapping[str, Any]) -> str:
    """Return what the fields of an event say beside its cause, in one line."""
    said = {name: value for name in _SAID if isinstance(value := told.get(name), (str, bool))}
    if attempt := told.get("attempt"):
        most = told.get("max_attempts")
        said["attempt"] = f"{attempt} of {most}" if most else str(attempt)
    words = [f"{name}: {value}" for name, value in said.items()]
    return ", ".join([*words, "the domain was released"] if told.get("domain_released") else words)


def write(connection: Connection, lines: list[Line]) -> None:
    """Write lines, in their order, except those that are there already. Whoever reads lines by their numbers misses
    none: the transactions that write some commit one after the other."""
    if lines:
        lock(connection, ["activity"])
        bulk.add(connection, activity, Line._fields, lines, unless_there=True)
