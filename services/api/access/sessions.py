"""Sign-ins to the console. The cookie holds a random id; only its hash is kept."""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, delete, select, update

from services.api.access.identity import Identity
from services.api.access.tables import sessions, staff
from services.api.access.tokens import digest

IDLE = timedelta(hours=2)
"""How long nobody may do anything before a session ends."""
_NOTED = timedelta(minutes=1)
"""How exactly the time of the last request is noted."""


def begin(connection: Connection, name: str, now: datetime, hours: float) -> str:
    """Sign somebody in, for so many hours at most; return the session's id, which is new."""
    id = secrets.token_urlsafe(32)
    row = {"digest": digest(id), "name": name, "created_at": now, "seen_at": now}
    connection.execute(sessions.insert().values(**row, expires_at=now + timedelta(hours=hours)))
    return id


def find(connection: Connection, id: str, now: datetime) -> Identity | None:
    """Return who is signed in; None if the session has ended, or the member was disabled."""
    found = (
        select(staff.c.name, staff.c.role)
        .join(sessions, sessions.c.name == staff.c.name)
        .where(sessions.c.digest == digest(id), sessions.c.expires_at > now, sessions.c.seen_at > now - IDLE)
        .where(staff.c.disabled.is_(False))
    )
    row = connection.execute(found).first()
    return Identity(name=row.name, authtype="user", role=row.role) if row else None


def is_stale(connection: Connection, id: str, now: datetime) -> bool:
    """Return whether the time of the last request is to be noted again."""
    seen_at = connection.execute(select(sessions.c.seen_at).where(sessions.c.digest == digest(id))).scalar()
    return seen_at is not None and seen_at < now - _NOTED


def touch(connection: Connection, id: str, now: datetime) -> None:
    """Note that its owner does something."""
    connection.execute(update(sessions).where(sessions.c.digest == digest(id)).values(seen_at=now))


def end(connection: Connection, id: str) -> None:
    """Sign out here."""
    connection.execute(delete(sessions).where(sessions.c.digest == digest(id)))


def end_all(connection: Connection, name: str) -> None:
    """Sign out everywhere."""
    connection.execute(delete(sessions).where(sessions.c.name == name))


def forget_old(connection: Connection, now: datetime) -> None:
    """Remove sessions that have ended by themselves."""
    connection.execute(delete(sessions).where((sessions.c.expires_at < now) | (sessions.c.seen_at < now - IDLE)))


def form_token(id: str) -> str:
    """Return what every form of a session must bear. Nobody can know it who does not know the session's id."""
    return sha256(f"form {id}".encode()).hexdigest()
