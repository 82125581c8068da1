"""Where events are posted to, and each of their deliveries. Secrets are kept encrypted."""

from enum import StrEnum

from sqlalchemy import Column, Index, Integer, String, Table, Text

from foundation.store import Utc
from foundation.store.types import Word, metadata


class State(StrEnum):
    """How far a delivery is."""

    HELD = "held"
    """Only its order's producer may get it, and who that is was not told yet."""
    WAITING = "waiting"
    """To be posted at `due_at`; while it is posted, `due_at` is when another replica would take over."""
    DELIVERED = "delivered"
    DEAD = "dead"
    """Given up."""


endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("source", String(255)),
    Column("secret", Text, nullable=False),
    Column("old_secret", Text),
    Column("old_until", Utc),
    Column("disabled_because", String(200)),
    Column("paused_until", Utc),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(255), nullable=False),
)

deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("endpoint_id", String(36), nullable=False),
    Column("key", String(32), nullable=False),
    Column("type", String(64), nullable=False),
    Column("order_id", String(64)),
    Column("body", Text, nullable=False),
    Column("state", Word(State), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("due_at", Utc),
    Column("give_up_at", Utc, nullable=False),
    Column("status", Integer),
    Column("answer", Text),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Index("ix_webhook_deliveries_endpoint_id_due_at", "endpoint_id", "due_at"),
    Index("ix_webhook_deliveries_endpoint_id_created_at", "endpoint_id", "created_at"),
    Index("ix_webhook_deliveries_ended_at", "ended_at"),
    Index("ix_webhook_deliveries_state", "state"),
    Index("uq_webhook_deliveries_endpoint_id_key", "endpoint_id", "key", unique=True),
)
