"""One webhook: its last deliveries, and what an admin may do with it."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from services.api.access.identity import Role
from services.api.console.pages import page
from services.api.console.visitor import Administering, AtDesk, Viewing, Visitor
from services.api.desk import Desk
from services.api.webhooks import actions, deliveries, endpoints

router = APIRouter()

_SHOWN = 50

Id = Annotated[str, Form(alias="name", max_length=64)]


@router.get("/staff/webhooks/{id}")
def webhook(request: Request, desk: AtDesk, visitor: Viewing, id: str) -> Response:
    """Show a webhook with its last deliveries, newest first."""
    return _page(request, desk, visitor, id)


def _page(request: Request, desk: Desk, visitor: Visitor, id: str, secret: str = "") -> Response:
    """Return the page; `secret` is the webhook's new secret, which is shown this once."""
    visitor.require(Role.ADMIN, "The page of a webhook")
    with desk.reading() as connection:
        hook, found = endpoints.get(connection, id), deliveries.latest(connection, id, _SHOWN)
    shown = f"/staff/webhooks/{id}"
    return page(request, "webhook", visitor, hook=hook, deliveries=found, secret=secret, here=shown)


@router.post("/staff/webhooks/add")
def add(
    request: Request,
    desk: AtDesk,
    visitor: Administering,
    url: Annotated[str, Form(max_length=2000)] = "",
    types: Annotated[str, Form(max_length=2000)] = "",
    source: Annotated[str, Form(max_length=255)] = "",
) -> Response:
    """Add a webhook, with a secret that is shown once."""
    made, secret = actions.create(desk, visitor.who, url.strip(), types.split(), source.strip() or None)
    return _page(request, desk, visitor, made.id, secret)


@router.post("/staff/webhooks/rotate")
def rotate(request: Request, desk: AtDesk, visitor: Administering, id: Id) -> Response:
    """Replace a webhook's secret; the old one is valid for another day."""
    _, secret = actions.rotate(desk, visitor.who, id)
    return _page(request, desk, visitor, id, secret)


@router.post("/staff/webhooks/disable")
def disable(desk: AtDesk, visitor: Administering, id: Id, disabled: Annotated[bool, Form()]) -> Response:
    """Post nothing to a webhook any more, or post to it again."""
    (actions.disable if disabled else actions.enable)(desk, visitor.who, id)
    return _back_to(id)


@router.post("/staff/webhooks/test")
def test(desk: AtDesk, visitor: Administering, id: Id) -> Response:
    """Post a test event to a webhook."""
    actions.send_test(desk, visitor.who, id)
    return _back_to(id)


@router.post("/staff/webhooks/redeliver")
def redeliver(desk: AtDesk, visitor: Administering, id: Id) -> Response:
    """Post a delivery again."""
    return _back_to(actions.redeliver(desk, visitor.who, id).endpoint_id)


def _back_to(id: str) -> Response:
    return RedirectResponse(f"/staff/webhooks/{id}", 303)
