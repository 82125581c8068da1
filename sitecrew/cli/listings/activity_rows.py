"""The activity log as it is shown."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from sitecrew.cli.office.interface import ActivityQuestion, Office
from sitecrew.cli.office.seen import LineSeen
from sitecrew.cli.output import terminal
from sitecrew.cli.output.tables import Table


def show(office: Office, question: ActivityQuestion, *, json: bool) -> None:
    """Show the log, the oldest of its lines first, so that the newest is at the prompt."""
    found = office.activity(question)[::-1]
    if json:
        terminal.document([line.record() for line in found])
    elif found:
        headers = ("WHEN", "WHAT", "ORDER", "BY")
        Table(headers, [(*_row(line), told(line, short=True)) for line in found], beneath=("DETAIL",)).show()
    else:
        terminal.note("nothing was found in the activity log")
    if len(found) == question.limit:
        terminal.note(f"only the newest {question.limit} are shown; raise --limit for more")


def follow(lines: Iterator[LineSeen], *, json: bool) -> None:
    """Show lines as they come, until Ctrl-C."""
    terminal.note("watching; stop with Ctrl-C")
    with suppress(KeyboardInterrupt):
        for line in lines:
            if json:
                terminal.line(line.record())
            else:
                when, what, about, _ = _row(line)
                terminal.out(terminal.printable(f"{when}  {what:18}  {about}  {told(line, short=True)}".rstrip()))


def told(line: LineSeen, *, short: bool = False) -> str:
    """What happened, who did it, and why; `short` leaves out what a row says already."""
    why = f"{line.cause.code}: {line.cause.detail}" if line.cause else ""
    said = "; ".join(filter(None, (line.detail, why)))
    if short:
        return said
    install = f" {line.install_id}" if line.install_id else ""
    by = f" by {line.actor}" if line.actor else ""
    return f"{line.kind}{install}{by}{said and f': {said}'}"


def _row(line: LineSeen) -> Sequence[str]:
    when = line.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return when, line.kind, line.install_id or line.order_id or "-", line.actor or line.source
