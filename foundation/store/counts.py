"""How many rows of a table there are of each kind."""

from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, func, select

StateT = TypeVar("StateT", bound=StrEnum)


def by_state(connection: Connection, column: Column[Any], states: type[StateT]) -> dict[StateT, int]:
    """How many rows are in each state, those that no row is in with 0."""
    grouped = connection.execute(select(column, func.count()).group_by(column))
    return dict.fromkeys(states, 0) | {states(state): number for state, number in grouped}
