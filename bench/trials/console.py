"""Measure the console and the HTTP API with many installs behind them, and how fast they take in events."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pika

from bench.browsing import PASSWORD, Client, listings, pages, producers
from bench.filling import PRODUCERS, Filling
from bench.lab import API, PATTERN, Lab, lab, order, percentile, seconds_to_ready
from bench.machine import RESULTS, Processes, lines_of
from bench.raw import PERSISTENT, Message
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.queues import API_EVENTS, with_api
from foundation.errors import SitecrewError
from foundation.store import Store
from services.api.access import staff, tokens
from services.api.access.identity import Role, Scope
from services.api.service import MIGRATIONS
from sitecrew.stack.ports import free_port

TARGETS = {
    "start_page_p95_ms": "<= 200",
    "search_p95_ms": "<= 200",
    "highest_mib": "<= 200",
    "says_how_far_behind_it_is": "== True",
}
_SHARES = (50, 95, 99)
_BEHIND = b"What you see here is"
_NAME = "eve"
_SILENCE = 60
"""Seconds within which something must have been taken in."""

Figures = dict[str, Any]


def console(installs: int, lines: int, orders: int, requests: int, databases: list[str]) -> Figures:
    """Fill a database, ask the api over HTTP, and have it take in the events of `orders` orders; on each of the
    databases. Raises SitecrewError."""
    return {name: _on(name, installs, lines, orders, requests) for name in databases}


def _on(name: str, installs: int, lines: int, orders: int, requests: int) -> Figures:
    with lab(postgresql=name == "postgresql") as place:
        RabbitBroker([place.url], with_api(Ladder())).declare()
        story = place.life_of_an_order()
        place.purge(API_EVENTS)
        filling = Filling(installs, lines, datetime.now(UTC))
        began = time.monotonic()
        with lines_of(f"{name}: {installs} installs and {lines} lines of the log"):
            clients = _filled(place, filling)
        figures: Figures = {"fill_seconds": round(time.monotonic() - began, 1)}
        with _running(place) as (running, port):
            figures |= _browsed(clients, filling, running, port, requests)
        with lines_of(f"publishing the events of {orders} orders"):
            waiting = _publish(place, story, orders)
        with _running(place) as (running, port):
            figures |= _taken(place, running, Client(port, clients["staff"]), waiting)
        figures["events_per_order"] = len(story) + 1
        figures["highest_mib"] = max(figures[when] for when in figures if when.startswith("mib_"))
        return figures | _compared(figures)


def _filled(place: Lab, filling: Filling) -> dict[str, dict[str, str]]:
    """Fill the database; return the headers of who may ask: staff, once signed in, and programs."""
    store = Store(place.stores[API])
    store.migrate([MIGRATIONS])
    filling.fill(store)
    now, everything = datetime.now(UTC), (Scope.ORDERS_READ, Scope.INSTALLS_WRITE)
    with store.transaction() as connection:
        staff.create(connection, _NAME, Role.ADMIN, PASSWORD, now)
        made = {"operator": tokens.create(connection, "operator", "/panel", everything, _NAME, now)}
        for source in PRODUCERS:
            made[source] = tokens.create(connection, source, source, [Scope.ORDERS_READ], _NAME, now)
    store.close()
    return {"staff": {}, **{name: {"Authorization": f"Bearer {token}"} for name, token in made.items()}}


@contextmanager
def _running(place: Lab) -> Iterator[tuple[Processes, int]]:
    """Run the api; yields its port, too."""
    port, began = free_port(), time.monotonic()
    settings = {"SITECREW_API__ADDRESS": f"127.0.0.1:{port}", "SITECREW_API__REQUESTS_PER_MINUTE": "0"}
    with place.services(API, **settings) as running:
        seconds_to_ready(running.port(API), began)
        yield running, port


def _browsed(
    headers: Mapping[str, dict[str, str]], filling: Filling, running: Processes, port: int, requests: int
) -> Figures:
    clients = {name: Client(port, given) for name, given in headers.items()}
    clients["staff"].sign_in(_NAME)
    asked = {("staff", name): path for name, path in pages(filling).items()}
    asked |= {("operator", name): path for name, path in listings(filling).items()}
    asked |= {(source, name): path for source in PRODUCERS for name, path in producers(filling).items()}
    waits: dict[str, list[float]] = {}
    for (who, name), path in asked.items():
        title = name if who == "staff" else f"{name}, {who}" if who != "operator" else name
        waits[title] = clients[who].timed(path, requests)
        running.require_running()
    found: Figures = {
        "ms": {
            title: {f"p{share}": round(percentile(of, share / 100), 1) for share in _SHARES}
            for title, of in waits.items()
        }
    }
    found["start_page_p95_ms"] = found["ms"]["start page"]["p95"]
    found["search_p95_ms"] = max(of["p95"] for title, of in found["ms"].items() if title.startswith("search"))
    found["mib_after_pages"] = round(running.rss()[API], 1)
    highest = 0.0

    def look() -> None:
        nonlocal highest
        while not ended.wait(0.05):
            highest = max(highest, running.rss()[API])

    ended, looking = threading.Event(), threading.Thread(target=look)
    looking.start()
    clients["staff"].close()
    try:
        seconds, body = clients["staff"].get("/activity.csv")
    finally:
        ended.set()
        looking.join()
    found["mib_at_export"] = round(highest, 1)
    found["exported_lines"], found["export_seconds"] = body.count(b"\r\n") - 1, round(seconds, 1)
    for client in clients.values():
        client.close()
    return found


def _publish(place: Lab, story: list[dict[str, Any]], orders: int) -> int:
    """Have the events of so many orders wait for the api; return how many they are."""
    placed = json.loads(order(PATTERN).body)
    texts = [(event["type"], json.dumps({**event, "id": "", "time": ""})) for event in (placed, *story)]
    place.watch("nothing.*")
    driver = place.driver()

    def copies() -> Iterator[Message]:
        for number in range(orders):
            now = datetime.now(UTC).isoformat()
            for type, text in texts:
                body = text.replace(PATTERN, f"{number:07}")
                body = body.replace('"id": ""', f'"id": "{uuid4()}"').replace('"time": ""', f'"time": "{now}"')
                properties = pika.BasicProperties(
                    content_type="application/cloudevents+json", delivery_mode=PERSISTENT, type=type
                )
                yield Message("", API_EVENTS, body.encode(), properties)

    driver.run(copies(), until=lambda: driver.exhausted)
    driver.close()
    return orders * len(texts)


def _taken(place: Lab, running: Processes, staff: Client, waiting: int) -> Figures:
    """Measure how fast it takes in what waits, while somebody looks at the start page."""
    while (left := place.depth(API_EVENTS)) >= waiting:
        time.sleep(0.02)
    began, first, cpu = time.monotonic(), left, running.cpu()[API]
    moved, waits, told = began, list[float](), False
    while (now := place.depth(API_EVENTS)) > 0:
        running.require_running()
        seconds, page = staff.get("/")
        waits.append(1000 * seconds)
        told = told or _BEHIND in page
        moved = time.monotonic() if now < left else moved
        left = now
        if time.monotonic() - moved > _SILENCE:
            raise SitecrewError(f"the api has taken in nothing for {_SILENCE} s; {left} events wait")
        time.sleep(0.2)
    taken = time.monotonic() - began
    return {
        "events": waiting,
        "events_per_second": round(first / taken),
        "cpu_us_per_event": round(1e6 * (running.cpu()[API] - cpu) / first),
        "start_page_meanwhile_p95_ms": round(percentile(waits, 0.95), 1),
        "says_how_far_behind_it_is": told,
        "mib_after_events": round(running.rss()[API], 1),
    }


def _compared(figures: Figures) -> Figures:
    """Compare with the rate of the pipeline as it was measured last."""
    file = RESULTS / "pipeline.json"
    if not file.exists():
        return {}
    rate = json.loads(file.read_text())["orders_per_second"].get("ours_sqlite", 0)
    return {"pipeline_events_per_second": round(rate * figures["events_per_order"])}


def shown(result: Figures) -> str:
    """Format the result for people: milliseconds by page and database, then the other figures."""
    databases = [name for name in result if name != "machine"]
    lines = [f"{'milliseconds':44}" + "".join(f"{name:>12} p50{'p95':>8}{'p99':>8}" for name in databases)]
    for title in result[databases[0]]["ms"]:
        cells = (result[name]["ms"][title] for name in databases)
        lines.append(f"{title:44}" + "".join(f"{of['p50']:16.1f}{of['p95']:8.1f}{of['p99']:8.1f}" for of in cells))
    lines += ["", f"{'':32}" + "".join(f"{name:>12}" for name in databases)]
    for figure in result[databases[0]]:
        if figure != "ms":
            target = f"   to reach: {TARGETS[figure]}" if figure in TARGETS else ""
            lines.append(f"{figure:32}" + "".join(f"{result[name][figure]!s:>12}" for name in databases) + target)
    return "\n".join(lines) + "\n"
