"""`sitecrew status`: what there is, what runs, and what needs attention."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from foundation.version import version
from sitecrew.cli.client import session
from sitecrew.cli.listings.ticking import waiting_for
from sitecrew.cli.office.interface import Office
from sitecrew.cli.office.seen import Need, Overview
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import pairs, sentence
from sitecrew.cli.output.words import count


def show(office: Office, timeout: float, *, json: bool) -> None:
    """Show everything. Raises BrokerUnreachable after showing the rest, StoreUnreachable if no database can be read
    either."""
    seen = office.overview(timeout)
    if json:
        terminal.document(_document(seen))
    else:
        _tell(seen, session.now())
    if seen.unreachable:
        raise seen.unreachable


def _document(seen: Overview) -> dict[str, Any]:
    return {
        "services": {name: told.record if told else None for name, told in seen.services.items()},
        "next_batch_at": seen.next_batch_at,
        "paused_since": seen.paused_since,
        **seen.counts,
        "parked": seen.parked or 0,
        "alerts": None if seen.alerts is None else [alert.record() for alert in seen.alerts],
        "needs": [asdict(need) for need in seen.needs],
    }


def _tell(seen: Overview, now: datetime) -> None:
    pairs(
        [
            *((str(name), _service(seen, name, now)) for name in seen.services),
            *((name, _sums(sums)) for name, sums in seen.counts.items()),
            ("parked", "" if seen.parked is None else str(seen.parked)),
            ("alerts", _alerts(seen, now)),
            ("next batch", waiting_for(seen.next_batch_at, seen.paused_since, now)),
        ]
    )
    if not seen.needs:
        terminal.note("nothing needs attention" + (", as far as can be seen" if seen.unreachable else ""))
        return
    terminal.out("\nneeds attention:", style="bold")
    for need in seen.needs:
        sentence(f"  {_told(need)}", 6)
        if need.remedy and terminal.on_terminal():
            sentence(f"    {need.remedy}", 4, style="dim")


def _told(need: Need) -> str:
    where = f" ({need.server})" if need.server else ""
    return f"{count(need.number, need.kind)}, {need.code or 'no reason given'}{where}: {need.command}"


def _alerts(seen: Overview, now: datetime) -> str:
    """What is raised; empty if nobody looks."""
    if seen.alerts is None:
        return ""
    raised = [
        f"{alert.headline} ({times.relative(alert.since, now)})" for alert in seen.alerts if alert.state == "raised"
    ]
    return "; ".join(raised) or "none"


def _service(seen: Overview, name: str, now: datetime) -> str:
    told = seen.services.get(name)
    if told is None:
        return "unknown: the broker is unreachable" if seen.unreachable else "does not answer"
    other = f" (this command is {version()})" if told.version != version() else ""
    return f"running since {times.both(told.started_at, now)}, {told.instance}, {told.version}{other}"


def _sums(sums: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sums.items() if number) or ("none" if sums else "unknown")
