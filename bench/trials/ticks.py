"""Measure a hundred thousand installs due at one tick, compared with a small batch."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pika

from bench.lab import Lab, clones, lab
from bench.machine import progress
from bench.raw import Message

TARGETS = {"lost": "== 0", "ratio_to_small_batch": ">= 0.8", "furthest_out_of_order": "<= 100"}


def ticks(installs: int, small: int) -> dict[str, Any]:
    """Stage all installs first, then drain them at the next full minute. Raises SitecrewError."""
    with lab() as place:
        [template] = place.captured("sitecrew.install.staged.v1")
        place.watch("install.started.*")
        few = _batch(place, template, range(small))
        many = _batch(place, template, range(small, small + installs))
    return {
        "installs": installs,
        "lost": few["lost"] + many["lost"],
        "furthest_out_of_order": many["furthest"],
        "small_batch_per_second": few["rate"],
        "per_second": many["rate"],
        "ratio_to_small_batch": round(many["rate"] / few["rate"], 3),
    }


def _batch(place: Lab, template: dict[str, Any], numbers: range) -> dict[str, Any]:
    count = len(numbers)
    progress(f"{count} installs for one tick ...")
    due_at = (datetime.now(UTC) + timedelta(seconds=5)).isoformat()
    places: dict[str, int] = {}
    """Return the position at which each order's install began, by order."""
    moments: list[float] = []

    def seen(_properties: pika.BasicProperties, body: bytes) -> None:
        places.setdefault(json.loads(body)["data"]["order_id"], len(places))
        moments.append(perf_counter())

    filler = place.driver()
    filler.run(_both(template, numbers, due_at), until=lambda: filler.exhausted)
    filler.close()
    settings = {"SITECREW_TIMER__EVERY": "* * * * *", "SITECREW_TIMER__BUDGET_SECONDS": "100000"}
    with place.services("installer", **settings) as running:
        driver = place.driver(running.require_running)
        driver.run((), seen=seen, until=lambda: len(places) >= count, seconds=3600)
        driver.close()
    order = [f"c{number:07}" for number in numbers]
    return {
        "lost": sum(one not in places for one in order),
        "furthest": max(abs(places[one] - at) for at, one in enumerate(order) if one in places),
        "rate": round((count - 1) / (moments[-1] - moments[0]), 1),
    }


def _both(template: dict[str, Any], numbers: range, due_at: str) -> Iterable[Message]:
    for number in numbers:
        yield from clones(template, [number], "", "installer.staged", due_at=due_at)
        yield from clones(template, [number], "", "installer.due", due_at=due_at)
