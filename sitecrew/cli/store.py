"""`sitecrew store`: migrating and copying the services' databases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sitecrew.cli.help import examples, known, noun
from sitecrew.cli.run import Service

if TYPE_CHECKING:
    from foundation.store import Store

app = noun("sitecrew store migrate", "sitecrew store copy --help")

_OWNED = {"orders": "order-intake", "installs": "installer", "mails": "mailer", "order_views": "api"}
"""The table that identifies each service's database."""

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(epilog=examples("sitecrew store migrate --create", "sitecrew store migrate installer"))
def migrate(
    ctx: typer.Context,
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help=f"Any of {', '.join(Service)}.  [default: all but api]"),
    ] = None,
    create: Annotated[bool, typer.Option("--create", help="Create missing databases first.")] = False,
    json: _Json = False,
) -> None:
    """Migrate databases to this version (services do so at start)."""
    from foundation.store import Store
    from sitecrew.cli.client import session
    from sitecrew.cli.client.stores import FOLDERS, url_of
    from sitecrew.cli.output import terminal

    wanted = known(ctx, services or [name for name in Service if name != Service.API], list(Service))
    settings = session.settings_of(ctx)
    places = {}
    for name in wanted:
        store = Store(url_of(settings, name))
        with terminal.working(f"migrating the database of {name}"):
            if create:
                store.create()
            store.migrate([FOLDERS[name]])
        store.close()
        places[name] = store.place
        if not json:
            terminal.out(f"{name}  {store.place}")
    if json:
        terminal.document(places)


@app.command(
    epilog=examples(
        "sitecrew store copy --from sqlite:////var/lib/sitecrew/installer.db \\",
        "    --to postgresql://sitecrew@db.example/installer",
    )
)
def copy(
    source: Annotated[str, typer.Option("--from", metavar="URL", help="A service's database. Stop the service first.")],
    target: Annotated[str, typer.Option("--to", metavar="URL", help="An empty database; its tables are created.")],
    json: _Json = False,
) -> None:
    """Copy a service's database into another, all rows or none."""
    from foundation.store import Store
    from foundation.store.copy import copy as copy_rows
    from sitecrew.cli.client.stores import FOLDERS
    from sitecrew.cli.output import terminal

    _warn_of_passwords(source, target)
    old, new = Store.existing(source), Store(target)
    try:
        folder = FOLDERS[_service_of(old)]
        _require_newest(old, folder)
        with terminal.working("creating the tables") as say:
            new.migrate([folder])
            counts = copy_rows(old, new, lambda table, count: say(f"{table}: {count} rows copied"))
    finally:
        old.close()
        new.close()
    if json:
        terminal.document(counts)
    for table, count in counts.items() if not json else ():
        terminal.out(f"{table}  {count} rows")
    service = _OWNED[next(name for name in counts if name in _OWNED)]
    terminal.note(f"set {service.replace('-', '_')}.store_url to the new URL, and start the service again")


def _service_of(store: "Store") -> str:
    from foundation.errors import NotFound
    from foundation.store.copy import tables_of

    found = [_OWNED[table.name] for table in tables_of(store) if table.name in _OWNED]
    if len(found) != 1:
        raise NotFound(f"{store.place} is not the database of exactly one service; check --from")
    return found[0]


def _require_newest(store: "Store", folder: Path) -> None:
    from foundation.errors import StoreUnreachable

    if not store.is_migrated([folder]):
        raise StoreUnreachable(
            f"{store.place} does not have this version's schema; start its service once with this version, and stop it"
        )


def _warn_of_passwords(*urls: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from sitecrew.cli.output import terminal

    for url in urls:
        try:
            if make_url(url).password:
                terminal.note("a password on the command line is visible to every user here; use ~/.pgpass instead")
        except (ArgumentError, ValueError):  # ValueError: the port is not a number
            continue  # opening the database reports it
