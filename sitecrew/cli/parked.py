"""`sitecrew parked`: what could not be handled, with the reason; back to work, or away."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from foundation.broker.topology import PARKING, UNROUTED
from sitecrew.cli.help import examples, noun

if TYPE_CHECKING:
    from foundation.broker import Broker
    from sitecrew.cli.parking import Parked
    from sitecrew.cli.tables import Table

app = noun("sitecrew parked list", "sitecrew parked requeue --all")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
_Queue = Annotated[str, typer.Option(metavar="NAME", help=f"{PARKING}, or {UNROUTED}: what no queue took.")]
_Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `parked list` shows them.")]
_All = Annotated[bool, typer.Option("--all", help="Every message that is there now.")]


@app.command("list", epilog=examples("sitecrew parked list", "sitecrew parked list --json | jq '.[].code'"))
def list_parked(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many, the oldest first.", min=1)] = 100,
    queue: _Queue = PARKING,
    json: _Json = False,
) -> None:
    """Show what is parked: since when, from where, why, what to do."""
    from sitecrew.cli import screen

    with _looking(ctx, queue) as (broker, depth):
        found = _browse(broker, queue, limit)
    if json:
        screen.document([parked.record() for parked in found])
        return
    if found:
        _table(found).show()
    screen.note(f"{depth} in {queue}" + (f"; these are the first {limit}" if depth > len(found) else ""))


@app.command(epilog=examples("sitecrew parked show 01979b3e-5d7a-7c02-a1b2-6f1e0c3d4e5f"))
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="As `parked list` shows it.")],
    queue: _Queue = PARKING,
    json: _Json = False,
) -> None:
    """Show one message with its headers and body, secrets masked."""
    from sitecrew.cli import bodies, moments, screen, session
    from sitecrew.cli.tables import pairs

    with _looking(ctx, queue) as (broker, depth):
        parked = next(iter(_named(_browse(broker, queue, depth), [name], queue)))
    body = bodies.shown(parked.delivery.body)
    record = parked.record()
    if json:
        screen.document({**record, "body": {"kind": body.kind, "text": body.text, "cut": body.cut}})
        return
    now = session.now()
    headers = [(f"header {key}", str(value)) for key, value in record["headers"].items() if key not in _OURS]
    told = [(label, record[key] or "") for key, label in _LABELS.items()]
    pairs([("id", parked.name), ("parked", moments.both(parked.at, now)), *told, *headers])
    screen.out(f"\nbody ({body.size} bytes{', as hex' if body.kind == 'hex' else ''}):", style="bold")
    for line in body.text.splitlines():
        screen.out(screen.printable(line))
    if body.cut:
        screen.note("the rest is not shown")


_LABELS = {
    "by": "by",
    "came_from": "from queue",
    "code": "code",
    "reason": "reason",
    "remedy": "remedy",
    "field": "field",
    "sent_by": "sent by",
    "message_id": "original id",
    "type": "type",
    "content_type": "content type",
}
_OURS = (
    "parked-at",
    "parked-by",
    "parked-from",
    "reason-code",
    "reason",
    "remedy",
    "field",
    "sent-by",
    "original-message-id",
)


@app.command(
    epilog=examples("sitecrew parked requeue 01979b3e-5d7a-7c02-a1b2-6f1e0c3d4e5f", "sitecrew parked requeue --all")
)
def requeue(
    ctx: typer.Context, ids: _Ids = None, every: _All = False, queue: _Queue = PARKING, json: _Json = False
) -> None:
    """Put messages back into the queues they came from, losing none."""
    from foundation.broker import Outcome
    from foundation.errors import Refused
    from sitecrew.cli import parking, screen
    from sitecrew.cli.sending import require_confirmed

    _one_of(ctx, ids, every)
    with _looking(ctx, queue) as (broker, depth):
        chosen = _chosen(broker, queue, depth, ids)
        going = [parked for parked in chosen if parked.can_go_back]
        with screen.working(f"requeueing {len(going)} messages") as say:
            results = []
            for result in parking.requeue(broker, queue, going):
                results.append(result)
                say(f"{len(results)} of {len(going)} requeued")
    if json:
        screen.document([{"id": p.name, "to": p.came_from, "outcome": outcome} for p, outcome in results])
    for parked, outcome in results if not json else ():
        if outcome == Outcome.CONFIRMED:
            screen.out(f"{parked.name}  {parked.came_from}")
    require_confirmed([outcome for _, outcome in results])
    if strays := [parked.name for parked in chosen if not parked.can_go_back]:
        raise Refused(f"nothing tells where these belong: {', '.join(strays)}. See `sitecrew parked show ID`")


@app.command(
    epilog=examples("sitecrew parked purge 01979b3e-5d7a-7c02-a1b2-6f1e0c3d4e5f", "sitecrew parked purge --all --yes")
)
def purge(
    ctx: typer.Context,
    ids: _Ids = None,
    every: _All = False,
    queue: _Queue = PARKING,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: _Json = False,
) -> None:
    """Delete messages for good."""
    from sitecrew.cli import parking, screen

    _one_of(ctx, ids, every)
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("there is no terminal to ask on; --yes purges without asking", ctx=ctx)
    with _looking(ctx, queue) as (broker, depth):
        names = [parked.name for parked in _chosen(broker, queue, depth, ids)]
        if names and not yes:
            typer.confirm(f"Delete {len(names)} message(s) for good?", abort=True, err=True)
        with screen.working(f"deleting {len(names)} messages"):
            removed = parking.remove(broker, queue, names)
    if json:
        screen.document(removed)
    for name in removed if not json else ():
        screen.out(name)
    if len(removed) < len(names):
        screen.warn(f"{len(names) - len(removed)} had been taken by somebody else meanwhile")


@contextmanager
def _looking(ctx: typer.Context, queue: str) -> "Iterator[tuple[Broker, int]]":
    """The broker, and how many messages wait in the queue. Raises NotFound if there is none."""
    from foundation.errors import NotFound
    from sitecrew.cli import screen, session

    if queue not in (PARKING, UNROUTED):
        raise typer.BadParameter(f"--queue {queue} is neither {PARKING} nor {UNROUTED}", ctx=ctx)
    with session.broker(session.settings_of(ctx)) as broker:
        with screen.working("reaching the broker"):
            depth = broker.depth(queue)
        if depth is None:
            raise NotFound(f"the broker has no queue {queue}; `sitecrew topology declare` makes it")
        yield broker, depth


def _browse(broker: "Broker", queue: str, limit: int) -> "list[Parked]":
    from sitecrew.cli import parking, screen

    with screen.working(f"looking into {queue}"):
        return [parking.read(delivery) for delivery in broker.browse(queue, limit)]


def _chosen(broker: "Broker", queue: str, depth: int, ids: Sequence[str] | None) -> "list[Parked]":
    found = _browse(broker, queue, depth)
    return _named(found, ids, queue) if ids else found


def _named(found: "Sequence[Parked]", ids: Sequence[str], queue: str) -> "list[Parked]":
    from foundation.errors import NotFound

    names = {parked.name for parked in found}
    if missing := [name for name in ids if name not in names]:
        raise NotFound(f"there is no message {', '.join(missing)} in {queue}; see `sitecrew parked list`")
    return [parked for parked in found if parked.name in ids]


def _one_of(ctx: typer.Context, ids: Sequence[str] | None, every: bool) -> None:
    if bool(ids) == every:
        raise typer.BadParameter("name the messages, or give --all", ctx=ctx)


def _table(found: "Sequence[Parked]") -> "Table":
    from sitecrew.cli import moments, session
    from sitecrew.cli.tables import Table

    now = session.now()
    rows = [
        (
            parked.name,
            moments.span((now - parked.at).total_seconds()) if parked.at else "-",
            parked.came_from or "-",
            parked.code or "-",
            parked.reason,
            parked.remedy,
        )
        for parked in found
    ]
    return Table(("ID", "AGE", "FROM", "CODE"), rows, beneath=("REASON", "REMEDY"))
