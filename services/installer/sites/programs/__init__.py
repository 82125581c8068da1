"""Running a program as a child that can be trusted neither to end nor to report its failures."""

import json
import os
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from foundation.errors import Failed
from foundation.hosting.database_errors import site_failure
from foundation.passwords import without
from services.installer.sites.causes import failed

Owner = tuple[int, int]
"""A user id and a group id."""

PATH = "/usr/local/bin:/usr/bin:/bin"

_SUPERVISOR = Path(__file__).with_name("supervise.py")
_FAREWELL = 10.0  # seconds for the supervisor to end what it runs, and itself
_BEGINNING, _END = 440, 150  # letters kept of a long complaint
_PHPS_MESSAGE = re.compile(r"(?:PHP )?(?:Fatal|Parse|Compile|Core|Recoverable fatal) error: .*", re.DOTALL)
_WARNING = re.compile(r"Warning: +(.*)")
_STACK = re.compile(r"\s+Stack trace:.*?(?=thrown in|\Z)", re.DOTALL)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Limits:
    """A program's limits; 0 is no limit."""

    address_space: int = 4096 << 20
    """Memory of each process, in bytes."""
    file_size: int = 4096 << 20
    """Size of each file, in bytes."""
    processes: int = 512
    """Processes of the user at a time, whoever started them: applies only to customers' users, not to our own."""
    cpu_seconds: int = 0
    """CPU seconds of each process; 0 is as long as the program may run."""
    output: int = 256 << 10
    """Bytes of output on each of stdout and stderr."""

    def of(self, owner: Owner | None, seconds: float) -> dict[str, int]:
        """The limits that the supervisor sets."""
        wanted = {
            "address_space": self.address_space,
            "file_size": self.file_size,
            "processes": self.processes if owner is not None else 0,
            "cpu_seconds": self.cpu_seconds or int(seconds) + 1,
        }
        return {"core": 0} | {name: most for name, most in wanted.items() if most}


USUAL = Limits()


@dataclass(frozen=True)
class Ran:
    """A program that ended by itself."""

    exit_code: int
    stdout: str
    stderr: str

    def answer(self, marker: str | None = None) -> dict[str, object] | None:
        """The JSON object behind `marker` in stdout; without one, the last that begins a line. None if there is none.

        There may be anything around it: PHP can be configured to run files before and after every script. PHP exits
        with 0 on most failures, so the exit code alone says nothing.
        """
        if marker is not None:
            return _object(self.stdout.rpartition(marker)[2]) if marker in self.stdout else None
        objects = (_object(line) for line in reversed(self.stdout.splitlines()))
        return next((found for found in objects if found is not None), None)

    def complaint(self, secrets: Iterable[str]) -> str:
        """The program's output with secrets masked: PHP's own message first, without its stack trace; of long
        output only beginning and end."""
        said = without(secrets, f"{self.stderr}\n{self.stdout}")
        if message := _PHPS_MESSAGE.search(said):
            before = sorted(_WARNING.findall(said[: message.start()]), key=lambda text: "restriction" in text)
            said = _STACK.sub(" ", message[0]) + (f"; before it: {before[-1]}" if before else "")
        said = " ".join(said.split())
        if len(said) > _BEGINNING + _END:
            said = f"{said[:_BEGINNING]} [...] {said[-_END:]}"
        return f"exit {self.exit_code}: {said}"

    def why(self, code: str, what: str, secrets: Iterable[str], marker: str | None = None) -> Failed:
        """The error for a program that failed: the database's if its answer names an error number of MariaDB's
        (`{"ok": false, "errno": 1045, "error": "..."}`), an unfit value's if it names a field of the order
        (`{"ok": false, "field": "email"}`), else `code`."""
        match self.answer(marker):
            case {"ok": False, "field": str(field)}:
                return unsupported(field, what)
            case {"ok": False, "errno": int(errno), "error": str(error)} if errno:
                return site_failure(errno, without(secrets, error), what)
        return failed(code, f"{what}: {self.complaint(secrets)}")


def unsupported(field: str, what: str) -> Failed:
    """The error for a value of the order that an application cannot store unchanged."""
    code = "email_unsupported" if field == "email" else "value_unsupported"
    return failed(code, f"{what} cannot store the ordered {field} unchanged")


