"""What needs staff just now, in groups: one of many that failed for one reason is no news of its own."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from foundation.config.settings import Timer
from schemas.alerts import AlertRaised
from services.api.finding import needs
from services.api.finding.needs import Need
from services.api.parked.messages import ParkedGroup, ParkedMessage
from services.api.projection.views import INSTALL, LETTER, ORDER
from services.api.projection.workers import Replica

UNSEEN = timedelta(minutes=15)
"""How long a message may be parked before it counts as one that nobody looks at."""
_LATE = timedelta(minutes=1)
"""How late a batch may be, beyond what its settings allow."""
_KINDS = {ORDER: "account", INSTALL: "install", LETTER: "email"}


def troubles(connection: Connection, timer: Timer, now: datetime) -> Iterator[AlertRaised]:
    """Yield what needs staff: everything that has failed for good, parked messages, a batch that has not begun, and
    servers on which none begins because of their failures."""
    yield from map(_failed, needs.needs(connection))
    yield from (_parked(group) for group in ParkedMessage.groups(connection) if group.since <= now - UNSEEN)
    replicas = Replica.all(connection)
    yield from _missed(replicas, timer, now)
    yield from _failing(replicas)


def _failed(need: Need) -> AlertRaised:
    kind, code, place = _KINDS[need.of], need.code or "unknown", f" on {need.server}" if need.server else ""
    return AlertRaised(
        kind=kind,
        subject=f"{code}{place}"[:200],
        headline=f"{_counted(need.count, kind)}{place} failed: {code}"[:200],
        since=need.since,
        number=need.count,
        detail=need.cause.detail if need.cause else None,
        remedy=need.cause.remedy if need.cause else None,
        command=_command(need),
    )


def _command(need: Need) -> str | None:
    """Return the command that has all of the group tried again, where the cause is removed."""
    only = need.first[0] if need.count == 1 and need.first else None
    of_cause = f"--cause {need.code}" if need.code else ""
    if need.of == LETTER:
        return f"sitecrew mail resend {only.install_id if only else of_cause}".strip()
    on_server = f"{of_cause} --server {need.server}" if need.server else of_cause
    if need.of == ORDER:
        return f"sitecrew order retry {only.order_id if only else on_server}".strip()
    return f"sitecrew install retry {only.install_id if only else on_server}".strip()


def _parked(group: ParkedGroup) -> AlertRaised:
    code, verb = group.code or "unknown", "waits" if group.number == 1 else "wait"
    return AlertRaised(
        kind="message",
        subject=f"{code} from {group.place}"[:200],
        headline=f"{_counted(group.number, 'parked message')} from {group.place} {verb}: {code}"[:200],
        since=group.since,
        number=group.number,
        remedy="See what is wrong with it and who sent it, then requeue or purge it.",
        command="sitecrew parked list" + (f" --code {group.code}" if group.code else ""),
    )


def _missed(replicas: Sequence[Replica], timer: Timer, now: datetime) -> Iterator[AlertRaised]:
    """Yield that no batch has begun where one was due. A replica says which tick it waits for until its batch is
    over."""
    installers = [one.told for one in replicas if one.told.next_tick]
    if not installers or any(told.paused_since for told in installers):
        return
    due = max(told.next_tick for told in installers if told.next_tick)
    if now - due <= timedelta(seconds=timer.jitter_seconds + timer.budget_seconds) + _LATE:
        return
    yield AlertRaised(
        kind="timer",
        subject="installer",
        headline=f"No batch of installs has run since the tick of {due:%Y-%m-%d %H:%M} UTC",
        since=due,
        number=1,
        detail="No replica of the installer has said that it waits for a later tick.",
        remedy="Start the installer, or look at its log if it runs: staged installs wait for it.",
        command="sitecrew status",
    )


def _failing(replicas: Sequence[Replica]) -> Iterator[AlertRaised]:
    """Yield the servers that have failed again and again, as whoever was heard last says. One that staff have paused
    is no news to them."""
    heard = sorted(replicas, key=lambda one: one.seen_at)
    for name, stands in {it.name: it for one in heard for it in one.told.servers or ()}.items():
        if stands.state in ("open", "half-open") and stands.since:
            why = f": {stands.cause.code}" if stands.cause else ""
            yield AlertRaised(
                kind="server",
                subject=name,
                headline=f"No installs begin on {name}, which fails again and again{why}"[:200],
                since=stands.since,
                number=1,
                detail=stands.cause.detail if stands.cause else None,
                remedy=stands.cause.remedy if stands.cause else None,
                command=f"sitecrew server show {name}"[:200],
            )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
