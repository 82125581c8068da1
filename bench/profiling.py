"""Profile our services: sample them with py-spy while orders go through."""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.contestants import Place, contestants
from bench.machine import PEERS, Processes, progress, until_quiet
from bench.raw import Driver, prepared
from sitecrew.stack.servers.rabbitmq import PrivateRabbit

_FRAME = re.compile(r"(?P<function>.+) \((?P<file>.+?)(:\d+)?\)$")
_OURS = ("foundation/", "services/", "schemas/", "bench/")
_SHOWN = 25


@dataclass
class Profile:
    """Samples of one service; each is a thread that held the interpreter's lock."""

    samples: int = 0
    inclusive: Counter[str] = field(default_factory=Counter)
    """Samples by function of ours, anywhere on the stack."""
    libraries: Counter[str] = field(default_factory=Counter)
    """Samples by what our innermost function had called: a package, or `our own code`."""

    def add(self, stack: str, count: int) -> None:
        """Add a stack in py-spy's raw format: frames from the outermost inwards, joined by semicolons."""
        frames = [_FRAME.match(frame) for frame in stack.split(";")]
        named = [(found["function"], found["file"]) for found in frames if found]
        own = [number for number, (_, file) in enumerate(named) if file.startswith(_OURS)]
        below = named[own[-1] + 1 :] if own else named
        self.samples += count
        self.libraries[_package(below[0][1]) if below else "our own code"] += count
        self.inclusive.update(dict.fromkeys((f"{named[at][0]} ({named[at][1]})" for at in own), count))

    def __str__(self) -> str:
        parts = [f"{name} {self._share(count)}" for name, count in self.libraries.most_common(8)]
        lines = [f"{self.samples} samples: {', '.join(parts)}"]
        lines += [f"{self._share(count):>6}  {name}" for name, count in self.inclusive.most_common(_SHOWN)]
        return "\n".join(lines) + "\n"

    def _share(self, count: int) -> str:
        return f"{100 * count / self.samples:.1f}%"


def profile(orders: int) -> dict[str, Profile]:
    """Profile each service on SQLite, with default settings. Raises SitecrewError."""
    one = next(one for one in contestants() if one.name == "ours_sqlite")
    with ExitStack() as opened:
        directory = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        progress("starting RabbitMQ ...")
        rabbit = opened.enter_context(PrivateRabbit(directory / "rabbitmq"))
        prepared(rabbit.amqp_url, lambda channel: one.prepare(channel, rabbit.amqp_url))
        commands = one.commands(Place(directory, rabbit.amqp_url), one.ports)
        processes = opened.enter_context(Processes(commands, one.ports))
        driver = Driver(rabbit.amqp_url, one.outcomes, processes.require_running)
        driver.run(one.message(f"w{number}") for number in range(40))
        until_quiet(lambda: sum(processes.cpu().values()))
        progress(f"{orders} orders under py-spy ...")
        files = {name: directory / f"{name}.raw" for name in processes.children}
        spies = [_spy(child.pid, files[name]) for name, child in processes.children.items()]
        driver.run(one.message(f"n{number}") for number in range(orders))
        driver.close()
        for spy in spies:
            spy.send_signal(2)
        for spy in spies:
            spy.wait(30)
        return {name: _read(file.read_text().splitlines()) for name, file in files.items()}


def _spy(pid: int, path: Path) -> subprocess.Popen[bytes]:
    argv = (PEERS.with_name("py-spy"), "record", "--format", "raw", "--rate", "250", "--gil", "--duration", "unlimited")
    return subprocess.Popen(  # noqa: S603  # locked in bench/requirements.txt
        (*argv, "--output", path, "--pid", str(pid)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _read(lines: Iterable[str]) -> Profile:
    read = Profile()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        read.add(stack, int(count))
    return read


def _package(file: str) -> str:
    if file.startswith("<"):
        return file.split(maxsplit=1)[0].strip("<>")
    parts = Path(file).parts
    return parts[parts.index("site-packages") + 1] if "site-packages" in parts else parts[0].removesuffix(".py")
