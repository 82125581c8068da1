"""Welcome emails: the list, and one of them with how it looks."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from foundation.errors import NotFound
from services.api.access.identity import Role
from services.api.console import actions, asks
from services.api.console.installs import links, tabs
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Viewing
from services.api.finding import listing
from services.api.finding.filters import LetterFilter
from services.api.finding.needs import causes
from services.api.projection import previews
from services.api.projection.numbers import counts
from services.api.projection.views import LETTERS, letter_views

router = APIRouter()

STATES = ("failed", "waiting", "sent", "suppressed")
_FRAMED = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox"
"""What the HTML part may do in its frame: be seen, with the styles that it has, as every mail program shows them."""


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
        codes = causes(connection, letter_views)
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
        causes=codes,
        tabs=tabs("/letters", each, state, given),
        links=links(request, found.next),
    )


@router.get("/letters/{install_id}")
def letter(request: Request, desk: AtDesk, visitor: Viewing, install_id: str) -> Response:
    """Show one email; to who may, also how it looks, once the mailer has rendered it."""
    with desk.reading() as connection:
        view = LETTERS.get(connection, install_id)
        seen = previews.latest(connection, install_id) if visitor.may(Role.SUPPORT) else None
    if view is None:
        raise NotFound(f"there is no email of an install {install_id}")
    told = asks.outcome(request, desk)
    return page(
        request,
        "letter",
        visitor,
        outcome=None if seen and told and told.tone == "good" else told,
        letter=view,
        seen=seen,
        offered=actions.offered(actions.LETTER, view.state, visitor.role),
    )


@router.get("/letters/{install_id}/html")
def as_html(desk: AtDesk, visitor: Viewing, install_id: str) -> Response:
    """Return the HTML part as the mailer has rendered it, for a frame."""
    visitor.require(Role.SUPPORT, "Reading an email")
    with desk.reading() as connection:
        seen = previews.latest(connection, install_id)
    if seen is None or seen[0].html is None:
        raise NotFound("this email was not rendered lately")
    headers = {"Content-Security-Policy": _FRAMED, "X-Frame-Options": "SAMEORIGIN"}
    return HTMLResponse(seen[0].html, headers=headers)