def _object(text: str) -> dict[str, object] | None:
    text = text.lstrip("\ufeff \t")
    if not text.startswith("{"):
        return None
    try:
        content, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def run(
    command: Sequence[str],
    stdin: str,
    *,
    seconds: float,
    owner: Owner | None = None,
    directory: Path = Path("/"),
    limits: Limits = USUAL,
    missing: str = "program_missing",
    what: str | None = None,
) -> Ran:
    """Run a command in `directory`, as user and group `owner` (or as ourselves), with nothing but a PATH.

    `what` names it in causes. Raises `Failed`: the cause `missing` if it cannot be started; timeout; step_failed if it
    prints more than `limits` allow. After either, as after its own end, everything that it started is dead.
    """
    name = what or Path(command[0]).name
    seconds = max(0.0, seconds)
    order = {
        "command": list(command),
        "environment": {"PATH": PATH},
        "directory": str(directory),
        "user": owner[0] if owner else None,
        "group": owner[1] if owner else None,
        "extra_groups": [] if owner else None,
        "umask": 0o027,
        "limits": limits.of(owner, seconds),
    }
    with _supervised(order) as (process, control):
        said = _Conversation(process, control, stdin, limits.output)
        if not said.until(time.monotonic() + seconds):
            raise failed("timeout", f"{name} was stopped after {seconds:.3g} s")
        outcome = _object(said.outcome.decode("utf-8", "replace")) or {}
    if said.too_long:
        raise failed("step_failed", f"{name} was stopped: it printed more than {limits.output} bytes")
    if isinstance(number := outcome.get("errno"), int):
        raise failed(missing, f"{what or 'the program'}: {command[0]}: {os.strerror(number)}")
    if survivors := outcome.get("survivors"):
        _log.warning("program.survivors", program=name, processes=survivors)
    exit_code = outcome.get("exit")
    texts = (bytes(text).decode("utf-8", "replace") for text in (said.stdout, said.stderr))
    return Ran(exit_code if isinstance(exit_code, int) else -9, *texts)


@contextmanager
def _supervised(order: dict[str, Any]) -> Iterator[tuple["subprocess.Popen[bytes]", socket.socket]]:
    """A supervisor with its instructions. It ends its program when our end of the socket closes, for any reason."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno())]
    with ours:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - a script of our own
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        try:
            ours.sendall(json.dumps(order).encode() + b"\n")
            yield process, ours
        finally:
            ours.close()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            try:
                process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class _Conversation:
    """Feeds a program its stdin and reads its output, up to a limit."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket, stdin: str, most: int) -> None:
        assert process.stdin and process.stdout and process.stderr  # noqa: PT018, S101 - pipes were asked for
        self.stdout, self.stderr, self.outcome = bytearray(), bytearray(), bytearray()
        self.too_long = False
        self._most = most
        self._rest = memoryview(stdin.encode("utf-8", "surrogatepass"))
        self._stdin = process.stdin
        self._control = control
        self._selector = selectors.DefaultSelector()
        for inlet, text in ((process.stdout, self.stdout), (process.stderr, self.stderr), (control, self.outcome)):
            os.set_blocking(inlet.fileno(), False)
            self._selector.register(inlet, selectors.EVENT_READ, text)
        os.set_blocking(self._stdin.fileno(), False)
        self._selector.register(self._stdin, selectors.EVENT_WRITE)

    def until(self, deadline: float) -> bool:
        """Whether the program ended, or exceeded its output, before the deadline (monotonic)."""
        with self._selector:
            while self._control in self._selector.get_map() and not self.too_long:
                self._go_on(max(0.0, deadline - time.monotonic()))
                if time.monotonic() >= deadline and self._control in self._selector.get_map():
                    return False
            # Its last words may still be in the pipes, which a survivor could hold open.
            while not self.too_long and self._go_on(0):
                pass
        return True

    def _go_on(self, seconds: float) -> bool:
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if key.fileobj is self._stdin:
                self._give()
            else:
                self._take(key.fileobj, key.data)
        return bool(ready)

    def _give(self) -> None:
        try:
            written = os.write(self._stdin.fileno(), self._rest[:65536]) if self._rest else 0
        except BlockingIOError:
            return
        except OSError:  # it doesn't want to hear it all
            written = len(self._rest)
        self._rest = self._rest[written:]
        if not self._rest:
            self._selector.unregister(self._stdin)
            with suppress(OSError):
                self._stdin.close()

    def _take(self, inlet: Any, text: bytearray) -> None:
        try:
            piece = os.read(inlet.fileno(), 65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._selector.unregister(inlet)
        text += piece
        self.too_long = self.too_long or len(text) > self._most
