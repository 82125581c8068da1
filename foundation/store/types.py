"""Column types that behave the same on every database."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from sqlalchemy import BigInteger, DateTime, Dialect, MetaData, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from schemas.values import KEPT, as_json

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables of all services; each service's migrations create only its own."""

_REMEMBERED = 512
"""How many times, and documents of each column, are cached: most are those of the last moments."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Utc(TypeDecorator[datetime]):
    """A point in time: timezone-aware, read back in UTC. Stored as `timestamptz` on PostgreSQL and as microseconds
    since 1970 on SQLite, where an integer is compared and read many times faster than text."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True))

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        return _microseconds if dialect.name == "sqlite" else _in_utc

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return _from_microseconds if dialect.name == "sqlite" else _in_utc


@lru_cache(_REMEMBERED)
def _microseconds(value: datetime | None) -> int | None:
    return (value - _EPOCH) // _MICROSECOND if value is not None else None


@lru_cache(_REMEMBERED)
def _from_microseconds(value: int | None) -> datetime | None:
    return _EPOCH + timedelta(microseconds=value) if value is not None else None


def _in_utc(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC) if value is not None else None


def Bytewise(length: int) -> String:  # noqa: N802  # a column type, used like the others
    """Text that is compared byte by byte, whatever the database's locale."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class Word(TypeDecorator[StrEnum]):
    """A member of a StrEnum, stored as text of at most 16 characters."""

    impl = String(16)
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def bind_processor(self, dialect: Dialect) -> None:
        """A member is text already."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], StrEnum | None]:
        words: dict[str | None, StrEnum | None] = {word.value: word for word in self.words}
        return {**words, None: None}.__getitem__


class PydanticJson(TypeDecorator[BaseModel]):
    """A frozen pydantic model, stored as JSON text. Documents that today's validation would reject can still be
    read."""

    impl = Text
    cache_ok = True

    def __init__(self, model: type[BaseModel]) -> None:
        super().__init__()
        self.model = model
        self._known: OrderedDict[str, BaseModel] = OrderedDict()

    def bind_processor(self, dialect: Dialect) -> Callable[[BaseModel | None], str | None]:
        return self._text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], BaseModel | None]:
        return self._document

    def _text(self, value: BaseModel | None) -> str | None:
        if value is None:
            return None
        text = as_json(value).decode()
        self._remember(text, value)
        return text

    def _document(self, value: str | None) -> BaseModel | None:
        if value is None:
            return None
        known = self._known.get(value)
        if known is None:
            known = self.model.model_validate_json(value, context=KEPT)
            self._remember(value, known)
        return known

    def _remember(self, text: str, model: BaseModel) -> None:
        self._known[text] = model
        while len(self._known) > _REMEMBERED:
            try:
                self._known.popitem(last=False)
            except KeyError:  # another thread was faster
                return
