"""Measure how fast verified WordPress sites are installed: copied, step by step, by a shell script, and at the limit of
the machine."""

import os
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.machine import ROOT, cpu_seconds, progress
from bench.trials.limit import Limit
from foundation.hosting import AccountRequest
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites import Job
from services.installer.sites.wordpress import WordPress
from sitecrew.stack.ports import free_port
from sitecrew.stack.servers.mariadb import PrivateMariaDB
from sitecrew.stack.servers.php import PhpWeb

TARGETS = {
    "copied_to_in_steps_alone": "<= 0.25",
    "copied_to_in_steps_per_minute_at_2": ">= 5",
    "copied_to_by_hand_per_minute_at_2": ">= 3",
}
_BY_HAND = Path(__file__).parents[1] / "by_hand.sh"
_ROUTER = ROOT / "sitecrew" / "stack" / "web" / "router.php"
_TITLE_BY_HAND = "By hand"
_HOST = "127.0.0.1"

Install = Callable[[Job], object]


def install(at_once: Sequence[int], installs: int) -> dict[str, Any]:
    """Install real sites, `installs` of them for each number at a time and each way. Raises SitecrewError."""
    figures: dict[str, Any] = {}
    with _hosting() as (server, socket, place):
        copying = WordPress(isolated=True, images=place / "images")
        ways: dict[str, Install] = {
            "copied": lambda job: copying.install(job, server, _quietly),
            # A new installer looks at the machine again, as each install did before there were images.
            "in_steps": lambda job: WordPress(isolated=True).install(job, server, _quietly),
            "by_hand": lambda job: _by_hand(job, server, socket),
        }
        for way in ways.values():
            way(model := _job(server))  # makes the image, and brings everything into memory
        limit = Limit(server, socket, model, _TITLE_BY_HAND)
        ways["limit"] = limit.install
        for count in at_once:
            for name, way in ways.items():
                progress(f"{name}, {count} at a time ...")
                per_minute, median, cpu = _measured(way, [_job(server) for _ in range(installs)], count)
                figures[f"{name}_per_minute_at_{count}"] = round(per_minute, 1)
                figures[f"{name}_median_seconds_at_{count}"] = round(median, 3)
                figures[f"{name}_cpu_seconds_at_{count}"] = round(cpu, 3)
        jobs = [_job(server) for _ in range(installs)]
        for name, part in (("files", limit.files), ("database", limit.database), ("pages", limit.pages)):
            _, median, cpu = _measured(part, jobs, 1)
            figures[f"limit_{name}_median_seconds"] = round(median, 3)
            figures[f"limit_{name}_cpu_seconds"] = round(cpu, 3)
    return figures | _ratios(figures)


def _ratios(figures: dict[str, Any]) -> dict[str, float]:
    wanted = {
        "copied_to_in_steps_alone": ("copied_median_seconds_at_1", "in_steps_median_seconds_at_1"),
        "copied_to_in_steps_per_minute_at_2": ("copied_per_minute_at_2", "in_steps_per_minute_at_2"),
        "copied_to_by_hand_per_minute_at_2": ("copied_per_minute_at_2", "by_hand_per_minute_at_2"),
        "copied_to_limit_per_minute_at_2": ("copied_per_minute_at_2", "limit_per_minute_at_2"),
        "copied_to_limit_cpu_seconds_at_2": ("copied_cpu_seconds_at_2", "limit_cpu_seconds_at_2"),
        "by_hand_to_pages_cpu_seconds": ("by_hand_cpu_seconds_at_2", "limit_pages_cpu_seconds"),
        "in_steps_to_pages_cpu_seconds": ("in_steps_cpu_seconds_at_2", "limit_pages_cpu_seconds"),
    }
    known = {name: pair for name, pair in wanted.items() if all(part in figures for part in pair)}
    return {name: round(figures[one] / figures[other], 3) for name, (one, other) in known.items()}


def _measured(way: Install, jobs: list[Job], at_once: int) -> tuple[float, float, float]:
    """Installs per minute, the median seconds of one, and its CPU seconds in all processes, web and database server
    included."""

    def timed(job: Job) -> float:
        began = time.monotonic()
        way(job)
        return time.monotonic() - began

    began, used = time.monotonic(), cpu_seconds(os.getpid())
    with ThreadPoolExecutor(at_once) as pool:
        seconds = list(pool.map(timed, jobs))
    rate = len(jobs) / (time.monotonic() - began) * 60
    return rate, statistics.median(seconds), (cpu_seconds(os.getpid()) - used) / len(jobs)


def _by_hand(job: Job, server: LocalServer, socket: Path) -> None:
    www = server.home(job.username) / "www"
    about = (WordPress().core, www, job.username, job.url, server.web_address, socket)
    subprocess.run([str(_BY_HAND), *map(str, about)], check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - a script of ours


def _job(server: LocalServer) -> Job:
    name = f"u{secrets.token_hex(4)}"
    domain = f"{name}.example"
    server.create_account(AccountRequest(name, domain, "ann@example.org", marker=name, password=secrets.token_hex(12)))
    return Job(
        install_id=f"{name}-g1",
        order_id=name,
        generation=1,
        fence=1,
        username=name,
        domain=domain,
        url=server.domain_url(domain),
        title="Ann's bakery",
        admin_email="ann@example.org",
        seal=lambda _: "",
        deadline=datetime.now(UTC) + timedelta(hours=1),
    )


@contextmanager
def _hosting() -> Iterator[tuple[LocalServer, Path, Path]]:
    """A hosting server with its own MariaDB and PHP, as `sitecrew up` has it."""
    with tempfile.TemporaryDirectory(prefix="sitecrew-bench-", dir=ROOT / "var") as folder, ExitStack() as running:
        place = Path(folder)
        place.chmod(0o755)
        database = PrivateMariaDB(place / "mariadb")
        running.callback(database.stop)
        database.start()
        port = free_port()
        (place / "hosting").mkdir()
        web = PhpWeb(place / "hosting", _HOST, port, _ROUTER, log=place / "php.log")
        running.callback(web.stop)
        web.start()
        databases = MariaDatabases(user=database.admin_user, socket=database.socket)
        yield (
            LocalServer(
                name="bench",
                root=place / "hosting",
                address=_HOST,
                web_address=f"{_HOST}:{port}",
                public_port=port,
                databases=databases,
            ),
            database.socket,
            place,
        )


def _quietly(_: str) -> nullcontext[None]:
    return nullcontext()
