"""`sitecrew api`: what the console needs before anybody can sign in to it, and how its projection is rebuilt."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitecrew.cli.help import examples, known, noun

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

app = noun("sitecrew api staff add eve --role admin", "sitecrew api rebuild")
staff = noun("sitecrew api staff add eve --role admin", "sitecrew api staff password eve")
app.add_typer(staff, name="staff", help="People who may sign in to the console: add, password.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The name to sign in with: a-z, 0-9 and . _ @ -")]
_File = Annotated[
    str, typer.Option("--password-file", metavar="FILE", help="Read the password from there; -: from stdin.")
]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@staff.command(
    epilog=examples(
        "sitecrew api staff add eve --role admin",
        "sitecrew api staff add eve --password-file - < password",
    )
)
def add(
    ctx: typer.Context,
    name: _Name,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="viewer, support, operator or admin.")] = "viewer",
    password_file: _File = "",
    json: _Json = False,
) -> None:
    """Add somebody; print a new password, unless one is given."""
    from services.api.access import staff as members
    from services.api.access.identity import Role

    known(ctx, [role], list(Role), "--role")
    given = _given(password_file)
    with _store(ctx, "staff.added", f"{name}, role: {role}") as (connection, now, password):
        members.create(connection, name, Role(role), given or password, now)
    _tell(name, "" if given else password, json=json)


@staff.command(epilog=examples("sitecrew api staff password eve"))
def password(ctx: typer.Context, name: _Name, password_file: _File = "", json: _Json = False) -> None:
    """Replace a password, and sign its owner out; print the new one unless given."""
    from services.api.access import staff as members

    given = _given(password_file)
    with _store(ctx, "staff.password_reset", name) as (connection, now, new):
        members.set_password(connection, name, given or new, now)
    _tell(name, "" if given else new, json=json)


@app.command(epilog=examples("sitecrew api rebuild", "sitecrew api rebuild --json"))
def rebuild(
    ctx: typer.Context,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="Give up once nothing has moved for so long.", min=1)
    ] = 60,
    json: _Json = False,
) -> None:
    """Fill the projection anew from what the services tell; nothing else changes."""
    from sitecrew.cli.client import rebuilding, session
    from sitecrew.cli.output import terminal

    rows = rebuilding.rebuild(session.settings_of(ctx), timeout)
    if json:
        terminal.document(rows)
        return
    for service, number in rows.items():
        terminal.out(f"{service}  {number}")


@contextmanager
def _store(ctx: typer.Context, kind: str, detail: str) -> "Iterator[tuple[Connection, datetime, str]]":
    """Change the api's database, and write it into the activity log; yields a password to use, too."""
    from foundation.clock import utc_now
    from foundation.handling.unit_of_work import new_id
    from foundation.store import Store
    from services.api.access import passwords
    from services.api.projection.activity import Line, write
    from services.api.service import MIGRATIONS
    from sitecrew.cli.client import acting, session

    store, now = Store(session.settings_of(ctx).api.store_url.get_secret_value()), utc_now()
    store.migrate([MIGRATIONS])
    with store.transaction() as connection:
        yield connection, now, passwords.new()
        key = new_id().replace("-", "")
        line = Line(key, now, kind, actor_type="user", actor=acting.name(), source="/sitecrew/cli", detail=detail)
        write(connection, [line])
    store.close()


def _given(file: str) -> str:
    """Return the password in a file, without the end of its line; empty if no file is named."""
    if not file:
        return ""
    text = sys.stdin.read() if file == "-" else Path(file).read_text()
    return text.rstrip("\r\n")


def _tell(name: str, password: str, *, json: bool) -> None:
    from sitecrew.cli.output import terminal

    if json:
        terminal.document({"name": name, **({"password": password} if password else {})})
        return
    if password:
        terminal.out(password)
        terminal.note(f"This is the password of {name}. It is shown only now; change it in the console.")
    else:
        terminal.note(f"{name} can sign in.")
