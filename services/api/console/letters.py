"""Welcome emails."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.api.console import asks
from services.api.console.installs import links, tabs
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Viewing
from services.api.finding import listing
from services.api.finding.filters import LetterFilter
from services.api.finding.needs import counts

router = APIRouter()

STATES = ("failed", "waiting", "sent", "suppressed")


@router.get("/letters")
def letters(
    request: Request,
    desk: AtDesk,
    visitor: Viewing,
    state: str = "all",
    search: str = "",
    cause: str = "",
    after: str = "",
) -> Response:
    """List the welcome emails."""
    wanted = LetterFilter(states=() if state == "all" else (state,), search=search, causes=(cause,) if cause else ())
    with desk.reading() as connection:
        found, counted = listing.letters(connection, wanted, after), counts(connection)["letter"]
    given = {"search": search, "cause": cause}
    each = [("all", "All", sum(counted.values())), *((one, one.capitalize(), counted.get(one, 0)) for one in STATES)]
    return page(
        request,
        "letters",
        visitor,
        outcome=asks.outcome(request, desk),
        found=found,
        state=state,
        given=given,
        tabs=tabs("/letters", each, state, given),
        links=links(request, found.next),
    )
