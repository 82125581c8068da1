"""Start and watch the processes under measurement, read their CPU time, and describe the machine."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Self

from foundation.errors import SitecrewError
from sitecrew.stack.ports import require_free
from sitecrew.stack.processes import PATH, Child, Command

ROOT = Path(__file__).parent.parent
VAR = ROOT / "var"
PEERS = VAR / "bench-venv" / "bin" / "python"
F70C233 = VAR / "f70c233"
RESULTS = ROOT / "bench" / "results"

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def progress(text: str) -> None:
    """Write a line of progress to stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stderr.flush()


class Processes:
    """Runs programs, by name, within a `with` block. One that ends by itself is an error."""

    def __init__(self, commands: Mapping[str, Command], ports: Mapping[str, int]) -> None:
        """`ports` maps what each port is for to its number on 127.0.0.1."""
        self.children = {name: Child(command) for name, command in commands.items()}
        self._ports = ports

    def __enter__(self) -> Self:
        for what, port in self._ports.items():
            require_free("127.0.0.1", port, what)
        with ExitStack() as opened:
            for child in self.children.values():
                opened.enter_context(child)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            if child.running:
                os.kill(child.pid, 15)  # all at once, so that none waits for another's end
        self._opened.close()

    def port(self, what: str) -> int:
        """Return the port for this purpose."""
        return self._ports[what]

    def require_running(self) -> None:
        """Raise SitecrewError, with its last output, if a program has ended."""
        for name, child in self.children.items():
            if not child.running:
                raise SitecrewError(f"{name} has ended (exit code {child.poll()}):\n{child.last_words()}")

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds that each program and its children have used so far."""
        return {name: cpu_seconds(child.pid) for name, child in self.children.items()}

    def rss(self) -> dict[str, float]:
        """Return the resident memory of each program, in MiB."""
        return {name: rss_mib(child.pid) for name, child in self.children.items()}


def command(
    name: str, argv: Iterable[str], place: Path, environment: Mapping[str, str], python: Path | str = ""
) -> Command:
    """Return the command for a Python program, run from the repository."""
    return Command(
        name=name,
        argv=(str(python or sys.executable), *argv),
        environment={"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(place), "PYTHONPATH": str(ROOT), **environment},
        log=place / f"{name}.log",
        directory=ROOT,
        grace=10,
    )


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and its descendants, including those that have ended and were waited for."""
    stats = {int(number): fields for number, fields in _stats()}
    wanted, grown = {pid}, True
    while grown:
        below = {number for number, fields in stats.items() if int(fields[1]) in wanted}
        grown = not below <= wanted
        wanted |= below
    return sum(sum(map(int, stats[number][11:15])) for number in wanted if number in stats) / _TICKS


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def _stats() -> Iterator[tuple[str, list[str]]]:
    """Yield pids with the fields of /proc/PID/stat from the state on (proc(5)): 1 is the parent, 11-14 CPU times."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            yield path.parent.name, path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue


def until_quiet(used: Callable[[], float], seconds: float = 30) -> None:
    """Wait until hardly any CPU time is used, so that work after the last outcome counts, too."""
    ends, before = time.monotonic() + seconds, used()
    while time.monotonic() < ends:
        time.sleep(0.5)
        now = used()
        if now - before < 0.06:
            return
        before = now


def facts() -> dict[str, str | float]:
    """Return what the figures depend on, without anything that identifies the machine."""
    model = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    ours = {name: metadata.version(name) for name in ("pika", "pydantic", "sqlalchemy")}
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "rabbitmq": _rabbitmq(),
        "load_at_start": round(os.getloadavg()[0], 1),
        **ours,
        **_peers(),
    }


def _rabbitmq() -> str:
    """Return the version of the server that `PrivateRabbit` starts."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    return found[-1].name.partition("-")[2] if found else ""


def _cpuinfo() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _peers() -> dict[str, str]:
    locked = (ROOT / "bench" / "requirements.txt").read_text().splitlines()
    versions = dict(line.rstrip(" \\").split("==") for line in locked if "==" in line)
    return {name: versions[name] for name in ("dramatiq", "celery", "faststream") if name in versions}


@contextmanager
def lines_of(what: str) -> Iterator[None]:
    """Log what begins, and how long it took."""
    began = time.monotonic()
    progress(f"{what} ...")
    yield
    progress(f"{what}: {time.monotonic() - began:.1f} s")
