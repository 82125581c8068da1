"""Whatever is asked of two orders, in whatever order, while this and that fails: it all comes to rest, and the services
agree about what has become of it."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from foundation.store import Store
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

OURS = {"act.unexpected", "message.unexpected", "periodic.failed", "store.unreachable", "sweep.failed"}
"""What is logged when something went wrong that we are to blame for."""


def happenings(house: House, chance: random.Random) -> list[Callable[[], Any]]:
    """What may happen next, to an order by chance."""
    number = chance.choice([1, 2])
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


def rows(store: Store, table: str) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(text(f"SELECT * FROM {table}")))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_asked_in_whatever_order_comes_to_rest(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    with capture_logs() as logs:
        house = House(tmp_path, sites={"wordpress": {"stage": seed % 2 == 0}})
        for _ in range(60):
            chance.choice(happenings(house, chance))()
        for _ in range(60):
            house.advance(61)
            house.tick()
            house.reconcile()
        house.let_time_pass(10, 4000)
        house.tick()
    assert [line for line in logs if line["event"] in OURS] == []

    orders, mails = rows(house.intake.store, "orders"), rows(house.mailer.store, "mails")
    installs = {install.install_id: install for install in rows(house.installing.store, "installs")}
    assert [row for row in (*orders, *installs.values(), *mails) if row.lease_owner is not None] == []
    states = {row.state for row in (*orders, *installs.values(), *mails)}
    assert states <= {"created", "installed", "sent", "cancelled", "failed", "suppressed"}
    letters = {mail.install_id: mail.state for mail in mails}
    done = {name: install.mail_state for name, install in installs.items() if install.state == "installed"}
    assert letters.keys() == done.keys()
    assert all(letters[name] in ("suppressed", told) for name, told in done.items()), (letters, done)
    for order in orders:
        newest = installs.get(f"{order.order_id}-g{order.generation}")
        assert order.install_state == (newest.state if newest else "none")
        assert order.has_site == any(installs[name].order_id == order.order_id for name in done)
        assert order.holds_domain == (order.state == "created")
