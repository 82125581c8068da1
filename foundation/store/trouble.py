"""What an exception of a database means: that it is away, that others were in the way, or that we have erred.

Whatever comes out of a database while it is used counts as away, unless it is known to be a mistake of ours: a
message must not be parked, nor a service end, because of a failover, a full disk or a pooler in between.
"""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from foundation.errors import StoreConflict, StoreUnreachable

_OURS = (IntegrityError, DataError, ProgrammingError)

_NOT_OURS_CLASSES = ("08", "25", "26", "28", "3D", "3F", "40", "53", "55", "57", "58", "XX")
_NOT_OURS = {
    "42P05": "a pooler gave us another's session: leave prepare_threshold out of store_url",
    "26000": "a pooler gave us another's session: leave prepare_threshold out of store_url",
    "42501": "its user lacks a permission",
    "42P01": "it is not this service's database, or one of another version",
    "42703": "it is not this service's database, or one of another version",
    "25006": "it is read-only, as a standby is",
}
"""What psycopg takes for a programming error and is the database's; PostgreSQL documentation, appendix A. The words
are for those whose own words do not tell."""

_CONFLICTS = ("40P01", "40001")
_BUSY = ("55P03", "locked", "busy")


def of(error: DBAPIError | PoolTimeout, place: str) -> StoreUnreachable | None:
    """What to raise instead; None if the mistake is ours, which must be seen as it is."""
    state = _state(error)
    if state in _CONFLICTS:
        return StoreConflict(f"the database {place} undid a transaction that was in another's way: {_reason(error)}")
    known = state in _NOT_OURS or state[:2] in _NOT_OURS_CLASSES
    if isinstance(error, _OURS) and not known:
        return None
    meaning = f" ({_NOT_OURS[state]})" if state in _NOT_OURS else ""
    return StoreUnreachable(f"the database {place} can't be used: {_reason(error)}{meaning}")


def spoils_sessions(error: DBAPIError | PoolTimeout) -> bool:
    """Whether open connections may be of no use any more: to a server that has become a standby, to a file that was
    replaced."""
    busy = isinstance(error, PoolTimeout) or any(sign in f"{_state(error)} {_reason(error)}" for sign in _BUSY)
    return not busy and _state(error) not in _CONFLICTS


def _state(error: SQLAlchemyError) -> str:
    """The SQLSTATE, which only servers give."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _reason(error: SQLAlchemyError) -> str:
    """The driver's own words, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return str(cause).strip().split("\n")[0] or type(cause).__name__
