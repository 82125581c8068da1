"""The recovery sweep: orders that no message moves any more are woken, their domains given back, and installs of
which nothing was heard are announced again, in case a broker lost them."""

from datetime import datetime

import structlog
from sqlalchemy import Connection

from foundation.config.queues import INTAKE_ORDERS
from foundation.handling.unit_of_work import Database, UnitOfWork
from foundation.store import lease
from services.order_intake.orders import Order, orders
from services.order_intake.rows import OrderRows
from services.order_intake.staging import Staging
from services.order_intake.states import OrderState

_AT_ONCE = 100

_log = structlog.get_logger(__name__)


def recover(database: Database[OrderRows], staging: Staging) -> None:
    """Do again what should have had a consequence by now. One time too many changes nothing: the installer knows its
    installs, and an order's row decides what its message may do."""

    def look(uow: UnitOfWork[OrderRows]) -> None:
        for order in uow.rows.orders.all():
            if order.check_at and order.check_at < uow.now:
                _recover(uow, order, staging)

    database.sweep(_overdue, look)


def _recover(uow: UnitOfWork[OrderRows], order: Order, staging: Staging) -> None:
    if order.state == OrderState.ACCEPTED:
        uow.rows.orders.save(order.woken(uow.now))
        uow.redeliver(order.placed(), INTAKE_ORDERS, order.order_id, order.trace, suspect=True)
        _log.warning("order.woken", order_id=order.order_id)
    elif order.gives_domain_back:
        uow.rows.orders.save(order.let_go(uow.now))
        staging.take_back(uow, order)
    else:
        staging.announce_again(uow, order)


def _overdue(connection: Connection, now: datetime) -> list[str]:
    return lease.overdue(connection, orders, "order_id", now, _AT_ONCE)
