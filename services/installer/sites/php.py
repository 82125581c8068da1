"""PHP's command line interpreter, and how a text is written in its language."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.installer.sites.causes import failed
from services.installer.sites.programs import Owner, Ran, run

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
class Php:
    """PHP's command line interpreter."""

    program: str = "php"
    seconds: float = 60.0
    """The longest that one script may take, whatever the deadline."""

    def run(self, script: Path, order: Mapping[str, object], *, deadline: datetime, owner: Owner | None = None) -> Ran:
        """Run `script` with `order` as JSON on stdin, as user and group `owner` (or as ourselves).

        Raises `Failed`: php_missing; timeout, after which the script and all its children are dead.
        """
        seconds = min(self.seconds, (deadline - datetime.now(UTC)).total_seconds())
        command = self.command(str(script))
        return run(command, json.dumps(order), seconds=seconds, owner=owner, missing="php_missing")

    def command(self, *arguments: str) -> list[str]:
        """The command that runs PHP so that it keeps to itself what it was told."""
        flags = (flag for name, value in _SETTINGS.items() for flag in ("-d", f"{name}={value}"))
        return [self.program, *flags, *arguments]

    def require(self, extensions: Sequence[str]) -> None:
        """Raise `Failed` unless PHP runs (php_missing) and has the extensions (php_ext)."""
        code = "echo json_encode(['version' => PHP_VERSION, 'extensions' => get_loaded_extensions()]);"
        ran = run(self.command("-r", code), "", seconds=_PROBE_SECONDS, missing="php_missing")
        answer = ran.answer() or {}
        loaded = answer.get("extensions")
        if ran.exit_code != 0 or not isinstance(loaded, list):
            raise failed("php_missing", f"{self.program} does not run as PHP: {ran.complaint(())}")
        there = {str(name).casefold() for name in loaded}
        if lacking := [name for name in extensions if name.casefold() not in there]:
            raise failed("php_ext", f"{self.program} {answer.get('version')} lacks {', '.join(lacking)}")


def quoted(value: str) -> str:
    """A PHP string; between single quotes only these two letters mean anything."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
