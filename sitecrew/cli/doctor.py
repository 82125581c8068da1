"""`sitecrew doctor`: checks everything that Sitecrew needs."""

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from sitecrew.cli.help import examples, noun

if TYPE_CHECKING:
    from sitecrew.cli.checks.findings import Finding

app = noun()

_INDENT = 30
_RESULTS = {
    "ok": ("ok    ", "green"),
    "note": ("note  ", "yellow"),
    "skipped": ("-     ", "dim"),
    "failed": ("FAILED", "bold red"),
}


@app.command(
    epilog=examples(
        "sitecrew doctor", "sitecrew doctor --install", "sitecrew doctor --json | jq '.[] | select(.ok | not)'"
    )
)
def doctor(
    ctx: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    install: Annotated[
        bool, typer.Option("--install", help="Also install a trial site of each type, and remove it.")
    ] = False,
) -> None:
    """Check settings, keys, broker, services, databases, servers, site installers, SMTP and templates."""
    from sitecrew.cli.checks import worst
    from sitecrew.cli.output import terminal

    findings = []
    for finding in _findings(ctx, install=install):
        findings.append(finding)
        if not json:
            _show(finding)
    if json:
        names = ("name", "ok", "result", "detail", "remedy")
        terminal.document([{name: asdict(finding)[name] for name in names} for finding in findings])
    looked_at = [finding for finding in findings if finding.result != "skipped"]
    failed = sum(not finding.ok for finding in looked_at)
    skipped = f"; {len(findings) - len(looked_at)} skipped" if len(findings) > len(looked_at) else ""
    terminal.note(f"{len(looked_at) - failed} of {len(looked_at)} checks passed{skipped}")
    if code := worst(findings):
        raise typer.Exit(code)


def _findings(ctx: typer.Context, *, install: bool) -> "Iterator[Finding]":
    from foundation.errors import ConfigurationError
    from sitecrew.cli.checks import all_of
    from sitecrew.cli.checks.findings import Finding, examine
    from sitecrew.cli.client import session
    from sitecrew.cli.output import terminal

    try:
        settings = session.settings_of(ctx)
    except ConfigurationError as error:
        remedy = "correct it; `sitecrew config show --defaults` lists all settings"
        yield Finding("settings", False, str(error), remedy, error.exit_code, "failed")
        return
    yield Finding("settings", True, "are valid")
    ill: set[str] = set()
    exposed = session.exposed_of(ctx, settings)
    with session.broker(settings) as broker:
        for check in all_of(settings, broker, install=install, exposed=exposed):
            with terminal.working(f"checking {check.name}"):
                finding = examine(check, ill)
            yield finding


def _show(finding: "Finding") -> None:
    """Print one line, or on a terminal as many as the sentence needs."""
    from rich.text import Text

    from sitecrew.cli.output import terminal

    result = _RESULTS[finding.result]
    sentence = finding.detail + (f". What to do: {finding.remedy}" if finding.remedy else "")
    room = max(terminal.width() - _INDENT, 30) if terminal.on_terminal() else len(sentence) + 1
    first, *rest = textwrap.wrap(terminal.printable(sentence), room) or [""]
    terminal.out(Text.assemble(result, "  ", finding.name.ljust(_INDENT - 8), first))
    for line in rest:
        terminal.out(" " * _INDENT + line)
