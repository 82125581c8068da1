"""`sitecrew topology`: what is declared on the broker."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from foundation.broker.topology import Queue, Topology
from foundation.config.queues import sitecrew, with_api
from sitecrew.cli.help import examples, noun

app = noun("sitecrew topology check", "sitecrew topology declare")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(epilog=examples("sitecrew topology declare", "sitecrew topology declare --api"))
def declare(
    ctx: typer.Context,
    api: Annotated[bool, typer.Option("--api", help="Also the api's queues, which fill up where none runs.")] = False,
    json: _Json = False,
) -> None:
    """Create missing exchanges, queues and bindings, as a user who may."""
    from contextlib import closing

    from foundation.errors import Refused
    from foundation.service.process import broker_of
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    opened = broker_of(session.settings_of(ctx), "admin", with_api if api else sitecrew)
    with closing(opened) as broker, terminal.working("declaring"):
        if not broker.declare():
            raise Refused(
                f"{broker.user} may not declare anything, though all that a service needs is there. Use an "
                "administrator's amqp_url (SITECREW_AMQP_URL)"
            )
        table = broker.topology
    sums = [f"{len(getattr(table, part))} {part}" for part in _PARTS]
    if json:
        terminal.document({part: [item.name for item in getattr(table, part)] for part in ("exchanges", "queues")})
    terminal.note(f"declared: {', '.join(sums)}")


@app.command(epilog=examples("sitecrew topology show", "sitecrew topology show --json | jq '.queues[].name'"))
def show(ctx: typer.Context, json: _Json = False) -> None:
    """Show what these settings need on the broker, without asking it."""
    from foundation.broker.delay import Ladder
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    delay = session.settings_of(ctx).delay
    table = sitecrew(Ladder(delay.unit_ms, delay.levels))
    if json:
        terminal.document({name: [asdict(item) for item in getattr(table, name)] for name in _PARTS})
    else:
        _show(table)


@app.command(
    epilog=examples(
        "sitecrew topology definitions > definitions.json",
        "sitecrew topology definitions --passwords /root/sitecrew > definitions.json",
    )
)
def definitions(
    ctx: typer.Context,
    passwords: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A file for each user's password; missing ones are created.")
    ] = None,
) -> None:
    """Print all of it, with a user for each service, for RabbitMQ to import.

    `rabbitmqctl import_definitions` reads it. Without passwords nobody can log in until `change_password` gives one.
    """
    from foundation.broker.address import vhost_of
    from foundation.broker.delay import Ladder
    from foundation.config import definitions as defined
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    settings = session.settings_of(ctx)
    table = with_api(Ladder(settings.delay.unit_ms, settings.delay.levels))
    known = _passwords(passwords) if passwords else {}
    vhost = vhost_of(settings.amqp_url.get_secret_value())
    terminal.raw(defined.as_text(defined.definitions(table, vhost, known)) + "\n")


def _passwords(directory: Path) -> dict[str, str]:
    """The passwords of the users, each in a file that only its owner can read."""
    import os
    import secrets

    from foundation.config.rights import USERS

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for user in USERS.values():
        file = directory / user.name
        if not file.exists():
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_urlsafe(24))
    return {user.name: (directory / user.name).read_text().strip() for user in USERS.values()}


@app.command(epilog=examples("sitecrew topology check", "sitecrew topology check --json"))
def check(ctx: typer.Context, json: _Json = False) -> None:
    """Compare the broker with these settings; exit code 1 if it differs."""
    from foundation.errors import Refused
    from sitecrew.cli.checks.broker import troubles_of
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    settings = session.settings_of(ctx)
    try:
        with session.broker(settings) as broker, terminal.working("comparing"):
            differences, troubles = broker.differences(), troubles_of(settings, broker.topology)
    except Refused as refused:
        raise Refused(f"{refused}. Use an administrator's amqp_url (SITECREW_AMQP_URL)") from None
    differences += troubles or []
    if troubles is None:
        terminal.note("policies were not checked; that needs amqp_management_url")
    if json:
        terminal.document({"differences": differences})
    for difference in differences if not json else ():
        terminal.out(terminal.printable(difference))
    if differences:
        raise typer.Exit(1)
    terminal.note("the broker matches these settings")


_PARTS = ("exchanges", "queues", "bindings")


def _show(table: Topology) -> None:
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import Table

    exchanges = [(item.name, item.kind, item.arguments.get("alternate-exchange", "-")) for item in table.exchanges]
    Table(("EXCHANGE", "KIND", "ALTERNATE"), exchanges).show()
    terminal.out()
    Table(("QUEUE", "LIMITS", "DEAD LETTERS"), [_queue(item) for item in table.queues]).show()
    terminal.out()
    bindings = [
        (item.source, item.key or "-", f"{'exchange ' * item.to_exchange}{item.target}") for item in table.bindings
    ]
    Table(("FROM", "KEY", "TO"), bindings).show()


def _queue(queue: Queue) -> tuple[str, str, str]:
    from sitecrew.cli.output import times

    wanted = queue.arguments
    lifetime = times.span(int(wanted["x-message-ttl"]) / 1000) if "x-message-ttl" in wanted else ""
    deliveries = f"{wanted['x-delivery-limit']} deliveries" if "x-delivery-limit" in wanted else ""
    dead = wanted.get("x-dead-letter-exchange")
    return queue.name, f"{lifetime} TTL" if lifetime else deliveries, f"to {dead}" if dead else "-"
