"""Customers whose name or address was corrected after they had ordered: the mailer's table of them.

What an install was staged with is older than the correction, whenever it completes.
"""

from datetime import datetime

from sqlalchemy import Column, String, Table, select, update

from foundation.handling.unit_of_work import UnitOfWork
from foundation.store import PydanticJson, Utc
from foundation.store.insert import insert_new
from foundation.store.types import metadata
from schemas.installs import InstallCompleted
from schemas.values import Customer

customers = Table(
    "customers",
    metadata,
    Column("order_id", String(64), primary_key=True),
    Column("customer", PydanticJson(Customer), nullable=False),
    Column("amended_at", Utc, nullable=False),
)


def amend(uow: UnitOfWork, order_id: str, customer: Customer, at: datetime) -> bool:
    """Keep what is right from now on; False if something newer is known."""
    row = {"order_id": order_id, "customer": customer, "amended_at": at}
    if insert_new(uow.connection, customers, row):
        return True
    older = update(customers).where(customers.c.order_id == order_id, customers.c.amended_at <= at)
    return uow.execute(older.values(customer=customer, amended_at=at)).rowcount == 1


def corrected(uow: UnitOfWork, completed: InstallCompleted) -> InstallCompleted:
    """A completed install, its customer as he is now."""
    row = select(customers.c.customer).where(customers.c.order_id == completed.order_id)
    customer = uow.execute(row).scalar()
    return completed.model_copy(update={"customer": customer}) if customer else completed
