"""The timer's next ticks, from the running installer, or else from the settings here."""

from datetime import UTC, datetime
from itertools import islice

from foundation.clock import exact
from foundation.config.settings import Settings, Timer, zone_of
from foundation.errors import BrokerUnreachable
from schemas.services import ServiceDescribed
from sitecrew.cli.client import session
from sitecrew.cli.client.describing import describe
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import pairs
from sitecrew.cli.run import Service


def show(settings: Settings, ticks: int, timeout: float, *, json: bool) -> None:
    """Show the cron expression, time zone and ticks."""
    running = _running(settings, timeout)
    own = settings.timer
    every = (running.timer if running else None) or own.every
    zone = (running.timezone if running else None) or own.timezone
    now = session.now()
    schedule = Timer(every=every, timezone=zone)
    coming = [tick.astimezone(zone_of(zone)) for tick in islice(schedule.ticks(now), ticks)]
    known = running.next_tick if running else None
    if json:
        said = {"every": every, "timezone": zone, "installer": running.instance if running else None}
        paused = running.paused_since if running else None
        terminal.document({**said, "next_tick": known, "paused_since": paused, "ticks": coming})
        return
    pairs(
        [
            ("every", every),
            ("time zone", zone),
            ("installer", running.instance if running else "no answer; this is from the settings here"),
            ("waiting for", waiting_for(running, now)),
            ("budget", f"{own.budget_seconds:g}s per batch, {own.jitter_seconds:g}s jitter, from the settings here"),
            *((f"tick {number}", _local(tick, now)) for number, tick in enumerate(coming, 1)),
        ]
    )


def waiting_for(installer: ServiceDescribed | None, now: datetime) -> str:
    """What an installer's timer waits for; empty if none answers."""
    if installer and installer.paused_since:
        return f"`sitecrew timer resume`: paused since {times.both(installer.paused_since, now)}"
    return times.both(installer.next_tick, now) if installer else ""


def _running(settings: Settings, timeout: float) -> ServiceDescribed | None:
    try:
        with session.ready_broker(settings) as broker:
            return describe(broker, timeout, [Service.INSTALLER]).get(Service.INSTALLER)
    except BrokerUnreachable as error:
        terminal.warn(str(error))
        return None


def _local(tick: datetime, now: datetime) -> str:
    """In the timer's time zone, and in UTC if that differs."""
    if tick.utcoffset() == UTC.utcoffset(None):
        return times.both(tick, now)
    return f"{tick.isoformat(timespec='seconds', sep=' ')}, {exact(tick)} ({times.relative(tick, now)})"
