"""API tokens: who asks, by the Authorization header."""

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection, select, update

from services.api.access.identity import Identity, Scope
from services.api.access.tables import tokens

PREFIX = "sct_"
"""By which people and secret scanners recognize a token."""
NOTED = timedelta(minutes=1)
"""How exactly the time of a token's last use is noted."""


def digest(token: str) -> str:
    """Return the hash that is kept of a token or a session. Both have 256 random bits, so a plain hash is enough."""
    return sha256(token.encode()).hexdigest()


def create(connection: Connection, name: str, source: str, scopes: Iterable[Scope], by: str, now: datetime) -> str:
    """Create a token, and return it: nobody can read it again. Raises IntegrityError if the name is taken."""
    token = PREFIX + secrets.token_urlsafe(32)
    row = {"digest": digest(token), "name": name, "source": source, "scopes": " ".join(sorted(scopes))}
    connection.execute(tokens.insert().values(**row, created_at=now, created_by=by, disabled=False))
    return token


def rotate(connection: Connection, name: str) -> str | None:
    """Replace a token, and return the new one; None if there is no such token. The old one is void at once."""
    token = PREFIX + secrets.token_urlsafe(32)
    changed = connection.execute(update(tokens).where(tokens.c.name == name).values(digest=digest(token)))
    return token if changed.rowcount else None


def disable(connection: Connection, name: str) -> bool:
    """Make a token void for good; return whether there is such a token."""
    return connection.execute(update(tokens).where(tokens.c.name == name).values(disabled=True)).rowcount > 0


def identify(connection: Connection, token: str) -> Identity | None:
    """Return whose token it is; None if it is unknown or disabled."""
    found = select(tokens).where(tokens.c.digest == digest(token), tokens.c.disabled.is_(False))
    row = connection.execute(found).first()
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row.scopes.split())
    named = {"name": row.name, "source": row.source, "credential": row.digest}
    return Identity(authtype="service_account", scopes=scopes, **named)


def is_enabled(connection: Connection, credential: str) -> bool:
    """Whether a token, given by its hash, is neither disabled nor rotated since."""
    found = select(tokens.c.name).where(tokens.c.digest == credential, tokens.c.disabled.is_(False))
    return connection.execute(found).first() is not None


def note_use(connection: Connection, token: str, now: datetime) -> None:
    """Note that a token was used, to the minute."""
    stale = (tokens.c.used_at.is_(None)) | (tokens.c.used_at < now - NOTED)
    connection.execute(update(tokens).where(tokens.c.digest == digest(token), stale).values(used_at=now))
