"""What may happen to a house of orders."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from schemas.installs import InstallCancel, InstallRetry
from schemas.mails import MailResend
from schemas.orders import (
    OrderAmend,
    OrderCancel,
    OrderCancelled,
    OrderReinstall,
    OrderReinstallRequested,
    OrderRetry,
)
from schemas.values import CauseKind
from tests.support.house import House, failure


def happenings(house: House, chance: random.Random, numbers: Sequence[int] = (1, 2)) -> list[Callable[[], Any]]:
    """What may happen next, to one of these orders by chance."""
    number = chance.choice(numbers)
    order = f"order-{number}"
    install = f"{order}-g{chance.choice([1, 1, 2])}"
    broken: Any = chance.choice([house.server, house.installer, house.smtp])
    cause = failure(chance.choice(["x_down", "username_taken", "no_room"]), chance.choice(list(CauseKind)))
    return [
        lambda: house.order(number),
        lambda: house.order(number, f"again-{chance.random()}"),
        lambda: house.order(number, f"other-{chance.random()}", blog_name="Other"),
        lambda: house.publish(OrderCancelled(order_id=order)),
        lambda: house.publish(OrderReinstallRequested(order_id=order)),
        lambda: house.publish(OrderCancel(order_id=order, reason="by staff")),
        lambda: house.publish(OrderReinstall(order_id=order)),
        lambda: house.publish(OrderRetry(order_id=order)),
        lambda: house.publish(OrderAmend(order_id=order, email=f"jo{chance.randrange(9)}@customer.example")),
        lambda: house.publish(InstallCancel(install_id=install, reason="by staff")),
        lambda: house.publish(InstallRetry(install_id=install)),
        lambda: house.publish(MailResend(install_id=install)),
        lambda: broken.failures.append(cause),
        lambda: house.restart(chance.choice(house.services)),
        lambda: house.advance(chance.choice([1, 40, 700])),
        house.tick,
        house.run_periodic_tasks,
        house.settle,
        lambda: [service.run_once() for service in house.services],
    ]
