"""What the three tasks do when they do the same job as our services; nothing when they run bare.

It favours the peers: they write one row per order, where we write one in each service, and their email's styles are
already inlined.
"""

import json
import os
import sqlite3
import threading
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import format_datetime, localtime
from pathlib import Path
from typing import Any

URL = os.environ["BENCH_AMQP_URL"]
SAME_JOB = bool(os.environ.get("BENCH_SAME_JOB"))

Order = dict[str, Any]


def _nothing(_order: Order) -> None:
    return


accept = install = welcome = _nothing

if SAME_JOB:
    from jinja2 import Environment

    from schemas.orders import OrderPlaced

    _parts = json.loads(Path(os.environ["BENCH_LETTER"]).read_text())
    _templates = Environment(autoescape=False)  # noqa: S701  # what is rendered is ours
    _subject, _text, _html = (_templates.from_string(_parts[part]) for part in ("subject", "text", "html"))
    _local = threading.local()

    def _database() -> sqlite3.Connection:
        if (connection := getattr(_local, "connection", None)) is None:
            connection = _local.connection = sqlite3.connect(
                os.environ["BENCH_STORE"], timeout=60, isolation_level=None
            )
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("CREATE TABLE IF NOT EXISTS orders (order_id TEXT PRIMARY KEY, body TEXT)")
        return connection

    def accept(order: Order) -> None:
        OrderPlaced.model_validate(order)

    def install(order: Order) -> None:
        _database().execute("INSERT OR IGNORE INTO orders VALUES (?, ?)", (order["order_id"], json.dumps(order)))

    def welcome(order: Order) -> None:
        values = {"domain": order["domain"], "name": order["customer"]["name"]}
        letter = MIMEMultipart("alternative")
        letter["From"] = "Your hosting team <welcome@localhost>"
        letter["To"] = f'"{values["name"]}" <{order["customer"]["email"]}>'
        letter["Subject"] = _subject.render(values)
        letter["Date"] = format_datetime(localtime())
        letter["Message-ID"] = f"<welcome.{order['order_id']}@localhost>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.attach(MIMEText(_text.render(values)))
        letter.attach(MIMEText(_html.render(values), "html"))
        letter.as_bytes()
