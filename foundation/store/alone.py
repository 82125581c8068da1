"""Transactions that must not overlap, because each looks at rows that the other is about to insert."""

from sqlalchemy import Connection, text


def alone(connection: Connection, what: str) -> None:
    """Wait until no other transaction is alone with the same; then be, to this transaction's end. On SQLite every
    transaction that writes is alone with the whole database."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))"), {"what": what})
