"""A house of orders that have come to each of the ends, and that wait at each of the stops on the way."""

from pathlib import Path
from typing import Any

from schemas.installs import InstallResolve
from schemas.mails import MailResend
from schemas.orders import OrderAmend, OrderCancelled, OrderReinstallRequested
from schemas.values import CauseKind
from tests.support.house import House, failure

PERMANENT = failure("refused", CauseKind.PERMANENT)
PASSING = failure("away", CauseKind.TRANSIENT)


def a_full_house(directory: Path) -> House:
    """Orders that have come to each of the ends, and that wait at each of the stops on the way."""
    house = House(directory, sites={"static": {"welcome_email": False}}, servers={"local": {"concurrency": 1}})

    def placed(number: int, **changes: Any) -> None:
        house.order(number, **changes)
        house.settle()
        house.tick()

    house.smtp.failures = [PASSING]
    placed(1)
    house.publish(OrderReinstallRequested(order_id="order-1"))
    house.settle()
    house.tick()
    house.advance(100)  # the letter of the first is outdated by now
    house.server.failures = [PASSING, PERMANENT]
    placed(2)
    house.advance(11)
    house.order(3)
    house.settle()
    house.publish(OrderCancelled(order_id="order-3", reason="ordered twice"))
    house.settle()
    placed(4, site_type="static")
    house.installer.failures = [PERMANENT]
    placed(5)
    house.smtp.failures = [PERMANENT]
    placed(6)
    house.installer.failures = [PERMANENT]
    placed(12)
    house.publish(InstallResolve(install_id="order-12-g1", note="copied by hand"))
    house.settle()
    placed(7)
    house.smtp.failures = [PASSING]
    house.publish(MailResend(install_id="order-7-g1", recipient="new@customer.example"))
    house.settle()
    house.installer.failures = [PASSING]
    placed(8)
    house.order(9)
    house.settle()
    placed(13)  # which waits for the place of the one before it
    house.publish(OrderReinstallRequested(order_id="order-9"))
    house.settle()
    house.publish(OrderCancelled(order_id="order-9"))
    house.settle()
    house.order(10)
    house.settle()
    house.publish(OrderAmend(order_id="order-10", email="right@customer.example"))
    house.settle()
    house.server.failures = [PASSING]
    house.order(11)
    house.settle()
    return house
