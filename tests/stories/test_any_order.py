"""Whatever is asked of two orders, in whatever order, while this and that fails: it all comes to rest, and the services
agree about what has become of it."""

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from foundation.store import Store
from tests.support.happenings import happenings
from tests.support.house import House

OURS = {"act.unexpected", "message.unexpected", "periodic.failed", "store.unreachable", "sweep.failed"}
"""What is logged when something went wrong that we are to blame for."""


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
