"""Lists as one parameter: a statement with `among` is compiled once, however long the list is."""

from typing import Any

from sqlalchemy import ARRAY, JSON, Column, ColumnElement, String, any_, bindparam, func, select


def among(column: Column[Any], dialect: str, name: str = "wanted") -> ColumnElement[bool]:
    """Whether a text column is one of the list of texts that is given as the parameter `name`."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(String)))
    each = func.json_each(bindparam(name, type_=JSON)).table_valued("value")
    return column.in_(select(each.c.value))
