"""`sitecrew audit`: whether everything fits together."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from sitecrew.cli.help import examples, noun
from sitecrew.cli.listings.filters import Json

if TYPE_CHECKING:
    from sitecrew.audit import Violation
    from sitecrew.audit.whole import WholeAudit

app = noun()

_Found = dict[str, list["Violation"]]


@app.command(epilog=examples("sitecrew audit", "sitecrew audit --servers --json | jq '.violations[].remedy'"))
def audit(
    ctx: typer.Context,
    grace: Annotated[
        float, typer.Option(metavar="SECONDS", help="What happened more recently may be on its way.", min=0)
    ] = 60,
    servers: Annotated[
        bool, typer.Option("--servers", help="Also look at what stands on the hosting servers.")
    ] = False,
    limit: Annotated[int, typer.Option(metavar="N", help="Show up to so many of each kind.", min=1)] = 20,
    json: Json = False,
) -> None:
    """Check that orders, installs, emails and the console's view of them fit together; change nothing. Exit code 1 if
    something is wrong; 3 or 4 if something could not be checked."""
    from datetime import timedelta

    from sitecrew.audit.whole import WholeAudit
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    settings, counts, shown = session.settings_of(ctx), Counter[str](), _Found()
    with session.broker(settings) as broker, terminal.working("auditing") as say:
        whole = WholeAudit(settings, broker, timedelta(seconds=grace), servers=servers)
        for violation in whole.run():
            counts[violation.code] += 1
            if counts[violation.code] <= limit:
                shown.setdefault(violation.code, []).append(violation)
            say(f"auditing: {whole.checked['orders']} orders so far, {counts.total()} violations")
    if json:
        _document(whole, counts, shown)
    else:
        _show(counts, shown)
    for note in whole.notes:
        terminal.note(note)
    for unchecked in whole.unchecked:
        terminal.warn(f"could not check {unchecked.what}: {unchecked.error}")
    _sum_up(whole, counts.total())
    if counts or whole.unchecked:
        raise typer.Exit(1 if counts else max(unchecked.error.exit_code for unchecked in whole.unchecked))


def _document(whole: "WholeAudit", counts: Counter[str], shown: _Found) -> None:
    from sitecrew.cli.output import terminal

    names = ("code", "subject", "detail", "means", "remedy")
    terminal.document(
        {
            "checked": {kind: whole.checked[kind] for kind in _CHECKED},
            "counts": counts,
            "violations": [{name: getattr(one, name) for name in names} for found in shown.values() for one in found],
            "notes": whole.notes,
            "not_checked": [{"what": one.what, "reason": str(one.error)} for one in whole.unchecked],
        }
    )


def _show(counts: Counter[str], shown: _Found) -> None:
    from sitecrew.cli.output import terminal

    for code, found in shown.items():
        terminal.out(f"{code} ({counts[code]}): {found[0].means}", style="bold")
        for one in found:
            terminal.out(terminal.printable(f"  {one.subject}: {one.detail}"))
            terminal.out(terminal.printable(f"    {one.remedy}"))
        if more := counts[code] - len(found):
            terminal.out(f"  and {more} more")
        terminal.out()


def _sum_up(whole: "WholeAudit", violations: int) -> None:
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.words import count

    checked = ", ".join(count(whole.checked[kind], kind.removesuffix("s")) for kind in _CHECKED)
    incomplete = " as far as it could be checked" if whole.unchecked else ""
    found = count(violations, "violation") if violations else f"nothing wrong{incomplete}"
    terminal.note(f"audit: {checked} checked: {found}")


_CHECKED = ("orders", "installs", "mails")
