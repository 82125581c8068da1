"""Measure how throughput scales with the number of installers, and how evenly they share the work."""

import json
from collections import Counter
from collections.abc import Iterable
from functools import partial
from time import perf_counter
from typing import Any

import pika

from bench.lab import clones, lab
from bench.machine import progress
from bench.raw import Message

TARGETS = {"efficiency_at_8": ">= 0.9", "shares_at_8": "<= 1.3"}
Began = list[tuple[float, str]]
"""When an install ended, and by which installer."""

_INSTALL_SECONDS = 0.25
_FROM, _TO = 0.2, 0.9
"""The share of installs that is measured: without the start-up, and without the end, when some installers run out."""


def scale(installers: Iterable[int], seconds: float, concurrency: int) -> dict[str, Any]:
    """Run installs that wait a quarter of a second each, as many as take `seconds` under ideal scaling. Raises
    SitecrewError."""
    figures: dict[str, Any] = {"install_seconds": _INSTALL_SECONDS, "concurrency": concurrency}
    with lab(postgresql=True) as place:
        [template] = place.captured("sitecrew.install.staged.v1")
        place.watch("install.started.*")
        first = 0
        for count in installers:
            ideal = count * concurrency / _INSTALL_SECONDS
            installs = int(ideal * seconds)
            progress(f"{count} installers, {installs} installs ...")
            names = [f"installer/{number}" for number in range(count)]
            settings = {
                "BENCH_INSTALL_SECONDS": str(_INSTALL_SECONDS),
                "SITECREW_INSTALLER__CONCURRENCY": str(concurrency),
            }
            with place.services(*names, **settings) as running:
                place.until_consumed("installer.now", count)
                began: Began = []

                driver = place.driver(running.require_running)
                driver.run(
                    _both(template, range(first, first + installs)),
                    seen=partial(_note, began),
                    until=lambda b=began, n=installs: len(b) >= n,
                )  # type: ignore[misc]
                driver.close()
            first += installs
            middle = began[int(_FROM * installs) : int(_TO * installs)]
            rate = (len(middle) - 1) / (middle[-1][0] - middle[0][0])
            shares = Counter(worker for _, worker in middle)
            figures[f"per_second_at_{count}"] = round(rate, 1)
            figures[f"efficiency_at_{count}"] = round(rate / ideal, 3)
            figures[f"shares_at_{count}"] = round(max(shares.values()) / min(shares.values()), 2)
    return figures


def _note(began: Began, _properties: pika.BasicProperties, body: bytes) -> None:
    began.append((perf_counter(), json.loads(body)["data"]["worker"]))


def _enough(began: Began, count: int) -> bool:
    return len(began) >= count


def _both(template: dict[str, Any], numbers: range) -> Iterable[Message]:
    """Yield the events of each install, with the install."""
    for number in numbers:
        yield from clones(template, [number], "", "installer.staged")
        yield from clones(template, [number], "", "installer.now")
