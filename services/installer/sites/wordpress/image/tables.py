"""The tables of an image: read from a database that WordPress has filled, written into an empty one at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from foundation.hosting.database_connection import Connection, quoted
from services.installer.sites.wordpress.image.templates import Blanks, Unfit, filled

_MODES = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 0"
"""WordPress's tables have days of the year 0; nothing of ours is zero by mistake. A plug-in's table may refer to one
that is made after it."""
_STORED = (
    "SELECT option_name, option_value FROM wp_options"
    " WHERE option_name IN ('home', 'siteurl', 'blogname', 'admin_email')"
    " UNION ALL SELECT 'user', CONCAT_WS(' ', user_login, user_pass, user_email) FROM wp_users"
)
"""What is read back: by option, and of the only user."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """One table, its rows with blanks."""

    name: str
    definition: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def read_tables(connection: Connection, blanks: Blanks) -> tuple[Table, ...]:
    """All tables of a database. Raises `Unfit` with the place of what cannot be read; `Refused`."""
    return tuple(_read(connection, str(name), str(kind), blanks) for name, kind in connection.run("SHOW FULL TABLES"))


def _read(connection: Connection, name: str, kind: str, blanks: Blanks) -> Table:
    if kind != "BASE TABLE":
        raise Unfit(f"{name} is a {kind.lower()}")
    ((_, definition),) = connection.run(f"SHOW CREATE TABLE `{name}`")
    columns = tuple(str(row[0]) for row in connection.run(f"SHOW COLUMNS FROM `{name}`"))
    rows = connection.run(f"SELECT * FROM `{name}` ORDER BY 1")  # noqa: S608 - a table that WordPress has just made
    cells = []
    for row in rows:
        try:
            cells.append(tuple(_cell(value, blanks) for value in row))
        except Unfit as unfit:
            raise Unfit(f"{name} {row[:2]}: {unfit}") from None
    return Table(name, str(definition), columns, tuple(cells))


def _cell(value: object, blanks: Blanks) -> Cell:
    match value:
        case None | int() | float():
            return value
        case datetime():
            return blanks.made(str(value))
        case str():
            return blanks.made(value)
    raise Unfit(f"a value of type {type(value).__name__}")


def difference(one: Sequence[Table], other: Sequence[Table]) -> str:
    """Where two builds differ, in words; empty if they do not."""
    for table, twin in zip(one, other, strict=False):
        if (table.name, table.definition, len(table.rows)) != (twin.name, twin.definition, len(twin.rows)):
            return f"table {table.name}"
        for row, counterpart in zip(table.rows, twin.rows, strict=True):
            if row != counterpart:
                return f"table {table.name}, row {row[:2]}"
    return "" if len(one) == len(other) else "the number of tables"


def script_of(tables: Sequence[Table]) -> str:
    """The statements that make the tables, with blanks, and that read back what was ordered."""
    inserts = [_insert(table) for table in tables if table.rows]
    return ";\n".join([_MODES, *(table.definition for table in tables), "BEGIN", *inserts, "COMMIT", _STORED])


def _insert(table: Table) -> str:
    columns = ", ".join(f"`{column}`" for column in table.columns)
    rows = ",\n".join(f"({', '.join(map(_literal, row))})" for row in table.rows)
    return f"INSERT INTO `{table.name}` ({columns}) VALUES {rows}"  # noqa: S608 - quoted above


def _literal(cell: Cell) -> str:
    if cell is None:
        return "NULL"
    return f"'{quoted(cell)}'" if isinstance(cell, str) else repr(cell)


def fill(connection: Connection, script: str, values: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Run the script in an empty database; return what the site stores of the order, by option's name, and `user`."""
    stored = connection.run_all(filled(script, values, now, quoted))[-1]
    return {str(name): str(value) for name, value in stored}
