"""The activity log: who did what, and what happened."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response, StreamingResponse

from foundation.errors import Refused
from schemas.catalogue import CATALOGUE
from services.api.console.installs import links
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Viewing, signed_in
from services.api.desk import Desk
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter
from services.api.finding.paging import MOST
from services.api.projection.activity import SILENT, Entry

router = APIRouter()

_EXPORTED = ("at", "kind", "order_id", "install_id", "actor", "source", "detail", "cause", "remedy", "trace_id")
_KINDS = sorted(
    {entry.routing_key.rpartition(".v")[0] for entry in CATALOGUE if entry.model not in SILENT}
    | {"order.noted", "staff.signed_in", "staff.sign_in_failed", "staff.refused"}
)
"""What a line can be about, as a suggestion."""
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
_FORMULA_INSIDE = re.compile(r"(?<=;)(\s*[=+\-@])")


def _filter(order: str = "", actor: str = "", kind: str = "", since: str = "", until: str = "") -> ActivityFilter:
    """Return what the form asks for; days are in UTC."""
    last = _day(until)
    return ActivityFilter(
        order_id=order.strip(),
        actor=actor.strip(),
        kinds=(kind.strip(),) if kind.strip() else (),
        since=_day(since),
        until=last + timedelta(days=1) if last else None,
    )


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) if text else None
    except ValueError:
        raise Refused(f"a day is written like 2026-01-31, not {text[:20]}") from None


Wanted = Annotated[ActivityFilter, Depends(_filter)]


@router.get("/activity")
def activity(request: Request, desk: AtDesk, visitor: Viewing, wanted: Wanted, after: str = "") -> Response:
    """Show the log, newest first."""
    with desk.reading() as connection:
        found = listing.activity(connection, wanted, after)
    given = {name: request.query_params.get(name, "") for name in ("order", "actor", "kind", "since", "until")}
    return page(
        request,
        "activity",
        visitor,
        found=found,
        given=given,
        links=links(request, found.next),
        query=request.url.query,
        kinds=_KINDS,
    )


@router.get("/activity.csv", dependencies=[Depends(signed_in)])
def as_csv(desk: AtDesk, wanted: Wanted) -> Response:
    """Export the log for a spreadsheet."""
    headers = {"Content-Disposition": 'attachment; filename="activity.csv"'}
    return StreamingResponse(_csv(desk, wanted), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/activity.json", dependencies=[Depends(signed_in)])
def as_json(desk: AtDesk, wanted: Wanted) -> Response:
    """Export the log as JSON, one document a line."""
    headers = {"Content-Disposition": 'attachment; filename="activity.jsonl"'}
    return StreamingResponse(_jsonl(desk, wanted), media_type="application/x-ndjson", headers=headers)


def _csv(desk: Desk, wanted: ActivityFilter) -> Iterator[str]:
    yield ",".join(_EXPORTED) + "\r\n"
    for rows in _pages(desk, wanted):
        page = io.StringIO()
        csv.writer(page).writerows([harmless(value or "") for value in row.values()] for row in rows)
        yield page.getvalue()


def _jsonl(desk: Desk, wanted: ActivityFilter) -> Iterator[bytes]:
    for rows in _pages(desk, wanted):
        yield b"".join(orjson.dumps(row) + b"\n" for row in rows)


def harmless(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, even if it separates cells by semicolons (OWASP: CSV
    injection)."""
    text = _FORMULA_INSIDE.sub(r"'\1", text)
    return f"'{text}" if _FORMULA.match(text) else text


def _pages(desk: Desk, wanted: ActivityFilter) -> Iterator[list[dict[str, str | None]]]:
    """Yield the whole log, of which only a page is in memory at a time."""
    after: str | None = ""
    while after is not None:
        with desk.reading() as connection:
            found = listing.activity(connection, wanted, after, MOST)
        yield [_exported(entry) for entry in found.rows]
        after = found.next


def _exported(entry: Entry) -> dict[str, str | None]:
    cause = entry.cause
    values = {name: getattr(entry, name, None) for name in _EXPORTED}
    told = {"at": entry.at.isoformat(), "cause": f"{cause.code}: {cause.detail}" if cause else None}
    return {**values, **told, "remedy": cause.remedy if cause else None}
