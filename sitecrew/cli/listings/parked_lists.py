"""The parked messages: selecting, showing, requeueing and deleting them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import typer

from foundation.broker import Confirmation, payloads
from foundation.broker.topology import PARKING, UNROUTED
from foundation.errors import NotFound, Refused
from foundation.handling.parking import Parked
from sitecrew.cli import everywhere
from sitecrew.cli.client import session
from sitecrew.cli.client.sending import require_confirmed
from sitecrew.cli.help import not_among
from sitecrew.cli.office.opening import office_of
from sitecrew.cli.office.places import Place
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table, pairs
from sitecrew.cli.output.words import count

_SHORT = 4
"""The shortest part of an id that is accepted."""
_TOLD = 10
"""How many messages a confirmation prompt lists."""


@dataclass(frozen=True)
class Wanted:
    """Which messages; empty fields do not filter."""

    codes: str
    order_id: str
    since: datetime | None

    @property
    def given(self) -> bool:
        return bool(self.codes or self.order_id or self.since)

    def takes(self, parked: Parked) -> bool:
        codes = [code.strip() for code in self.codes.split(",") if code.strip()]
        late = self.since is None or (parked.at is not None and parked.at >= self.since)
        return (not codes or parked.code in codes) and self.order_id in ("", parked.order_id) and late


def named(place: Place, ids: Sequence[str]) -> list[Parked]:
    """The messages with these ids, unique parts of ids, or numbers in the list. Raises NotFound or Refused."""
    found = browse(place)
    names = {_name(place.queue, found, word) for word in ids}
    return [parked for parked in found if parked.name in names]


def chosen(place: Place, ids: Sequence[str] | None, wanted: Wanted) -> list[Parked]:
    """The named messages, or all that the filters select."""
    return named(place, ids) if ids else [parked for parked in browse(place) if wanted.takes(parked)]


def browse(place: Place) -> list[Parked]:
    """All messages, oldest first."""
    with terminal.working(f"reading {place.queue}"):
        return place.browse()


def _name(queue: str, found: Sequence[Parked], word: str) -> str:
    names = list(dict.fromkeys(parked.name for parked in found))
    if word in names:
        return word
    if word.isdecimal() and 1 <= int(word) <= len(found) < 10 ** (_SHORT - 1):
        return _numbered(found)[int(word) - 1].name
    fitting = [name for name in names if len(word) >= _SHORT and (name.startswith(word) or name.endswith(word))]
    if len(fitting) > 1:
        raise Refused(f"{word} matches {count(len(fitting), 'message')} in {queue}; give more of the id")
    if not fitting:
        raise NotFound(f"no message {word} in {queue}; see `sitecrew parked list`")
    return fitting[0]


def _numbered(found: Sequence[Parked]) -> list[Parked]:
    """In the order of the list's numbers, which are the same each time: many messages are parked in the same second."""
    return sorted(found, key=lambda parked: (parked.since, parked.name))


def looking(ctx: typer.Context, queue: str) -> AbstractContextManager[Place]:
    """Open a queue. Raises NotFound if the broker has none of this name."""
    if queue not in (PARKING, UNROUTED):
        raise typer.BadParameter(f"--queue: {not_among(queue, (PARKING, UNROUTED))}", ctx=ctx)
    return office_of(ctx).parked(queue)


def require_choice(ctx: typer.Context, ids: Sequence[str] | None, wanted: Wanted, *, every: bool) -> None:
    if bool(ids) == (every or wanted.given):
        raise typer.BadParameter("name the messages, or select them with --code, --order, --since or --all", ctx=ctx)


def show(place: Place, wanted: Wanted, limit: int, *, json: bool) -> None:
    """The list."""
    everything = browse(place)
    found = [parked for parked in everything if wanted.takes(parked)]
    if json:
        terminal.document([parked.record() for parked in found[:limit]])
        return
    if found:
        rows = [(number, parked) for number, parked in enumerate(_numbered(everything), 1) if wanted.takes(parked)]
        _table(rows[:limit]).show()
    fitting = f", {len(found)} of them match" if wanted.given else ""
    terminal.note(
        f"{len(everything)} in {place.queue}{fitting}" + (f"; only the first {limit} are shown" * (len(found) > limit))
    )


