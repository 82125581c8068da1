"""`sitecrew up`: everything on one machine until it is told to stop."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import structlog

from foundation.runtime.settings import variables
from sitecrew.machine import Plan, stack
from sitecrew.stack.processes import OnLine


def up(*, directory: Path, sites: tuple[str, ...], settle: float | None, every: str | None) -> None:
    """Run a stack until Ctrl-C or SIGTERM, with the services' log lines on stdout: JSON, or readable on
    a terminal. Raises SitecrewError."""
    chosen = {"timer.every": every, **{f"sites.{site}.settle_seconds": settle for site in sites}}
    settings = {name: value for name, value in chosen.items() if value is not None}
    plan = Plan(directory, sites, variables().get("SITECREW_AMQP_URL"), settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with stack(plan, _tell, _print_line()) as running:
        _tell(f"ready: sitecrew --config {os.path.relpath(running.config)} order place examples/orders/{sites[0]}.json")
        _tell(f"letters arrive in {os.path.relpath(running.mailbox.directory)}; Ctrl-C ends everything")
        running.supervise(stop, _tell)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _print_line() -> OnLine:
    render = structlog.dev.ConsoleRenderer() if sys.stdout.isatty() else None

    def on_line(_service: str, line: str) -> None:
        readable = render and line.startswith("{")
        sys.stdout.write(f"{render(None, '', json.loads(line)) if render and readable else line}\n")
        sys.stdout.flush()

    return on_line
