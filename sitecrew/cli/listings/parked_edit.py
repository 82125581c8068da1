"""Correcting a parked message: edited, validated, and requeued."""

import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import typer

from foundation.broker.codec import Malformed
from foundation.config.sources import editor
from foundation.errors import ConfigurationError, Refused
from foundation.handling.parking import Parked
from sitecrew.cli import everywhere
from sitecrew.cli.client.orders.files import Unusable
from sitecrew.cli.client.sending import require_confirmed
from sitecrew.cli.office.places import Place
from sitecrew.cli.output import terminal


def correct(ctx: typer.Context, place: Place, parked: Parked, file: str | None, *, json: bool) -> None:
    """Edit the message, validate it, and requeue it. Raises Refused if its queue is unknown, and Unusable if it is not
    a valid event afterwards; it then stays parked, unchanged."""
    if not parked.can_go_back:
        raise Refused(f"the queue that {parked.name} came from is unknown; see `sitecrew parked show {parked.name}`")
    before = _readable(place.original(parked))
    after = _given(ctx, before, file)
    if after.strip() == before.strip():
        terminal.note("nothing was changed; the message stays parked")
        return
    try:
        outcome = place.correct(parked, after)
    except Malformed as problem:
        faults = "\n".join(f"{field}: {fault}" for field, fault in problem.errors)
        raise Unusable(f"this is not a valid event; the message stays parked as it was:\n{faults}") from None
    require_confirmed([outcome])
    if json:
        terminal.document({"id": parked.name, "to": parked.came_from, "outcome": outcome})
    else:
        terminal.out(f"{parked.name}  {parked.came_from}")


def _readable(body: bytes) -> bytes:
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except orjson.JSONDecodeError:
        return body


def _given(ctx: typer.Context, before: bytes, file: str | None) -> bytes:
    if file is not None:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if not everywhere.may_ask(ctx):
        raise typer.BadParameter("no terminal for an editor; pass the corrected message with --file", ctx=ctx)
    return _edited(before)


def _edited(before: bytes) -> bytes:
    """The message as the editor leaves it. It may hold secrets: the file is in a directory only we can read."""
    try:
        command = shlex.split(editor())
    except ValueError as error:
        raise ConfigurationError(f"the editor {editor()!r} is not a valid command line: {error}; set EDITOR") from None
    with TemporaryDirectory(prefix="sitecrew-") as directory:
        path = Path(directory) / "message.json"
        path.write_bytes(before)
        try:
            ended = subprocess.run([*command, str(path)], check=False).returncode  # noqa: S603 - the user's own editor
        except OSError as error:
            raise Refused(f"cannot start the editor {command[0]}: {error.strerror}; set EDITOR") from None
        if ended != 0:
            raise Refused(f"the editor {command[0]} exited with {ended}; the message stays parked as it was")
        return path.read_bytes()
