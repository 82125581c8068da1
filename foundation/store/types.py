"""Column types that mean the same on every database."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy import DateTime, Dialect, MetaData, String, Text
from sqlalchemy.types import TypeDecorator

from schemas.values import KEPT

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables of all services; each service's migrations create its own."""


class Utc(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on both sides. SQLite keeps no zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def Bytewise(length: int) -> String:  # noqa: N802  # a column type, used like the others
    """Text that is compared byte by byte, whatever language the database speaks."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Kept(TypeDecorator[BaseModel]):
    """A pydantic model, kept as its JSON text. One row that today's rules would not let in hides no other."""

    impl = Text
    cache_ok = True

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__()
        self.model = model

    def process_bind_param(self, value: BaseModel | None, dialect: Dialect) -> str | None:
        return value.model_dump_json(exclude_none=True) if value is not None else None

    def process_result_value(self, value: Any | None, dialect: Dialect) -> BaseModel | None:
        return self.model.model_validate_json(value, context=KEPT) if value is not None else None
