"""Child programs: captured line by line, stopped as a group, never left behind."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Self, TypeVar

from foundation.errors import Refused, SitecrewError
from sitecrew.stack.claim import claimed
from sitecrew.stack.leash import leashed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for. Fixed, to be independent of the user's shell, which may lack /usr/sbin."""

OnLine = Callable[[str, str], None]
"""Called with the child's name and one line of its output, on a thread of its own."""

_Answer = TypeVar("_Answer")

_LONGEST_LINE = 1 << 20  # bytes; longer lines are split
_TAIL_BYTES = 1 << 18
_TAIL_LINES = 20
_PROBE_SECONDS = 0.05
_LAST_OUTPUT_SECONDS = 5.0


def ignore(_name: str, _line: str) -> None:
    """Ignores the output."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run. `environment` is complete: nothing is inherited. Secrets go there, never into `argv`."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    """Output is appended here, stdout and stderr interleaved."""
    directory: Path | None = None
    claim: Path | None = None
    """A file that is locked as long as any process of the group lives: one child at a time on the same data."""
    grace: float = 10.0
    """Seconds that it may take to end by itself after SIGTERM."""
    verdict: str = ""
    """A text near which its output says why it fails, if noise follows it."""


class Child:
    """One program in a session of its own, which ends when we stop it, and at the latest when we end.

    That includes kill -9. A descendant that starts a session of its own leaves the group and is not covered.
    """

    def __init__(self, command: Command, on_line: OnLine = ignore) -> None:
        self.command = command
        self._on_line = on_line
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._log_start = 0
        self._told = False
        """Whether it was told to end."""

    @property
    def pid(self) -> int:
        """The pid of the program and of its process group. Raises `Refused` before the first start."""
        return self._started().pid

    def start(self, prepare: Callable[[], None] | None = None) -> None:
        """Start the program, after calling `prepare`, if given, with the claim held.

        Raises `Refused` if the program is running, or another one holds its claim.
        """
        if self.running:
            message = f"{self.command.name} is already running: stop it first."
            raise Refused(message)
        self.kill()  # whatever an earlier run that ended by itself left in its group
        self.command.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.command.log.stat().st_size if self.command.log.exists() else 0
        with ExitStack() as held:
            claim = self.command.claim and held.enter_context(claimed(self.command.claim))
            if prepare is not None:
                prepare()
            self._told = False
            self._process = self._spawn((claim,) if claim else ())
        name = f"output of {self.command.name}"
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), name=name, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def fell(self) -> bool:
        """Whether it ended by itself, without being stopped or killed by us."""
        return not (self._told or self._let_go() or self.running)

    def poll(self) -> int | None:
        """The exit code (negative: the signal that ended it), None while it runs."""
        return self._started().poll()

    def wait(self, seconds: float | None = None) -> int | None:
        """Wait for its end, for at most `seconds` (None: forever), and return what `poll` does."""
        first_ended([self], seconds)
        return self.poll()

    def ready(self, probe: Callable[[], _Answer | None], seconds: float, remedy: str) -> _Answer:
        """Wait until `probe` answers, and return the answer.

        If the child ends first or `seconds` pass, kills it and raises `SitecrewError` with the end of its log and the
        remedy.
        """
        deadline = time.monotonic() + seconds
        while (answer := probe()) is None:
            # A port or a socket has to be polled from outside; the child's end is noticed at once.
            if (code := self.wait(_PROBE_SECONDS)) is not None:
                self._give_up(f"ended with exit code {code} before it was ready", remedy)
            if time.monotonic() > deadline:
                self._give_up(f"was not ready within {seconds:g} s", remedy)
        return answer

    def stop(self) -> int | None:
        """Send SIGTERM, wait for the grace period, then kill what is left of the group.

        Returns the exit code, None if it was never started. Stopping twice is harmless.
        """
        if self._process is None:
            return None
        self._told = True
        try:
            self._process.terminate()
            self.wait(self.command.grace)
        finally:
            self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """Kill the whole group and wait until it is gone."""
        if self._process is None or self._let_go():
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._leash(self._process).close()
        if self._reader is not None:
            self._reader.join(timeout=_LAST_OUTPUT_SECONDS)  # a descendant in another session may keep our pipe open

    def last_words(self) -> str:
        """The last lines of its output since it was started, or those around its verdict."""
        if not self.command.log.exists():
            return ""
        with self.command.log.open("rb") as log:
            log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        if self.command.verdict:
            found = (number for number, line in enumerate(lines) if self.command.verdict in line)
            middle = next(found, len(lines))
            lines = lines[max(0, middle - _TAIL_LINES // 2) : middle + _TAIL_LINES // 2]
        return "\n".join(lines[-_TAIL_LINES:])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _let_go(self) -> bool:
        return self._process is None or self._leash(self._process).closed

    @staticmethod
    def _leash(process: subprocess.Popen[bytes]) -> IO[bytes]:
        if process.stdin is None:
            raise ValueError("it was started without a leash")
        return process.stdin

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            message = f"{self.command.name} was never started: start it first."
            raise Refused(message)
        return self._process

    def _spawn(self, inherited: tuple[int, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the command is ours, and no shell parses it
            leashed(self.command.name, self.command.argv),
            stdin=subprocess.PIPE,  # the leash
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.command.directory,
            env=dict(self.command.environment),
            start_new_session=True,
            pass_fds=inherited,
        )

    def _give_up(self, what: str, remedy: str) -> None:
        self.kill()
        message = f"{self.command.name} {what}. {remedy} From {self.command.log}:\n{self.last_words()}"
        raise SitecrewError(message)

    def _read(self, output: IO[bytes]) -> None:
        handle = os.open(self.command.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with output, os.fdopen(handle, "ab", buffering=0) as log:
            for line in iter(partial(output.readline, _LONGEST_LINE), b""):
                # Whatever goes wrong here (full disk, faulty listener), the pipe must be drained: a child blocks
                # when its pipe is full.
                with suppress(OSError):
                    log.write(line)
                self._tell(line, log)

    def _tell(self, line: bytes, log: IO[bytes]) -> None:
        try:
            self._on_line(self.command.name, line.decode(errors="replace").rstrip("\r\n"))
        except Exception as error:  # noqa: BLE001 - logged, and the listener is not called again
            self._on_line = ignore
            with suppress(OSError):
                log.write(f"(no longer passed on, because the listener failed: {error!r})\n".encode())


class ServerProcess:
    """A server that runs as a child process, and ends with the `with` block that it is started by."""

    child: Child
    """Its process, for whoever watches over it."""

    @property
    def pid(self) -> int:
        """Of the process, which leads its process group."""
        return self.child.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.child.running

    def start(self) -> None:
        """Start the server and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """Shut the server down, by force if that takes too long."""
        self.child.stop()

    def kill(self) -> None:
        """Kill the server and all its processes (SIGKILL)."""
        self.child.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def first_ended(children: Sequence[Child], seconds: float | None = None) -> Child | None:
    """Wait for a child to end, for at most `seconds` (None: forever), and return it; None if all still run."""
    with ExitStack() as opened:
        poll = select.poll()
        for child in children:
            if child.poll() is not None:
                return child
            try:
                ended = os.pidfd_open(child.pid)
            except ProcessLookupError:  # another thread has just waited for its end
                return child
            opened.callback(os.close, ended)
            poll.register(ended, select.POLLIN)
        poll.poll(None if seconds is None else seconds * 1000)
    return next((child for child in children if child.poll() is not None), None)
