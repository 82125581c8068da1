"""Installs: the list, and one of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy import Connection, select

from foundation.errors import NotFound
from services.api.console import actions, asks
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Viewing
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter, SiteFilter
from services.api.finding.needs import causes
from services.api.projection.numbers import counts
from services.api.projection.steps import steps
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, install_views
from services.api.projection.workers import Replica, timer_of

router = APIRouter()

STATES = ("staged", "waiting", "installing", "failed", "installed", "cancelled", "resolved")
_PENDING = ("staged", "waiting", "installing", "failed")
_AGES: Mapping[str, str] = {
    "within-hour": "Changed within an hour",
    "within-day": "Changed within a day",
    "over-hour": "Unchanged for an hour",
    "over-day": "Unchanged for a day",
    "over-week": "Unchanged for a week",
}
_BOUNDS: Mapping[str, str] = {"within": "since", "over": "until"}
_SPANS: Mapping[str, timedelta] = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


@router.get("/installs")
def installs(
    request: Request,
    desk: AtDesk,
    visitor: Viewing,
    state: str = "pending",
    search: str = "",
    site_type: str = "",
    server: str = "",
    cause: str = "",
    age: str = "",
    after: str = "",
) -> Response:
    """List pending and failed installs, or those in another state."""
    states: Sequence[str] = {"pending": _PENDING, "all": ()}.get(state, (state,))
    wanted = SiteFilter(
        states=states,
        search=search,
        site_type=site_type,
        server=server,
        causes=(cause,) if cause else (),
        **_aged(age, desk.now()),
    )
    with desk.reading() as connection:
        found = listing.installs(connection, wanted, after)
        replicas, counted = Replica.all(connection), counts(connection)["install"]
        codes = causes(connection, install_views)
    given = {"search": search, "site_type": site_type, "server": server, "cause": cause, "age": age}
    return page(
        request,
        "installs",
        visitor,
        outcome=asks.outcome(request, desk),
        found=found,
        state=state,
        given=given,
        tabs=tabs("/installs", _tabs(counted), state, given),
        links=links(request, found.next),
        timer=timer_of(replicas, desk.now()),
        site_types=sorted(desk.settings.sites),
        servers=sorted(desk.settings.servers),
        causes=codes,
        ages=_AGES,
    )


def _aged(age: str, now: datetime) -> dict[str, Any]:
    """Return the filter for an age."""
    which, _, span = age.partition("-")
    if which not in _BOUNDS or span not in _SPANS:
        return {}
    return {_BOUNDS[which]: now - _SPANS[span]}


def _tabs(counted: Mapping[str, int]) -> list[tuple[str, str, int]]:
    pending = sum(counted.get(state, 0) for state in _PENDING)
    each = [(state, state.capitalize(), counted.get(state, 0)) for state in STATES]
    return [("pending", "Pending and failed", pending), *each, ("all", "All", sum(counted.values()))]


def tabs(
    path: str, these: Sequence[tuple[str, str, int]], current: str, given: Mapping[str, str]
) -> list[tuple[str, str, int, bool]]:
    """Return the tabs of a list: address, name, number of rows, and whether it is shown."""
    kept = {name: value for name, value in given.items() if value}
    return [
        (f"{path}?{urlencode({'state': state, **kept})}", name, count, state == current) for state, name, count in these
    ]


def links(request: Request, following: str | None) -> dict[str, str]:
    """Return the addresses of the first and the next page; empty where there is none."""
    query = {name: value for name, value in request.query_params.items() if name not in {"after", "asked"} and value}
    path = request.url.path
    return {
        "first": f"{path}?{urlencode(query)}" if request.query_params.get("after") else "",
        "next": f"{path}?{urlencode({**query, 'after': following})}" if following else "",
    }


@router.get("/installs/{install_id}")
def install(request: Request, desk: AtDesk, visitor: Viewing, install_id: str) -> Response:
    """Show one install: the steps of each attempt, its causes, its email."""
    with desk.reading() as connection:
        view = INSTALLS.get(connection, install_id)
        if view is None:
            raise NotFound(f"there is no install {install_id}")
        log = listing.activity(connection, ActivityFilter(order_id=view.order_id), limit=200).rows
        order, letter = ORDERS.get(connection, view.order_id), LETTERS.get(connection, install_id)
        tried, replicas = attempts(connection, install_id), Replica.all(connection)
    lines = [line for line in log if line.install_id == install_id]
    return page(
        request,
        "install",
        visitor,
        outcome=asks.outcome(request, desk),
        install=view,
        order=order,
        letter=letter,
        attempts=tried,
        log=lines,
        trace_id=next((line.trace_id for line in lines if line.trace_id), None),
        timer=timer_of(replicas, desk.now()),
        offered=actions.offered(actions.INSTALL, view.state, visitor.role),
        letter_offered=actions.offered(actions.LETTER, letter.state, visitor.role) if letter else [],
        direct=actions.DIRECT,
    )


def attempts(connection: Connection, install_id: str) -> list[tuple[int, list[tuple[str, float | None]]]]:
    """Return the steps of each attempt with their seconds, None while one runs; the latest attempt first."""
    found = select(steps.c.attempt, steps.c.step, steps.c.seconds).where(steps.c.install_id == install_id)
    grouped = dict[int, list[tuple[str, float | None]]]()
    for attempt, step, seconds in connection.execute(found.order_by(steps.c.id)):
        grouped.setdefault(attempt, []).append((step, seconds))
    return sorted(grouped.items(), reverse=True)
