"""Translate database exceptions: the database is unusable, another transaction was in the way, or we made a mistake.

Unless an error is known to be our mistake, it counts as an unusable database: a failover, a full disk or a pooler
in between must neither park a message nor end a service.
"""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from foundation.errors import StoreConflict, StoreUnreachable

_OURS = (IntegrityError, DataError, ProgrammingError)

_NOT_OURS_CLASSES = ("08", "25", "26", "28", "3D", "3F", "40", "53", "55", "57", "58", "XX")
_NOT_OURS = {
    "42P05": "a pooler gave us another client's session: remove prepare_threshold from store_url",
    "26000": "a pooler gave us another client's session: remove prepare_threshold from store_url",
    "42501": "its role may not; if a table is missing or old, run `sitecrew store migrate` as their owner",
    "42P01": "it belongs to another service or another version of Sitecrew",
    "42703": "it belongs to another service or another version of Sitecrew",
    "25006": "it is read-only, like a standby server",
}
"""Errors that psycopg takes for programming errors although the database is at fault, with an explanation where the
server's own message gives none (PostgreSQL documentation, appendix A)."""

_CONFLICTS = ("40P01", "40001")
_BUSY = ("55P03", "locked", "busy")


def translated(error: DBAPIError | PoolTimeout, place: str) -> StoreUnreachable | None:
    """Return the exception to raise instead; None if the mistake is ours and must surface unchanged."""
    state = _state(error)
    if state in _CONFLICTS:
        return StoreConflict(f"the database {place} rolled back a conflicting transaction: {_reason(error)}")
    known = state in _NOT_OURS or state[:2] in _NOT_OURS_CLASSES
    if isinstance(error, _OURS) and not known:
        return None
    meaning = f" ({_NOT_OURS[state]})" if state in _NOT_OURS else ""
    return StoreUnreachable(f"cannot use the database {place}: {_reason(error)}{meaning}")


def invalidates_connections(error: DBAPIError | PoolTimeout) -> bool:
    """Whether open connections may have become useless: the server is now a standby, or the file was replaced."""
    busy = isinstance(error, PoolTimeout) or any(sign in f"{_state(error)} {_reason(error)}" for sign in _BUSY)
    return not busy and _state(error) not in _CONFLICTS


def _state(error: SQLAlchemyError) -> str:
    """Return the SQLSTATE; empty for SQLite, which has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _reason(error: SQLAlchemyError) -> str:
    """Return the driver's message, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().split("\n")[0] or type(cause).__name__
