"""The activity log: page by page, and live."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from services.api.access import tokens
from services.api.access.identity import Identity
from services.api.desk import Desk
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter
from services.api.finding.paging import LIMIT
from services.api.http.answers import Line, Lines, page
from services.api.http.caller import AtDesk, Reader, only_of
from services.api.http.commands import AtNews
from services.api.http.news import News, newest
from services.api.http.problems import Problem
from services.api.http.queries import After, Limit, lines
from services.api.projection.activity import Entry

router = APIRouter(tags=["activity"])

KEEP_ALIVE = 15.0
"""Seconds after which a stream says that it is still there."""
_AT_A_TIME = 200
STREAMS, ALL_STREAMS = 100, 400
"""How many one token, and all together, may follow at once: each keeps a connection open."""


@router.get("/activity", response_model=Lines)
def list_activity(
    wanted: Annotated[ActivityFilter, Depends(lines)],
    request: Request,
    desk: AtDesk,
    after: After = "",
    limit: Limit = LIMIT,
) -> Response:
    """List what happened and what was asked for, the newest first."""
    with desk.reading() as connection:
        found = listing.activity(connection, wanted, after, limit)
    return page(request, found, Lines, Line.model_validate)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def stream_events(
    desk: AtDesk,
    news: AtNews,
    who: Reader,
    last_event_id: Annotated[
        int | None, Header(ge=0, lt=2**63, description="Go on behind this one; from now on if not given.")
    ] = None,
) -> StreamingResponse:
    """Follow the activity log as server-sent events: `id` is a line's number, `event` its kind, `data` the line.

    The stream may end at any time, also when the token is disabled: connect again with `Last-Event-ID`. A token may
    follow a hundred times at once.
    """
    if news.following[who.name] >= STREAMS or news.following.total() >= ALL_STREAMS:
        raise Problem(429, "too_many_requests", "Too many follow the events already.", headers={"Retry-After": "60"})
    start = await run_in_threadpool(_start, desk, last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_stream(desk, news, who, start), media_type="text/event-stream", headers=headers)


def _start(desk: Desk, last: int | None) -> int:
    """Return the line to go on behind. Numbers begin anew where the projection was lost."""
    with desk.reading() as connection:
        now = newest(connection)
    return now if last is None else min(last, now)


async def _stream(desk: Desk, news: News, who: Identity, after: int) -> AsyncIterator[str]:
    news.following[who.name] += 1
    try:
        async for piece in _told(desk, news, who, after):
            yield piece
    finally:
        news.following[who.name] -= 1


async def _told(desk: Desk, news: News, who: Identity, after: int) -> AsyncIterator[str]:
    yield ": connected\n\n"
    seen = after
    while not news.ends:
        found = await run_in_threadpool(_lines_after, desk, after, who)
        if found is None:
            return
        for entry in found:
            yield f"id: {entry.id}\nevent: {entry.kind}\ndata: {_json(entry)}\n\n"
            after = entry.id
        if len(found) < _AT_A_TIME:
            after = max(after, seen)  # there is nothing for this caller up to there
            seen = await news.after(after, KEEP_ALIVE)
            if seen <= after and not news.ends:
                yield ": nothing new\n\n"


def _lines_after(desk: Desk, number: int, who: Identity) -> list[Entry] | None:
    """Return what follows a line; None if the token was disabled or rotated meanwhile."""
    with desk.reading() as connection:
        if not tokens.is_enabled(connection, who.credential):
            return None
        return listing.news(connection, number, only_of(who), _AT_A_TIME)


def _json(entry: Entry) -> str:
    return Line.model_validate(entry).model_dump_json(exclude_none=True)
