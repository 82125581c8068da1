"""`sitecrew topology`: what is declared on the broker."""

from dataclasses import asdict
from typing import Annotated

import typer

from foundation.broker.topology import Queue, Topology
from foundation.config.queues import sitecrew
from sitecrew.cli.help import examples, noun

app = noun("sitecrew topology check", "sitecrew topology declare")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(epilog=examples("sitecrew topology declare"))
def declare(ctx: typer.Context, json: _Json = False) -> None:
    """Create missing exchanges, queues and bindings."""
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    with session.broker(session.settings_of(ctx)) as broker, terminal.working("declaring"):
        broker.declare()
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


@app.command(epilog=examples("sitecrew topology check", "sitecrew topology check --json"))
def check(ctx: typer.Context, json: _Json = False) -> None:
    """Compare the broker with these settings; exit code 1 if it differs."""
    from sitecrew.cli.checks.broker import troubles_of
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    settings = session.settings_of(ctx)
    with session.broker(settings) as broker, terminal.working("comparing"):
        differences, troubles = broker.differences(), troubles_of(settings, broker.topology)
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
