"""The services of a run: each replica a process, its log, and its clock."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from sitecrew.stack.processes import PATH, Child, Command

_ROOT = Path(__file__).parents[2]
_GRACE = 60.0
"""Seconds that a replica may take to end after SIGTERM."""


class LogReader:
    """Copies what comes through a named pipe into a file, unless it stands still or is gone."""

    def __init__(self, pipe: Path, file: Path) -> None:
        os.mkfifo(pipe)
        self._pipe, self._file = pipe, file
        self._may_read, self._over = threading.Event(), threading.Event()
        self._descriptor = -1
        self.open()
        self._thread = threading.Thread(target=self._run, name=f"log {file.stem}", daemon=True)
        self._thread.start()

    def open(self) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)
        self._may_read.set()

    def stand_still(self) -> None:
        """Read no more, so that the pipe fills up."""
        self._may_read.clear()

    def leave(self) -> None:
        """Close the pipe, so that whoever writes to it gets an error."""
        self._may_read.clear()
        os.close(self._descriptor)
        self._descriptor = -1

    def close(self) -> None:
        self._over.set()
        self._may_read.set()
        self._thread.join(10)

    def _run(self) -> None:
        with self._file.open("ab", buffering=0) as file:
            while not self._over.is_set():
                self._may_read.wait()
                try:
                    data = os.read(self._descriptor, 1 << 16)
                except OSError:  # nothing there just now, or it has just been closed
                    data = b""
                file.write(data) if data else self._over.wait(0.05)


class Replica:
    """One process of a service. Its output goes through a named pipe, or straight to a file on the disk of logs."""

    def __init__(self, name: str, directory: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.service, _, number = name.rpartition("-")
        self.clock = directory / f"{name}.clock"
        self.clock.write_text("0")
        self.log = directory / f"{name}.log" if number == "0" else logs / f"{name}.log"
        pipe = directory / f"{name}.pipe"
        self.reader = LogReader(pipe, self.log) if number == "0" else None
        self.is_meant_to_run = False
        self.endings: list[int] = []
        """The exit codes after SIGTERM."""
        self._turn = threading.RLock()
        self.child = Child(
            Command(
                name=name,
                argv=(
                    *("/bin/sh", "-c", 'exec "$@" >>"$CHAOS_LOG"', name),
                    *(sys.executable, "-m", "tests.chaos.replica", self.service),
                ),
                environment={
                    **environment,
                    "PATH": PATH,
                    "HOME": str(directory),
                    "CHAOS_CLOCK": str(self.clock),
                    "CHAOS_LOG": str(pipe if self.reader else self.log),
                },
                log=directory / f"{name}.stderr",
                directory=_ROOT,
                grace=_GRACE,
            )
        )

    def start(self) -> None:
        with self._turn:
            self.is_meant_to_run = True
            self.child.start()

    def kill(self) -> None:
        """End the process alone with SIGKILL, not the programs that it has started."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it with SIGTERM, and note its exit code."""
        self.endings.append(self._end(signal.SIGTERM))

    def pause(self) -> None:
        os.kill(self.child.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.child.pid, signal.SIGCONT)

    def set_clock(self, seconds: float) -> None:
        draft = self.clock.with_suffix(".draft")
        draft.write_text(str(seconds))
        draft.rename(self.clock)

    def mend(self, say: Callable[[str], None]) -> None:
        """Start it again if it has ended by itself."""
        with self._turn:
            if self.is_meant_to_run and not self.child.running:
                say(f"{self.name} ended by itself with exit code {self.child.poll()}")
                self.child.start()

    def close(self) -> None:
        with self._turn:
            self.is_meant_to_run = False
        self.child.stop()
        if self.reader:
            self.reader.close()

    def _end(self, number: signal.Signals) -> int:
        with self._turn:
            self.is_meant_to_run = False
            os.kill(self.child.pid, number)
        code = self.child.wait(_GRACE)
        if code is None:
            os.kill(self.child.pid, signal.SIGKILL)
            self.child.wait()
        return -signal.SIGKILL if code is None else code