def show_one(parked: Parked, *, json: bool) -> None:
    """Everything about one message, with secrets masked."""
    body, record = payloads.shown(parked.delivery.body), parked.record()
    if json:
        terminal.document({**record, "body": {"kind": body.kind, "text": body.text, "cut": body.cut}})
        return
    now = session.now()
    headers = [(f"header {key}", str(value)) for key, value in record["headers"].items() if key not in _OURS]
    told = [(label, str(record[key] or "")) for key, label in _LABELS.items()]
    first = times.both(parked.first_at, now) if parked.times > 1 else ""
    since = [("parked", times.both(parked.at, now)), ("first parked", first)]
    pairs([("id", parked.name), *since, *told, *headers])
    terminal.out(f"\nbody ({body.size} bytes{', as hex' if body.kind == 'hex' else ''}):", style="bold")
    for line in body.text.splitlines():
        terminal.out(terminal.printable(line))
    if body.cut:
        terminal.note("the rest of the body is not shown")


_LABELS = {
    "order_id": "order",
    "by": "by",
    "came_from": "from queue",
    "code": "code",
    "reason": "reason",
    "remedy": "remedy",
    "field": "field",
    "times_parked": "times parked",
    "sent_by": "sent by",
    "message_id": "original id",
    "type": "type",
    "content_type": "content type",
}
_OURS = (
    *("parked-at", "parked-by", "parked-from", "reason-code", "reason", "remedy", "field", "sent-by"),
    *("original-message-id", "first-parked-at", "times-parked"),
)


def rehearse(chosen: Sequence[Parked], verb: str, *, json: bool) -> None:
    """Show what would be done."""
    if json:
        terminal.document([parked.record() for parked in chosen])
    elif chosen:
        _table(list(enumerate(chosen, 1))).show()
    terminal.note(f"would {verb} {count(len(chosen), 'message')}; nothing was done")


def requeue(place: Place, chosen: Sequence[Parked], *, json: bool) -> None:
    """Requeue the messages. Raises Refused, after the others, for those whose queue is unknown."""
    going = [parked for parked in chosen if parked.can_go_back]
    with terminal.working(f"requeueing {count(len(going), 'message')}") as say:
        results = []
        for result in place.requeue(going):
            results.append(result)
            say(f"{len(results)} of {len(going)} requeued")
    if json:
        terminal.document([{"id": p.name, "to": p.came_from, "outcome": outcome} for p, outcome in results])
    for parked, outcome in results if not json else ():
        if outcome == Confirmation.CONFIRMED:
            terminal.out(f"{parked.name}  {parked.came_from}")
    require_confirmed([outcome for _, outcome in results])
    if strays := [parked.name for parked in chosen if not parked.can_go_back]:
        raise Refused(f"the queue these came from is unknown: {', '.join(strays)}; see `sitecrew parked show ID`")
    if not chosen:
        terminal.note("no such message")


def purge(ctx: typer.Context, place: Place, chosen: Sequence[Parked], *, yes: bool, json: bool) -> None:
    """Delete the messages, after a prompt."""
    if not yes and not everywhere.may_ask(ctx):
        raise typer.BadParameter("there is no terminal to prompt on; pass --yes to delete without a prompt", ctx=ctx)
    names = [parked.name for parked in chosen]
    if not yes:
        for parked in chosen[:_TOLD]:
            of_order = f" (order {parked.order_id})" if parked.order_id else ""
            terminal.warn(f"{parked.name}{of_order}: {parked.code or 'no code'}: {parked.reason}")
        if len(chosen) > _TOLD:
            terminal.warn(f"and {len(chosen) - _TOLD} more")
        typer.confirm(f"Permanently delete {count(len(names), 'message')}?", abort=True, err=True)
    with terminal.working(f"deleting {count(len(names), 'message')}"):
        removed = place.purge(chosen)
    if json:
        terminal.document(removed)
    for name in removed if not json else ():
        terminal.out(name)
    if len(removed) < len(names):
        terminal.warn(f"{count(len(names) - len(removed), 'message')} had already been taken by someone else")


def _table(found: Sequence[tuple[int, Parked]]) -> Table:
    now = session.now()
    rows = [
        (
            str(number),
            parked.name[-8:] if terminal.on_terminal() else parked.name,
            parked.order_id or "-",
            parked.type or "-",
            parked.came_from or "-",
            parked.code or "-",
            times.span((now - parked.at).total_seconds()) if parked.at else "-",
            f"{parked.sent_by}{_again(parked, now)}",
            parked.reason,
            parked.remedy,
        )
        for number, parked in found
    ]
    return Table(("NO", "ID", "ORDER", "TYPE", "FROM", "CODE", "AGE"), rows, beneath=("SENDER", "REASON", "REMEDY"))


def _again(parked: Parked, now: datetime) -> str:
    """How often the message was parked before."""
    since = f", first {times.relative(parked.first_at, now)}" if parked.first_at else ""
    return f" (parked {parked.times} times{since})" if parked.times > 1 else ""
