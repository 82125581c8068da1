"""Running a PHP script as a child that can be neither trusted to end nor to tell of its failures."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.installer.sites.causes import failed

_PROBE_SECONDS = 10.0
_SETTINGS = {
    "display_errors": "stderr",
    "log_errors": "0",
    "html_errors": "0",
    "memory_limit": "256M",
    "max_execution_time": "0",  # counts processor time only; the wall clock is ours to watch
    "zend.exception_ignore_args": "1",  # a traceback's arguments would tell the password
}


@dataclass(frozen=True)
class Ran:
    """A script that came to an end by itself."""

    exit_code: int
    stdout: str
    stderr: str

    def answer(self) -> dict[str, object] | None:
        """The JSON object in the last line of stdout; None if there is none. PHP exits 0 on most failures,
        so the exit code alone says nothing."""
        lines = self.stdout.rstrip().splitlines()
        try:
            content = json.loads(lines[-1]) if lines else None
        except ValueError:
            return None
        return content if isinstance(content, dict) else None

    def complaint(self, secrets: Sequence[str]) -> str:
        """The end of what the script said, without the secrets it was given."""
        said = " ".join(f"{self.stderr}\n{self.stdout}".split())
        for secret in secrets:
            said = said.replace(secret, "***")
        return f"exit {self.exit_code}: {said[-600:]}"


@dataclass(frozen=True)
class Php:
    """PHP's command line interpreter."""

    program: str = "php"
    seconds: float = 60.0
    """The longest that one script may take, whatever the deadline."""

    def run(
        self, script: Path, order: Mapping[str, object], *, deadline: datetime, owner: tuple[int, int] | None = None
    ) -> Ran:
        """Run `script` with `order` as JSON on stdin, as user and group `owner` (or as ourselves).

        Raises `Failed`: php_missing; timeout, after which the script and all its children are dead.
        """
        command = [self.program, *_flags(), str(script)]
        seconds = max(0.0, min(self.seconds, (deadline - datetime.now(UTC)).total_seconds()))
        return self._run(command, json.dumps(order), seconds, owner)

    def require(self, extensions: Sequence[str]) -> None:
        """Raise `Failed` unless PHP runs (php_missing) and has the extensions (php_ext)."""
        code = "echo json_encode(['version' => PHP_VERSION, 'extensions' => get_loaded_extensions()]);"
        ran = self._run([self.program, *_flags(), "-r", code], "", _PROBE_SECONDS, None)
        answer = ran.answer() or {}
        loaded = answer.get("extensions")
        if ran.exit_code != 0 or not isinstance(loaded, list):
            raise failed("php_missing", f"{self.program} does not run as PHP: {ran.complaint(())}")
        if missing := [name for name in extensions if name not in loaded]:
            raise failed("php_ext", f"{self.program} {answer.get('version')} lacks {', '.join(missing)}")

    def _run(self, command: list[str], stdin: str, seconds: float, owner: tuple[int, int] | None) -> Ran:
        user, group = owner or (None, None)
        try:
            process = subprocess.Popen(  # noqa: S603 - the program comes from our settings, the script from us
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
                cwd="/",
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=None if owner is None else [],
            )
        except OSError as error:
            raise failed("php_missing", f"{self.program}: {error.strerror}") from None
        with process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=seconds)
            except subprocess.TimeoutExpired:
                raise failed("timeout", f"{command[-1]} was stopped after {seconds:.0f} s") from None
            finally:
                _end(process)
        return Ran(process.returncode, stdout, stderr)


def _flags() -> list[str]:
    return [flag for name, value in _SETTINGS.items() for flag in ("-d", f"{name}={value}")]


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the session if its leader has not ended: a PHP that waits for a dead database waits for ever."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
