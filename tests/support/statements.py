"""Record the statements that a database executes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from foundation.handling.unit_of_work import Database


@contextmanager
def statements(database: Database[Any]) -> Iterator[list[str]]:
    """Record the statements executed within the block."""
    executed: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        executed.append(statement)

    event.listen(database.store.engine, "before_cursor_execute", note)
    yield executed
    event.remove(database.store.engine, "before_cursor_execute", note)
