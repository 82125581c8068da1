"""Keep transactions from overlapping where each depends on rows that the other is about to insert."""

from sqlalchemy import Connection, text


def alone(connection: Connection, what: str) -> None:
    """Take an exclusive lock on a name until the transaction ends, waiting for whoever holds it. On SQLite it does
    nothing: a writing transaction has the whole database to itself anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": what})
