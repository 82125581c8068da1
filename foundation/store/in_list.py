"""Pass a list as one parameter, so that a statement is compiled once, however long the list is."""

from typing import Any

from sqlalchemy import ARRAY, JSON, Column, ColumnElement, String, any_, bindparam, func, select


def in_list(column: Column[Any], dialect: str, name: str = "wanted") -> ColumnElement[bool]:
    """Return the condition that a text column is in the list of strings bound to the parameter `name`."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(String)))
    return column.in_(select(unnested(dialect, name)))


def unnested(dialect: str, name: str) -> ColumnElement[str]:
    """Return a table of the strings in the list bound to the parameter `name`; they compare byte by byte."""
    if dialect == "postgresql":
        return func.unnest(bindparam(name, type_=ARRAY(String)), type_=String).column_valued(name).collate("C")
    value: ColumnElement[str] = func.json_each(bindparam(name, type_=JSON)).table_valued("value", name=name).c.value
    return value
