"""Pass a list as one parameter, so that a statement is compiled once, however long the list is."""

from typing import Any

from sqlalchemy import ARRAY, JSON, Column, ColumnElement, String, any_, bindparam, func, select


def among(column: Column[Any], dialect: str, name: str = "wanted") -> ColumnElement[bool]:
    """Return the condition that a text column is in the list of strings bound to the parameter `name`."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(String)))
    each = func.json_each(bindparam(name, type_=JSON)).table_valued("value")
    return column.in_(select(each.c.value))
