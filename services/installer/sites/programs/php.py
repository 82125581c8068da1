"""PHP's command line interpreter, and quoting text for it."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foundation.errors import Failed
from services.installer.sites.causes import failed
from services.installer.sites.programs import USUAL, Limits, Owner, Ran, run

_SPEAK = Path(__file__).with_name("speak.php")
_LOOK = Path(__file__).with_name("look.php")
_PATIENCE = timedelta(seconds=60)  # for PHP to say which version it is
_SETTINGS = {
    "display_errors": "stderr",
    "log_errors": "0",
    "html_errors": "0",
    "memory_limit": "256M",
    "max_execution_time": "0",  # counts processor time only; the wall clock is ours to watch
    "zend.exception_ignore_args": "1",  # a traceback's arguments would tell the password
}


@dataclass(frozen=True)
class Told:
    """The result of a script of ours; its answer follows a marker that only this run knew."""

    ran: Ran
    marker: str

    @property
    def answer(self) -> Mapping[str, object]:
        """The script's answer; empty unless it ran to its end. The exit code says nothing: what the host runs after
        every script may fail, and PHP exits with 0 on most failures."""
        return self.ran.answer(self.marker) or {}

    def why(self, what: str, secrets: Iterable[str] = ()) -> Failed:
        """The error for a script that failed: php_fatal, unless its answer names a cause of its own."""
        return self.ran.why("php_fatal", what, secrets, self.marker)


@dataclass(frozen=True)
class Php:
    """PHP's command line interpreter."""

    program: str = "php"
    limits: Limits = USUAL

    def run(
        self, scripts: Sequence[Path], order: Mapping[str, object], *, deadline: datetime, owner: Owner | None = None
    ) -> Told:
        """Run our scripts, one after the other as one program, with `order` in `$sitecrew`, as user and group `owner`
        (or as ourselves).

        They are passed on stdin, so that neither folder permissions nor `open_basedir` get in the way.
        Raises `Failed`: php_missing; step_failed; timeout, after which the script and all its children are dead.
        """
        marker = secrets.token_hex(16)
        text = json.dumps({**order, "marker": marker})
        parts = [f"<?php\n$sitecrew = json_decode({quoted(text)}, true);\n"]
        parts += [script.read_text("utf-8") for script in (_SPEAK, *scripts)]
        ran = run(
            # The script's name means nothing to PHP; it tells people who look at the processes what is running.
            self.command("--", scripts[-1].name),
            "\n?>\n".join(parts),
            seconds=(deadline - datetime.now(UTC)).total_seconds(),
            owner=owner,
            limits=self.limits,
            missing="php_missing",
            what=scripts[-1].name,
        )
        return Told(ran, marker)

    def command(self, *arguments: str) -> list[str]:
        """The command that runs PHP so that it does not leak its input."""
        flags = (flag for name, value in _SETTINGS.items() for flag in ("-d", f"{name}={value}"))
        return [self.program, *flags, *arguments]

    def require(
        self, extensions: Sequence[str], *, deadline: datetime | None = None, owner: Owner | None = None
    ) -> None:
        """Raise `Failed` unless PHP runs (php_missing, php_fatal) and has the extensions (php_ext)."""
        deadline = deadline or datetime.now(UTC) + _PATIENCE
        told = self.run((_LOOK,), {"extensions": list(extensions)}, deadline=deadline, owner=owner)
        match told.answer:
            case {"version": version, "lacking": list(lacking)}:
                if lacking:
                    raise failed("php_ext", f"{self.program} {version} lacks {', '.join(map(str, lacking))}")
            case _ if " error: " in f"{told.ran.stderr}{told.ran.stdout}":
                raise told.why(self.program)
            case _:
                raise failed("php_missing", f"{self.program} does not run as PHP: {told.ran.complaint(())}")


def quoted(value: str) -> str:
    """A PHP string literal; between single quotes only these two characters are special."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
