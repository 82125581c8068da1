"""`sitecrew up`: everything on one machine, until it is stopped."""

import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from foundation.telemetry import logs
from sitecrew.stack.ending import interrupt_on_signals
from sitecrew.stack.first_admin import ADMIN, first_admin
from sitecrew.stack.machine import Plan, Running, stack
from sitecrew.stack.own_settings import HOST, exported
from sitecrew.stack.processes import OnLine

_EXAMPLES = Path(__file__).parents[2] / "examples" / "orders"
_BUILT_IN = ("wordpress", "static")


def up(*, directory: Path, sites: tuple[str, ...], settle: float | None, every: str | None) -> int:
    """Run a stack until Ctrl-C or SIGTERM, with the services' log lines on stdout: JSON, or readable text on a
    terminal. Returns the exit code: 130 if it was stopped before it was up. Raises SitecrewError."""
    interrupt_on_signals()
    honoured, ignored = exported()
    for line in told_of_variables(honoured, ignored):
        _tell(line)
    chosen = {"timer.every": every, **{f"sites.{site}.settle_seconds": settle for site in sites}}
    left_out = {f"sites.{site}.sold": False for site in _BUILT_IN if site not in sites}
    given = {name: value for name, value in chosen.items() if value is not None}
    plan = Plan(directory, sites, honoured.pop("amqp_url", None), {**left_out, **honoured, **given})
    ready = False
    try:
        with stack(plan, _tell, _print_line()) as running:
            ready = True
            for line in ("ready", *what_next(running, first_admin(running.config))):
                _tell(line)
            running.supervise(threading.Event(), _tell)
    except KeyboardInterrupt:
        _tell("stopped")
    return 0 if ready else 130


def told_of_variables(honoured: dict[str, Any], ignored: Sequence[str]) -> Iterator[str]:
    """Which exported settings are used here, and which are ignored."""
    if honoured:
        yield f"taken from the environment: {', '.join(sorted(honoured))}"
    if ignored:
        yield f"ignored in the environment, because everything here is private: {', '.join(ignored)}"


def what_next(running: Running, password: str) -> Iterator[str]:
    """Where everything is, how to sign in with the first admin's password, and which commands to try in another
    terminal. No password: they have it, or had it."""
    ports, site = running.ports, running.plan.site_types[0]
    health = (f"{name} http://{HOST}:{getattr(ports, name.replace('-', '_'))}" for name in running.services)
    yield f"  sites     http://{HOST}:{ports.web}/~<account>/"
    yield f"  console   {running.console_url}"
    if password:
        yield f"            sign in as {ADMIN} with {password} (shown only now)"
    else:
        yield f"            for a new password: sitecrew api staff password {ADMIN}"
    yield f'  orders    AMQP_URL="$(cat {os.path.relpath(running.login_of("shop"))})" for examples/producers'
    yield f"  emails    {os.path.relpath(running.mailbox.directory)}/*.eml (SMTP at {HOST}:{ports.mail})"
    yield f"  health    {', '.join(health)} (/readyz?verbose, /metrics)"
    yield "In another terminal:"
    command = "sitecrew"
    yield f"  export SITECREW_CONFIG={shlex.quote(str(running.config))}"
    if shutil.which(command) is None:
        yield f"  export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    yield f"  {command} order place {_order(site)} --wait"
    yield f"  {command} install list"
    yield "Ctrl-C stops everything; a second Ctrl-C kills it."


def _order(site: str) -> str:
    example = _EXAMPLES / f"{site}.json"
    if example.is_file():
        return shlex.quote(min(os.path.relpath(example), str(example), key=len))
    return f"--order-id 1 --site-type {site} --domain shop.example --name 'Jo Miller' --email jo@customer.example"


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _print_line() -> OnLine:
    readable = sys.stdout.isatty()

    def on_line(_service: str, line: str) -> None:
        sys.stdout.write(f"{logs.for_people(line) if readable else line}\n")
        sys.stdout.flush()

    return on_line
