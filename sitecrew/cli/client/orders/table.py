"""Orders from a table (CSV), as other provisioning systems export their pending installs."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from sitecrew.cli.client.orders.files import Document, Unusable

COLUMNS: Mapping[str, Sequence[str]] = {
    "order_id": ("serviceid", "service", "id"),
    "domain": ("domainname",),
    "site_type": ("type", "application"),
    "name": ("customer", "client", "clientname", "customername"),
    "firstname": (),
    "lastname": (),
    "email": ("emailaddress", "customeremail", "clientemail"),
    "server": (),
    "blog_name": ("title",),
    "locale": ("language",),
    "timezone": (),
    "permalinks": (),
    "priority": (),
    "status": ("state",),
}
"""What is read, and other names that its column may have; case, blanks, dashes and underscores don't matter."""

PENDING = frozenset({"", "pending", "staged", "queued", "failed", "error"})
"""The states in which an install is still to be done."""


def read(file: Path, site_type: str | None, prefix: str) -> tuple[list[Document], int]:
    """Return the pending installs of a table as orders, and how many rows were left out because they are not pending.

    `site_type` is for rows that name none; `prefix` begins each order id. Raises Unusable.
    """
    try:
        text = file.read_bytes().removeprefix(BOM_UTF8).decode()
    except OSError as error:
        raise Unusable(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Unusable(f"{file} is not UTF-8; export it as UTF-8") from None
    head = text.partition("\n")[0]
    rows = csv.DictReader(StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    names = _columns(file, rows.fieldnames or ())
    documents, left_out = [], 0
    try:
        for row in rows:
            given = {name: (row[column] or "").strip() for name, column in names.items()}
            if given.pop("status", "").lower() not in PENDING:
                left_out += 1
                continue
            place = f"{file}, line {rows.line_num}"
            documents.append(Document(place, dict(_order(given, site_type, prefix))))
    except csv.Error as error:
        raise Unusable(f"{file}, line {rows.line_num + 1}: {error}") from None
    return documents, left_out


def _columns(file: Path, heads: Sequence[str]) -> dict[str, str]:
    """Return the table's column for each name that it has. Raises Unusable if one is missing that an order needs."""
    plain = {"".join(filter(str.isalnum, head.lower())): head for head in heads}
    found = {}
    for name, others in COLUMNS.items():
        column = next((plain[other] for other in (name.replace("_", ""), *others) if other in plain), None)
        if column is not None:
            found[name] = column
    missing = [name for name in ("order_id", "domain", "email") if name not in found]
    if not {"name", "firstname", "lastname"} & set(found):
        missing.append("name")
    if missing:
        columns = ", ".join(heads) or "none"
        raise Unusable(f"{file}, line 1: no column {', '.join(missing)}; the columns are {columns}")
    return found


def _order(given: Mapping[str, str], site_type: str | None, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield an order's fields."""
    yield "order_id", f"{prefix}{given['order_id']}"
    name = given.get("name") or f"{given.get('firstname', '')} {given.get('lastname', '')}".strip()
    yield "customer", {"name": name, "email": given["email"]}
    if kind := given.get("site_type", "").lower() or site_type:
        yield "site_type", kind
    for field in ("domain", "server", "blog_name", "locale", "timezone", "permalinks"):
        if given.get(field):
            yield field, given[field]
    if priority := given.get("priority"):
        yield "priority", priority.lower()
