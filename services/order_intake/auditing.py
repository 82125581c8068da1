"""What an audit reads of orders: a few columns, so that it can read them all."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from foundation.store.running import Running
from foundation.store.streaming import in_order
from services.order_intake.orders import orders
from services.order_intake.servers import server_news
from services.order_intake.states import InstallState, OrderState


class OrderFacts(NamedTuple):
    """One order."""

    order_id: str
    state: OrderState
    install_state: InstallState
    generation: int
    has_site: bool
    holds_domain: bool
    has_account: bool
    has_reason: bool
    """Whether it says why it failed, waits, or was cancelled."""
    check_at: datetime | None
    updated_at: datetime

    @property
    def touched_at(self) -> datetime:
        """When something last happened to it."""
        return self.updated_at


_FACTS = select(
    orders.c.order_id,
    orders.c.state,
    orders.c.install_state,
    orders.c.generation,
    orders.c.has_site,
    orders.c.holds_domain,
    orders.c.account.is_not(None),
    or_(orders.c.cause.is_not(None), orders.c.cancel_reason.is_not(None)),
    orders.c.check_at,
    orders.c.updated_at,
)


def facts(connection: Connection, only: Sequence[str] | None = None) -> Iterator[OrderFacts]:
    """Yield all orders, or those with these ids, in the order of their ids."""
    return map(OrderFacts._make, in_order(connection, _FACTS, orders.c.order_id, only))


class AccountFacts(NamedTuple):
    """An order, as its account on a server has it."""

    username: str
    order_id: str
    has_account: bool
    updated_at: datetime


_ACCOUNTS = select(orders.c.username, orders.c.order_id, orders.c.account.is_not(None), orders.c.updated_at)


def accounts(connection: Connection, server: str) -> Iterator[AccountFacts]:
    """Yield all orders of a server by the username that each has for its account, or tries to get."""
    of_server = _ACCOUNTS.where(orders.c.server == server)
    return map(AccountFacts._make, in_order(connection, of_server, orders.c.username))


def waiting_to_be_woken(connection: Connection, now: datetime) -> Mapping[str, int]:
    """Return how many orders wait for each of the servers that may not be used, as far as order intake has heard."""
    is_on = or_(server_news.c.until.is_(None), server_news.c.until > now)
    shut = select(server_news.c.name).where(server_news.c.cause.is_not(None), is_on)
    servers = connection.execute(shut).scalars().all()
    return Running(connection, orders.c.server, orders.c.waiting_since.is_not(None)).written(servers)
