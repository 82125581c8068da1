"""Running a program as a child that can be neither trusted to end nor to tell of its failures."""

import json
import os
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import Failed
from foundation.hosting.database_errors import site_failure
from services.installer.sites.causes import failed

Owner = tuple[int, int]
"""A user id and a group id."""

PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True)
class Ran:
    """A program that came to an end by itself."""

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

    def complaint(self, secrets: Iterable[str]) -> str:
        """The end of what the program said, without the secrets it was given."""
        said = without(secrets, " ".join(f"{self.stderr}\n{self.stdout}".split()))
        return f"exit {self.exit_code}: {said[-600:]}"

    def why(self, code: str, what: str, secrets: Iterable[str]) -> Failed:
        """The error for a program that failed: the database's if its answer names an error number of MariaDB's
        (`{"ok": false, "errno": 1045, "error": "..."}`), an unfit value's if it names a field of the order
        (`{"ok": false, "field": "email"}`), else `code`."""
        match self.answer():
            case {"ok": False, "field": str(field)}:
                return unsupported(field, what)
            case {"ok": False, "errno": int(errno), "error": str(error)} if errno:
                return site_failure(errno, without(secrets, error), what)
        return failed(code, f"{what}: {self.complaint(secrets)}")


def unsupported(field: str, what: str) -> Failed:
    """The error for a value of the order that an application can't store as it is."""
    code = "email_unsupported" if field == "email" else "value_unsupported"
    return failed(code, f"{what} can't store the ordered {field} as it is")


def without(secrets: Iterable[str], text: str) -> str:
    """The text with each secret struck out, as it is and as JSON writes it."""
    for secret in filter(None, secrets):
        for written in (secret, " ".join(secret.split()), json.dumps(secret)[1:-1]):
            text = text.replace(written, "***") if written else text
    return text


def run(
    command: Sequence[str],
    stdin: str,
    *,
    seconds: float,
    owner: Owner | None = None,
    directory: Path = Path("/"),
    missing: str = "program_missing",
    what: str | None = None,
) -> Ran:
    """Run a command in `directory`, as user and group `owner` (or as ourselves), with nothing but a PATH.

    `what` is how causes call it. Raises `Failed`: the cause `missing` if it cannot be started; timeout, after which
    it and its children are dead.
    """
    user, group = owner or (None, None)
    try:
        process = subprocess.Popen(  # noqa: S603 - the program comes from the operator's settings, or from us
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={"PATH": PATH},
            cwd=directory,
            start_new_session=True,
            user=user,
            group=group,
            extra_groups=None if owner is None else [],
            umask=0o027,
        )
    except OSError as error:
        raise failed(missing, f"{what or 'the program'}: {command[0]}: {error.strerror}") from None
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=max(0.0, seconds))
        except BaseException as error:
            _end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                raise failed("timeout", f"{what or command[-1]} was stopped after {seconds:.3g} s") from None
            raise
    return Ran(process.returncode, stdout, stderr)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the session. Its leader may be gone, and a child of it be what holds our pipes open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
