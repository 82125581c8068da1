"""What the events have told of orders, installs and letters: one record of each, as the pages and the API show it.

Events come twice and in any order. A record is made of facets: groups of fields that are always told together. Each
facet keeps the version that told it last, and an older telling changes nothing, so that the outcome is the same
whatever the order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from pydantic import Field
from sqlalchemy import Column, Float, Integer, String, Table, Text

from foundation.store import PydanticJson, Utc
from foundation.store.frozen import replace
from foundation.store.records import Records
from foundation.store.types import metadata
from schemas.values import Cause, Model

Fields = Mapping[str, Any]


class Versions(Model):
    """By facet, the version of the event that told it last."""

    facets: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class View:
    """A record of which events tell."""

    versions: Versions = field(default_factory=Versions)
    updated_at: datetime | None = None
    """When the newest of the events happened."""

    def told(self, facet: str, version: str, fields: Fields, at: datetime) -> Self:
        """Return it with a facet as an event of this version tells it, unless a later one has told it already."""
        known = self.versions.facets
        if version < known.get(facet, ""):
            return self
        latest = max(at, self.updated_at or at)
        return replace(self, **fields, versions=Versions(facets={**known, facet: version}), updated_at=latest)


def _columns() -> list[Column[Any]]:
    return [
        Column("versions", PydanticJson(Versions), nullable=False),
        Column("updated_at", Utc, index=True),
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


order_views = Table(
    "order_views",
    metadata,
    Column("order_id", String(64), primary_key=True),
    *_progress(),
    Column("site_type", String(32)),
    Column("domain", String(253), index=True),
    Column("title", String(200)),
    Column("server", String(200)),
    Column("username", String(64)),
    Column("address", String(64)),
    Column("customer_name", String(200)),
    Column("customer_email", String(320), index=True),
    Column("locale", String(32)),
    Column("placed_by", String(255)),
    Column("placed_at", Utc),
    *_columns(),
)

install_views = Table(
    "install_views",
    metadata,
    Column("install_id", String(80), primary_key=True),
    Column("order_id", String(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    *_progress(),
    Column("site_type", String(32)),
    Column("url", Text),
    Column("title", String(200)),
    Column("server", String(200)),
    Column("username", String(64)),
    Column("domain", String(253)),
    Column("worker", String(200)),
    Column("staged_at", Utc, index=True),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Column("seconds", Float),
    Column("application", String(200)),
    Column("application_version", String(200)),
    Column("login_url", Text),
    *_columns(),
)

letter_views = Table(
    "letter_views",
    metadata,
    Column("install_id", String(80), primary_key=True),
    Column("order_id", String(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    *_progress(),
    Column("recipient", String(320)),
    Column("message_id", String(400)),
    Column("resends", Integer),
    Column("sent_at", Utc),
    *_columns(),
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
    customer_name: str | None = None
    customer_email: str | None = None
    locale: str | None = None
    placed_by: str | None = None
    placed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class InstallView(_Progress):
    """One generation of an order's site."""

    install_id: str
    order_id: str
    generation: int
    site_type: str | None = None
    url: str | None = None
    title: str | None = None
    server: str | None = None
    username: str | None = None
    domain: str | None = None
    worker: str | None = None
    staged_at: datetime | None = None
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
