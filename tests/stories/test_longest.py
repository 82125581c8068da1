"""The longest values that an event may have fit the columns of every database, which SQLite does not check."""

from pathlib import Path
from typing import Any

import pytest

from foundation.store import Store
from schemas.installs import InstallCancel
from schemas.mails import MailResend
from schemas.orders import OrderCancel, OrderReinstallRequested
from tests.support import house as houses
from tests.support.house import House, failure
from tests.support.postgres import Postgres

LETTER = "\U0001d4d0"
"""One character, four bytes."""
ORDER = "O" * 64
LABEL = "d" * 63
DOMAIN = ".".join((LABEL, LABEL, LABEL, "d" * 57, "com"))
LINE = LETTER * 200
SOURCE, USER = f"/{LETTER * 254}", "u" * 255


@pytest.fixture
def house(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> House:
    def store(_house: House, _name: str, migrations: Path) -> Store:
        made = Store(postgres.database())
        made.migrate([migrations])
        houses._opened.append(made)
        return made

    monkeypatch.setattr(House, "store", store)
    mailbox = f"{'s' * 64}@{'.'.join((LABEL, LABEL, 'd' * 55, 'com'))}"
    house = House(tmp_path, sites={"wordpress": {"stage": False}}, servers={LINE: {}}, mailer={"sender": mailbox})
    for servers in (house.orders._servers, house.steps._servers):
        servers[LINE] = house.server  # type: ignore[index]
    return house


def test_the_longest_of_everything_is_kept(house: House) -> None:
    customer = {"name": LINE, "email": f"{'m' * 64}@{'.'.join((LABEL, LABEL, 'd' * 55, 'com'))}"}
    wishes: dict[str, Any] = {
        "order_id": ORDER,
        "domain": DOMAIN,
        "customer": customer,
        "blog_name": LINE,
        "timezone": "America/Argentina/ComodRivadavia",
        "permalinks": f"/%postname%/{'p' * 187}/",
        "locale": "de_DE",
    }
    house.smtp.failures.append(failure("smtp_unreachable"))
    house.order(1, "i" * 255, source=SOURCE, user=USER, traceparent="t" * 128, **wishes)
    house.settle()
    house.advance(60)
    house.publish(MailResend(install_id=f"{ORDER}-g1"), "j" * 255, source=SOURCE, user=USER)
    house.publish(OrderReinstallRequested(order_id=ORDER, blog_name=LINE), source=SOURCE, user=USER)
    house.settle()
    house.publish(InstallCancel(install_id=f"{ORDER}-g2", reason=LINE), source=SOURCE, user=USER)
    house.publish(OrderCancel(order_id=ORDER, reason=LINE), source=SOURCE, user=USER)
    house.settle()
    assert [(d.headers["reason-code"], d.headers["reason"]) for d in house.parked()] == []
    assert len(house.smtp.sent) == 3
