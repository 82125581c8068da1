"""Measure how long an order waits for its account: idle, and while a thousand installs run."""

from collections.abc import Iterable
from time import perf_counter
from typing import Any

import pika

from bench import stages
from bench.lab import Lab, lab, order, percentile
from bench.machine import progress
from bench.raw import Driver, Message

TARGETS = {"ratio_p99": "<= 2"}


def intake(installs: int, probes: int, per_second: float, install_seconds: float) -> dict[str, Any]:
    """Measure the milliseconds from an order's publication to `account.created`, for `probes` orders at the given pace.
    Raises SitecrewError."""
    with lab() as place:
        place.watch("account.created.*")
        with place.services(*stages.SERVICES, BENCH_INSTALL_SECONDS=str(install_seconds)) as running:
            driver = place.driver(running.require_running)
            driver.run(order(f"w{number}") for number in range(40))
            progress(f"idle: {probes} orders, {per_second:g} a second ...")
            idle = _waits(driver, "i", probes, per_second)
            progress(f"{installs} orders, whose installs take {install_seconds:g} s each ...")
            driver.run(order(f"b{number}") for number in range(installs))
            before = _installing(place)
            progress(f"{before} installs wait or run: {probes} more orders ...")
            busy = _waits(driver, "p", probes, per_second)
            after = _installing(place)
            driver.close()
    figures: dict[str, Any] = {"installs_waiting_before_and_after": [before, after]}
    for name, waits in (("idle", idle), ("busy", busy)):
        for share in (50, 99):
            figures[f"{name}_p{share}_ms"] = round(1000 * percentile(waits, share / 100), 1)
    figures["ratio_p50"] = round(figures["busy_p50_ms"] / figures["idle_p50_ms"], 2)
    figures["ratio_p99"] = round(figures["busy_p99_ms"] / figures["idle_p99_ms"], 2)
    return figures


def _waits(driver: Driver, mark: str, probes: int, per_second: float) -> list[float]:
    """Return how many seconds each probe waited."""
    sent: dict[str, float] = {}
    waits: list[float] = []

    def published() -> Iterable[Message]:
        for number in range(probes):
            message = order(f"{mark}{number}")
            sent[message.properties.correlation_id] = perf_counter()
            yield message

    def seen(properties: pika.BasicProperties, _body: bytes) -> None:
        if began := sent.get(properties.correlation_id):
            waits.append(perf_counter() - began)

    driver.run(published(), seen=seen, per_second=per_second, until=lambda: len(waits) >= probes)
    return waits


def _installing(place: Lab) -> int:
    return place.depth("installer.now")
