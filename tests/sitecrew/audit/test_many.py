"""The audit of many orders needs little memory."""

import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, text

from foundation.store import Store
from foundation.store.types import Utc
from services.installer.installs import installs
from services.installer.service import MIGRATIONS as INSTALLER
from services.mailer.mails import mails
from services.mailer.service import MIGRATIONS as MAILER
from services.order_intake.orders import orders
from services.order_intake.service import MIGRATIONS as ORDER_INTAKE
from sitecrew.audit import Audit, Stores

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MANY = 25_000

_ID, _INSTALL = "'order-' || printf('%07d', n)", "'order-' || printf('%07d', n) || '-g1'"
_FILLED: tuple[tuple[str, Path, Table, Mapping[str, str]], ...] = (
    (
        "order_intake",
        ORDER_INTAKE,
        orders,
        {"order_id": _ID, "state": "'created'", "install_state": "'installed'", "has_site": "1", "account": "'{}'"},
    ),
    (
        "installer",
        INSTALLER,
        installs,
        {"install_id": _INSTALL, "order_id": _ID, "state": "'installed'", "mail_state": "'sent'", "completed": "'{}'"},
    ),
    ("mailer", MAILER, mails, {"install_id": _INSTALL, "order_id": _ID, "state": "'sent'", "message_id": "n"}),
)
"""Orders that came to their end; the columns that are not given hold anything."""


def filled(directory: Path, number: int) -> Stores:
    """Return databases of so many orders, filled by the database itself."""
    stores = {}
    for name, migrations, table, given in _FILLED:
        store = stores[name] = Store(f"sqlite:///{directory}/{name}.db")
        store.migrate([migrations])
        values = {column.name: _anything(column) for column in table.columns if not column.nullable}
        values |= {"username": "'u' || n"} if "username" in values else {}
        values |= {"generation": "1", **given}
        counted = f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {number})"
        columns, expressions = ", ".join(values), ", ".join(values.values())
        with store.transaction() as connection:
            connection.execute(text(f"INSERT INTO {table.name} ({columns}) {counted} SELECT {expressions} FROM c"))
    return Stores(**stores)


def _anything(column: Column[Any]) -> str:
    if isinstance(column.type, Utc):
        return str((NOW - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    return "1" if isinstance(column.type, Integer | BigInteger | Boolean) else "'{}'"


def test_many_orders_are_never_in_memory_together(tmp_path: Path) -> None:
    stores = filled(tmp_path, MANY)
    audit = Audit(stores, lambda: NOW + timedelta(hours=1), pause=0)
    tracemalloc.start()
    assert list(audit.run()) == []
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audit.checked == {"orders": MANY, "installs": MANY, "mails": MANY}
    assert most < 80 * MANY  # bytes: the facts of all orders would need ten times as many


def test_nor_are_their_violations(tmp_path: Path) -> None:
    stores = filled(tmp_path, 5000)
    with stores.mailer.transaction() as connection:
        connection.execute(text("DELETE FROM mails"))
    audit = Audit(stores, lambda: NOW + timedelta(hours=1), pause=0)
    found = audit.run()
    assert next(found).code == "letter_missing"
    assert audit.checked["orders"] == 1000
    assert sum(1 for _ in found) == 4999
