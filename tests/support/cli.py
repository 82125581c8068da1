"""The `sitecrew` command, run inside the test's own process."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from typer.testing import CliRunner

from sitecrew.cli.root import app

NOWHERE = "amqp://guest:guest@127.0.0.1:1/"
"""A URL at which no broker listens."""


@dataclass(frozen=True)
class Ran:
    """The result of one command line."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()


def sitecrew(*arguments: str, given: str | bytes | None = None) -> Ran:
    """Run a command line, with `given` on stdin. Unexpected exceptions are raised."""
    try:
        result = CliRunner().invoke(app, arguments, input=given, prog_name="sitecrew")
    finally:
        structlog.reset_defaults()  # the configured logger writes to a stream that is closed now
        logging.root.handlers.clear()
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def settings_file(directory: Path, **settings: object) -> str:
    """Write a settings file; `__` in a name nests. By default, its broker is unreachable."""
    lines = {"amqp_url": NOWHERE, **{name.replace("__", "."): value for name, value in settings.items()}}
    path = directory / "sitecrew.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()))
    path.chmod(0o600)
    return str(path)
