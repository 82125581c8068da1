"""Where events are posted to, and each of their deliveries. Secrets are kept encrypted."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text

from foundation.store import Utc
from foundation.store.types import metadata

endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("source", String(255)),
    Column("secrets", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(64), nullable=False),
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
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("due_at", Utc),
    Column("lease_until", Utc),
    Column("status", Integer),
    Column("answer", Text),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Index("ix_webhook_deliveries_due_at", "due_at"),
    Index("ix_webhook_deliveries_endpoint_id_created_at", "endpoint_id", "created_at"),
    Index("uq_webhook_deliveries_endpoint_id_key", "endpoint_id", "key", unique=True),
)
