"""Browsers in which somebody has signed in before (OWASP: device cookies). Their cookie gives no access; it only keeps
others, who fail with that name elsewhere, from locking its owner out."""

import hmac
import secrets
from datetime import timedelta

from sqlalchemy import Connection

from services.api.access import staff

KEPT = timedelta(days=180)


def mark(connection: Connection, name: str) -> str:
    """Return the cookie for a browser in which a member has signed in. It ends with the member's password."""
    number = secrets.token_urlsafe(16)
    return f"{number}.{_proof(staff.kept_password(connection, name) or '', number)}"


def known(connection: Connection, name: str, cookie: str) -> str | None:
    """Return what a browser is counted by; None if nobody of this name has signed in there."""
    number, _, proof = cookie[:200].partition(".")
    kept = staff.kept_password(connection, name) if proof else None
    is_genuine = kept is not None and hmac.compare_digest(_proof(kept, number).encode(), proof.encode())
    return f"browser {number}" if is_genuine else None


def _proof(kept: str, number: str) -> str:
    return hmac.new(kept.encode(), f"browser {number}".encode(), "sha256").hexdigest()
