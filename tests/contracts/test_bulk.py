"""Rows of every kind of column, written by one statement, come back as they were."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table, Text, select
from sqlalchemy.exc import DataError, IntegrityError

from foundation.store import PydanticJson, Store, Utc, bulk
from foundation.store.types import Bytewise, Word
from schemas.values import Customer
from tests.support.postgres import holding

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EAST = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))


class Colour(StrEnum):
    RED = "red"
    BLUE = "light blue"


metadata = MetaData()
things = Table(
    "things",
    metadata,
    Column("key", Bytewise(20), primary_key=True),
    Column("word", Word(Colour)),
    Column("text", Text),
    Column("name", String(5)),
    Column("flag", Boolean),
    Column("number", Integer),
    Column("large", BigInteger),
    Column("at", Utc),
    Column("customer", PydanticJson(Customer)),
    Column("headers", JSON),
    Column("body", LargeBinary),
)
FIELDS = tuple(things.c.keys())
WITHOUT_KEY = FIELDS[1:]
GIVEN: dict[str, list[Any]] = {
    "word": list(Colour),
    "text": ["", "{}", '{"a",NULL}', "NULL", 'a\\"b\n\t', "žluťoučký 🐎"],
    "name": ["five5", ""],
    "flag": [True, False],
    "number": [0, -1, 200, 40_000, 2**31 - 1, -(2**31)],
    "large": [1, 2**63 - 1, -(2**63)],
    "at": [NOON, EAST, NOON + timedelta(microseconds=1), datetime(9999, 12, 31, tzinfo=UTC)],
    "customer": [Customer(name="Zoë", email="zoe@customer.example")],
    "headers": [{}, {"a": 'b"\\', "n": 1}],
    "body": [b"", bytes(range(256)), b"\\x00"],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with holding(metadata, request, tmp_path) as opened:
        yield opened


def row(key: str, **values: Any) -> tuple[Any, ...]:
    return tuple({**dict.fromkeys(FIELDS), **values, "key": key}.values())


def kept(store: Store) -> list[tuple[Any, ...]]:
    with store.reading() as connection:
        return [tuple(found) for found in connection.execute(select(things).order_by(things.c.key))]


@pytest.mark.parametrize("name", WITHOUT_KEY)
def test_a_column_keeps_its_values_and_what_is_missing(store: Store, name: str) -> None:
    """Whichever value comes first: an array is sent as what its values have in common."""
    values = [None, *GIVEN[name]]
    orders = [[None], [*values], [*reversed(values)], *([*pair] for pair in permutations(values[:3], 2))]
    for number, order in enumerate(orders):
        rows = [row(f"{number}-{place}", **{name: value}) for place, value in enumerate(order)]
        with store.transaction() as connection:
            connection.execute(things.delete())
            bulk.add(connection, things, FIELDS, rows)
        assert kept(store) == rows
        with store.transaction() as connection:
            turned = [(value, written[0]) for value, written in zip(reversed(order), rows, strict=True)]
            bulk.change(connection, things, (name, "key"), turned)
        assert [found[FIELDS.index(name)] for found in kept(store)] == [*reversed(order)]


def test_rows_are_written_in_their_order_or_left_out_where_they_are(store: Store) -> None:
    with store.transaction() as connection:
        bulk.add(connection, things, FIELDS, [row("b", number=1)])
    again = [row("c", number=3), row("b", number=2), row("a", number=4)]
    with store.transaction() as connection:
        bulk.add(connection, things, FIELDS, again, unless_there=True)
    assert [(found[0], found[5]) for found in kept(store)] == [("a", 4), ("b", 1), ("c", 3)]
    with pytest.raises(IntegrityError), store.transaction() as connection:
        bulk.add(connection, things, FIELDS, again)


def test_text_that_is_too_long_is_refused_and_not_cut(store: Store) -> None:
    """SQLite knows no lengths."""
    if store.is_sqlite:
        return
    with store.transaction() as connection:
        bulk.add(connection, things, FIELDS, [row("there")])
    with pytest.raises(DataError, match="too long"), store.transaction() as connection:
        bulk.add(connection, things, FIELDS, [row("new", name="sixsix")])
    with pytest.raises(DataError, match="too long"), store.transaction() as connection:
        bulk.change(connection, things, ("name", "key"), [("sixsix", "there")])
    assert kept(store) == [row("there")]
