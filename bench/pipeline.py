"""Measure how fast orders go through raw pika, other libraries and Sitecrew, in turn on one broker."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import postgres
from bench.contestants import Contestant, Place, contestants, letter
from bench.figures import Result, Run, summary
from bench.machine import Processes, cpu_seconds, facts, progress, until_quiet
from bench.raw import Driver, prepared
from foundation.errors import SitecrewError
from sitecrew.stack.servers.rabbitmq import PrivateRabbit

_AWAKE = 40
"""Number of orders for warming up: enough for every thread of every process to get one."""


def pipeline(orders: int, rounds: int, only: list[str]) -> tuple[Result, dict[str, str]]:
    """Run all contestants, or those in `only`, in turn; return the result and the titles. Raises SitecrewError."""
    chosen = [one for one in contestants() if not only or one.name in only]
    if unknown := set(only) - {one.name for one in chosen}:
        names = ", ".join(one.name for one in contestants())
        raise SitecrewError(f"unknown contestant: {', '.join(unknown)}; known: {names}")
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        progress("starting RabbitMQ ...")
        rabbit = opened.enter_context(PrivateRabbit(directory / "rabbitmq"))
        _vhosts(rabbit, {one.vhost for one in chosen})
        machine = facts()
        server = opened.enter_context(postgres.running()) if any(one.postgresql for one in chosen) else None
        letter(directory / "letter.json")
        measured = []
        for number in range(1, rounds + 1):
            runs = []
            for one in chosen:
                place = Place(
                    directory / f"{number}-{one.name}",
                    rabbit.amqp_url.removesuffix("%2F") + (one.vhost if one.vhost != "/" else "%2F"),
                    server.database if server and one.postgresql else None,
                )
                place.directory.mkdir()
                extra = {"postgresql": server.child.pid} if server and one.postgresql else {}
                run = measure(one, place, f"{number}", orders * one.scale, rabbit.pid, extra)
                progress(
                    f"round {number}/{rounds}  {one.title:28} {run.per_second:8.0f} orders/s  "
                    f"{sum(run.cpu_ms.values()):6.2f} ms CPU an order"
                )
                runs.append(run)
            measured.append(runs)
    result = summary(measured) | {"orders": orders, "machine": machine}
    result["settings"] = {one.name: one.settings for one in chosen}
    return result, {one.name: one.title for one in chosen}


def measure(one: Contestant, place: Place, mark: str, orders: int, broker: int, extra: dict[str, int]) -> Run:
    """Run one contestant once. CPU time is counted from the first order until nothing is left to do. `extra` are
    further processes of its own that are already running."""
    prepared(place.url, lambda channel: one.prepare(channel, place.url))
    ports = {f"{one.title}'s {name}": port for name, port in one.ports.items()}
    with Processes(one.commands(place, one.ports), ports) as processes:
        driver = Driver(place.url, one.outcomes, processes.require_running)
        driver.run(one.message(f"{mark}w{number}") for number in range(_AWAKE))
        until_quiet(lambda: sum(processes.cpu().values()))
        messages = [one.message(f"{mark}n{number}") for number in range(orders)]
        before, broker_before = _cpu(processes, extra), cpu_seconds(broker)
        seconds = driver.run(messages)
        broker_used = cpu_seconds(broker) - broker_before
        until_quiet(lambda: sum(processes.cpu().values()))
        used = {name: spent - before[name] for name, spent in _cpu(processes, extra).items()}
        driver.close()
    each = {name: spent * 1000 / orders for name, spent in used.items()}
    return Run(one.name, orders / seconds, each, broker_used * 1000 / orders)


def _cpu(processes: Processes, extra: dict[str, int]) -> dict[str, float]:
    return processes.cpu() | {name: cpu_seconds(pid) for name, pid in extra.items()}


def _vhosts(rabbit: PrivateRabbit, names: set[str]) -> None:
    """Create virtual hosts besides the default one, so that others can declare the same names differently."""
    for name in names - {"/"}:
        rabbit.ctl("add_vhost", name)
        rabbit.ctl("set_permissions", "-p", name, "sitecrew", ".*", ".*", ".*")
