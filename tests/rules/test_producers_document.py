"""docs/producers.md agrees with what Sitecrew reads."""

import re
from pathlib import Path

from foundation.broker import codec
from foundation.broker.limits import MAX_BYTES
from schemas import catalogue

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "producers.md").read_text()
EVENTS = re.findall(r"^```json\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


def test_sitecrew_reads_every_event_that_the_document_shows() -> None:
    shown = [codec.decode(event.encode()) for event in EVENTS]
    producers = {entry.name for entry in catalogue.CATALOGUE if entry.exchange == "orders"}
    assert {event.type for event in shown} == producers
    assert all(event.subject == event.data.order_id for event in shown)


def test_every_event_on_the_exchange_that_it_tells_to_bind_to_exists() -> None:
    keys = set(re.findall(r"^\| `([a-z_]+\.[a-z_]+\.v1)` \|", DOCUMENT, re.MULTILINE))
    known = {entry.routing_key for entry in catalogue.CATALOGUE if entry.exchange == "events"}
    assert keys <= known
    assert {"order.rejected.v1", "account.created.v1", "install.completed.v1", "mail.sent.v1"} <= keys


def test_its_limits_are_those_that_hold() -> None:
    assert f"at most {MAX_BYTES} bytes and {codec.MAX_DEPTH} levels" in DOCUMENT


def test_it_leads_to_every_example() -> None:
    examples = [path for path in (ROOT / "examples" / "producers").glob("*/*") if path.is_file()]
    assert examples
    assert [path.name for path in examples if f"{path.parent.name}/{path.name}" not in DOCUMENT] == []
