"""Alerts: what staff were told of, from when it begins until they were told that it is over.

Each look compares what is wrong with the table, in one transaction with the events that tell of the difference and with
the command to write an email, so that none of it is lost or told twice, whichever replica looks.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Integer, String, Table, delete, select

from foundation.config.settings import Settings
from foundation.handling.unit_of_work import UnitOfWork
from foundation.store import PydanticJson, Utc, bulk
from foundation.store.records import lock
from foundation.store.types import Word, metadata
from schemas.alerts import MOST, AlertRaised, AlertRecovered, MailAlerts
from services.api.alerts.troubles import troubles
from services.api.projection import rebuilding

KEPT = timedelta(days=30)
"""How long an alert that is over is kept."""
LATELY = timedelta(days=1)
"""How long one that is over is shown."""


class State(StrEnum):
    """Of an alert."""

    OPEN = "open"
    RECOVERED = "recovered"
    """An email has told of it, and none yet that it is over."""
    CLOSED = "closed"


alerts = Table(
    "alerts",
    metadata,
    Column("kind", String(200), primary_key=True),
    Column("subject", String(200), primary_key=True),
    Column("state", Word(State), nullable=False),
    Column("told", Integer, nullable=False),
    Column("told_at", Utc),
    Column("changed_at", Utc, nullable=False),
    Column("about", PydanticJson(AlertRaised), nullable=False),
)


class Alert(NamedTuple):
    """A row of the table."""

    kind: str
    subject: str
    state: State
    told: int
    """How many it concerned when an email told of it; 0 if none has."""
    told_at: datetime | None
    """When an email last told of it."""
    changed_at: datetime
    """When it was raised, has changed, or was over."""
    about: AlertRaised

    @classmethod
    def all(cls, connection: Connection) -> dict[tuple[str, str], "Alert"]:
        """Return all alerts by kind and subject."""
        return {(row.kind, row.subject): cls(*row) for row in connection.execute(select(alerts))}

    @classmethod
    def of_late(cls, connection: Connection, now: datetime) -> list["Alert"]:
        """Return those that are raised, the oldest first, then those that were over within a day, the latest first."""
        found = cls.all(connection).values()
        raised = sorted((one for one in found if one.is_raised), key=lambda one: one.about.since)
        over = [one for one in found if not one.is_raised and one.changed_at > now - LATELY]
        return raised + sorted(over, key=lambda one: one.changed_at, reverse=True)

    @property
    def is_raised(self) -> bool:
        """Whether it lasts."""
        return self.state == State.OPEN

    @property
    def is_news(self) -> bool:
        """Whether an email should tell of it: it is new, has grown, or is over."""
        return self.state == State.RECOVERED or (self.state == State.OPEN and self.about.number > self.told)


def look(uow: UnitOfWork[Any], settings: Settings) -> None:
    """Compare what is wrong now with what is known; tell the difference by events, and by email if it is time. While
    the projection is rebuilt nobody can know."""
    connection, now = uow.connection, uow.now
    if rebuilding.is_under_way(connection, now):
        return
    lock(connection, ["alerts"])
    known = Alert.all(connection)
    found = {(one.kind, one.subject): one for one in troubles(connection, settings.timer, now)}
    changed = {key: _raised(uow, known.get(key), about) for key, about in found.items()}
    changed |= {key: _recovered(uow, alert) for key, alert in known.items() if key not in found}
    changed = _mailed(uow, settings, changed)
    for key, alert in changed.items():
        if alert != known.get(key):
            bulk.put(connection, alerts, alert._asdict(), dated="changed_at")
    connection.execute(delete(alerts).where(alerts.c.state == State.CLOSED, alerts.c.changed_at < now - KEPT))


def _raised(uow: UnitOfWork[Any], known: Alert | None, about: AlertRaised) -> Alert:
    if known and known.state == State.OPEN:
        same = known.about.model_copy(update={"since": about.since}) == about
        told = min(known.told, about.number)
        about = about.model_copy(update={"since": known.about.since})
        return known if same else known._replace(about=about, told=told, changed_at=uow.now)
    uow.emit(about, None)
    # One that comes back before it was said to be over has never been away for whoever reads emails.
    told = known.told if known and known.state == State.RECOVERED else 0
    return Alert(about.kind, about.subject, State.OPEN, told, known.told_at if known else None, uow.now, about)


def _recovered(uow: UnitOfWork[Any], alert: Alert) -> Alert:
    if alert.state != State.OPEN:
        return alert
    uow.emit(_over(alert), None)
    return alert._replace(state=State.RECOVERED if alert.told else State.CLOSED, changed_at=uow.now)


def _mailed(
    uow: UnitOfWork[Any], settings: Settings, known: Mapping[tuple[str, str], Alert]
) -> dict[tuple[str, str], Alert]:
    """Return the alerts as they are after an email that tells what is new; as they were if it is not time for one."""
    last = max((alert.told_at for alert in known.values() if alert.told_at), default=None)
    news = [alert for alert in known.values() if alert.is_news]
    if not news or (last and uow.now - last < timedelta(minutes=settings.alerts.every_minutes)):
        return dict(known)
    if settings.alerts.to:
        uow.emit(_email(news, settings), None)
    return {key: _told(alert, uow.now) if alert.is_news else alert for key, alert in known.items()}


def _told(alert: Alert, now: datetime) -> Alert:
    state = State.OPEN if alert.is_raised else State.CLOSED
    return alert._replace(state=state, told=alert.about.number, told_at=now)


def _email(news: Sequence[Alert], settings: Settings) -> MailAlerts:
    begun = sorted((alert.about for alert in news if alert.state == State.OPEN), key=lambda about: about.since)
    over = [_over(alert) for alert in news if alert.state == State.RECOVERED]
    return MailAlerts(
        raised=tuple(begun[:MOST]),
        recovered=tuple(over[:MOST]),
        more=max(0, len(begun) - MOST) + max(0, len(over) - MOST),
        console_url=str(settings.api.public_url) if settings.api.public_url else None,
    )


def _over(alert: Alert) -> AlertRecovered:
    about = alert.about
    return AlertRecovered(kind=about.kind, subject=about.subject, headline=about.headline, since=about.since)
