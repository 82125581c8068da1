"""What the events have told of orders, installs and letters: one record of each, as the pages and the API show it.

Events come twice and in any order. A record is made of facets: groups of fields that are always told together. Each
facet keeps the version that told it last, and an older telling changes nothing, so that the outcome is the same
whatever the order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

from pydantic import Field
from sqlalchemy import Column, Computed, Float, Index, Integer, String, Table, Text

from foundation.store import PydanticJson, Utc
from foundation.store.frozen import replace
from foundation.store.records import Records
from foundation.store.types import Bytewise, metadata
from schemas.values import Cause, Model

Fields = Mapping[str, Any]


class News(NamedTuple):
    """A facet as an event of this version tells it."""

    facet: str
    version: str
    fields: Fields
    at: datetime


class Versions(Model):
    """By facet, the version of the event that told it last."""

    facets: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class View:
    """A record of which events tell."""

    versions: Versions = field(default_factory=Versions)
    updated_at: datetime | None = None
    """When the newest of the events happened."""

    def told(self, news: Iterable[News]) -> Self:
        """Return it with each facet as the latest event tells it, whether it is among the news or known already."""
        facets, fields, latest = dict(self.versions.facets), dict[str, Any](), self.updated_at
        for facet, version, told, at in news:
            if version >= facets.get(facet, ""):
                facets[facet] = version
                fields.update(told)
                latest = max(at, latest or at)
        return replace(self, **fields, versions=Versions(facets=facets), updated_at=latest) if fields else self


def _columns() -> list[Column[Any]]:
    return [
        Column("versions", PydanticJson(Versions), nullable=False),
        Column("updated_at", Utc, nullable=False),
    ]


def _progress() -> list[Column[Any]]:
    """Columns of whatever is tried several times."""
    return [
        Column("state", String(16), nullable=False),
        Column("attempt", Integer),
        Column("max_attempts", Integer),
        Column("due_at", Utc),
        Column("cause", PydanticJson(Cause)),
        Column("cause_code", String(64)),
        Column("reason", String(200)),
    ]


def _listed(table: str, *looked_at: str) -> list[Index]:
    """Indices in which a listing finds its rows in their order: all, of one state, or with one cause. What else it
    looks at is in them as well, so that rows that are not wanted need not be read."""
    return [
        Index(f"ix_{table}_updated_at", "updated_at", *looked_at),
        Index(f"ix_{table}_state_updated_at", "state", "updated_at", *looked_at),
        Index(f"ix_{table}_cause_code", "cause_code", "updated_at"),
    ]


_SEARCHED = "lower(coalesce(domain, '') || ' ' || coalesce(customer_email, ''))"
"""What is searched for a part of it; read from its own index, which is small."""

order_views = Table(
    "order_views",
    metadata,
    Column("order_id", Bytewise(64), primary_key=True),
    *_progress(),
    Column("site_type", String(32)),
    Column("domain", Bytewise(253), index=True),
    Column("title", String(200)),
    Column("server", String(200)),
    Column("username", Bytewise(64), index=True),
    Column("address", String(64)),
    Column("control_panel_url", Text),
    Column("customer_name", String(200)),
    Column("customer_email", Bytewise(320), index=True),
    Column("placed_by", String(255)),
    Column("placed_at", Utc),
    Column("priority", String(8)),
    *_columns(),
    Column("searched", Bytewise(600), Computed(_SEARCHED, persisted=True), index=True),
    Index("ix_order_views_placed_by_updated_at", "placed_by", "updated_at"),
    *_listed("order_views", "order_id", "site_type", "server"),
)

install_views = Table(
    "install_views",
    metadata,
    Column("install_id", Bytewise(80), primary_key=True),
    Column("order_id", Bytewise(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    *_progress(),
    Column("site_type", String(32)),
    Column("url", Text),
    Column("title", String(200)),
    Column("locale", String(32)),
    Column("server", String(200)),
    Column("username", String(64)),
    Column("domain", String(253)),
    Column("waiting_for", String(16)),
    Column("waiting_until", Utc),
    Column("worker", String(200)),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("seconds", Float),
    Column("application", String(200)),
    Column("application_version", String(200)),
    Column("login_url", Text),
    *_columns(),
    *_listed("install_views", "install_id", "site_type", "server"),
)

letter_views = Table(
    "letter_views",
    metadata,
    Column("install_id", Bytewise(80), primary_key=True),
    Column("order_id", Bytewise(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    *_progress(),
    Column("recipient", String(320)),
    Column("message_id", String(400)),
    Column("resends", Integer),
    Column("sent_at", Utc),
    *_columns(),
    *_listed("letter_views", "install_id"),
)


@dataclass(frozen=True, kw_only=True)
class _Progress(View):
    state: str = ""
    """As its service calls it; empty until that was told."""
    attempt: int | None = None
    max_attempts: int | None = None
    due_at: datetime | None = None
    cause: Cause | None = None
    cause_code: str | None = None
    """The code of `cause`, to group and search by."""
    reason: str | None = None
    """Why it was cancelled, suppressed or resolved, as whoever did that said."""


@dataclass(frozen=True, kw_only=True)
class OrderView(_Progress):
    """One order."""

    order_id: str
    site_type: str | None = None
    domain: str | None = None
    title: str | None = None
    server: str | None = None
    username: str | None = None
    address: str | None = None
    control_panel_url: str | None = None
    customer_name: str | None = None
    customer_email: str | None = None
    placed_by: str | None = None
    placed_at: datetime | None = None
    priority: str | None = None
    """`low`, `normal` or `high`, if its producer said so."""


@dataclass(frozen=True, kw_only=True)
class InstallView(_Progress):
    """One generation of an order's site."""

    install_id: str
    order_id: str
    generation: int
    site_type: str | None = None
    url: str | None = None
    title: str | None = None
    locale: str | None = None
    server: str | None = None
    username: str | None = None
    domain: str | None = None
    waiting_for: str | None = None
    """What it waited for last, and until when at most."""
    waiting_until: datetime | None = None
    worker: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    application: str | None = None
    application_version: str | None = None
    login_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class LetterView(_Progress):
    """The welcome letter of one install."""

    install_id: str
    order_id: str
    generation: int
    recipient: str | None = None
    message_id: str | None = None
    resends: int | None = None
    sent_at: datetime | None = None


ORDERS = Records(order_views, OrderView, key="order_id")
INSTALLS = Records(install_views, InstallView, key="install_id", owner="order_id")
LETTERS = Records(letter_views, LetterView, key="install_id", owner="order_id")
ORDER, INSTALL, LETTER = "order", "install", "letter"
RECORDS: Mapping[str, Records[Any]] = {ORDER: ORDERS, INSTALL: INSTALLS, LETTER: LETTERS}
RECORDS_LOCK = "records"
"""Whoever changes records holds this lock, so that the numbers that are kept of them agree with them."""
