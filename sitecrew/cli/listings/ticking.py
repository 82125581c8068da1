"""The timer's next ticks."""

from datetime import UTC, datetime

from foundation.clock import exact
from foundation.config.settings import zone_of
from sitecrew.cli.client import session
from sitecrew.cli.office.interface import Office
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import pairs


def show(office: Office, ticks: int, timeout: float, *, json: bool) -> None:
    """Show the cron expression, time zone and ticks."""
    seen = office.timer(ticks, timeout)
    coming = [tick.astimezone(zone_of(seen.timezone)) for tick in seen.ticks]
    if json:
        said = {"every": seen.every, "timezone": seen.timezone, "installer": seen.source or None}
        terminal.document({**said, "next_tick": seen.next_tick, "paused_since": seen.paused_since, "ticks": coming})
        return
    now = session.now()
    pairs(
        [
            ("every", seen.every),
            ("time zone", seen.timezone),
            ("installer", seen.source or f"no answer; this is from {seen.whose}"),
            ("waiting for", waiting_for(seen.next_tick, seen.paused_since, now)),
            ("budget", seen.budget),
            *((f"tick {number}", _local(tick, now)) for number, tick in enumerate(coming, 1)),
        ]
    )


def waiting_for(next_tick: datetime | None, paused_since: datetime | None, now: datetime) -> str:
    """What the timer waits for; empty if that is unknown."""
    if paused_since:
        return f"`sitecrew timer resume`: paused since {times.both(paused_since, now)}"
    return times.both(next_tick, now)


def _local(tick: datetime, now: datetime) -> str:
    """In the timer's time zone, and in UTC if that differs."""
    if tick.utcoffset() == UTC.utcoffset(None):
        return times.both(tick, now)
    return f"{tick.isoformat(timespec='seconds', sep=' ')}, {exact(tick)} ({times.relative(tick, now)})"
