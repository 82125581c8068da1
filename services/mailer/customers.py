"""Customers whose name or address was corrected after they had ordered: table and record.

An install carries the customer as of its staging, so its events do not know of a later correction.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Table

from foundation.store import PydanticJson, Utc
from foundation.store.records import Records
from foundation.store.types import Bytewise, metadata
from schemas.values import Customer

customers = Table(
    "customers",
    metadata,
    Column("order_id", Bytewise(64), primary_key=True),
    Column("customer", PydanticJson(Customer), nullable=False),
    Column("amended_at", Utc, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """The customer of an order, as last corrected."""

    order_id: str
    customer: Customer
    amended_at: datetime


CUSTOMERS = Records(customers, Corrected, key="order_id")
