"""One order, as a story: its account, its installs with their steps, its emails, and everything that was asked."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from foundation.errors import NotFound, Refused
from foundation.store.records import Records
from services.api.console import actions, asks
from services.api.console.actions import Action
from services.api.console.installs import attempts, links
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Supporting, Viewing, Visitor, line
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter, SiteFilter
from services.api.projection.views import INSTALLS, LETTERS, ORDERS, InstallView, OrderView

router = APIRouter()


@router.get("/orders")
def orders(
    request: Request, desk: AtDesk, visitor: Viewing, search: str = "", state: str = "", after: str = ""
) -> Response:
    """List orders; who searches for the number of one gets to it."""
    with desk.reading() as connection:
        if search and ORDERS.get(connection, search.strip()):
            return RedirectResponse(f"/orders/{search.strip()}", 303)
        wanted = SiteFilter(search=search, states=(state,) if state else ())
        found = listing.orders(connection, wanted, after)
    return page(request, "orders", visitor, found=found, search=search, state=state, links=links(request, found.next))


@router.get("/orders/{order_id}")
def order(request: Request, desk: AtDesk, visitor: Viewing, order_id: str, after: str = "") -> Response:
    """Show one order."""
    with desk.reading() as connection:
        view = _order(connection, order_id)
        installs = _of(connection, INSTALLS, order_id)
        letters = {row.install_id: row for row in _of(connection, LETTERS, order_id)}
        log = listing.activity(connection, ActivityFilter(order_id=order_id), after)
        tried = {row.install_id: attempts(connection, row.install_id) for row in installs}
    return page(
        request,
        "order",
        visitor,
        outcome=asks.outcome(request, desk),
        order=view,
        installs=sorted(installs, key=lambda row: -row.generation),
        letters=letters,
        tried=tried,
        log=log.rows,
        links=links(request, log.next),
        offered=_offered(view, installs, visitor),
        direct=actions.DIRECT,
    )


def _offered(view: OrderView, installs: Sequence[InstallView], visitor: Visitor) -> list[Action]:
    """Return what may be asked for the order; there is nothing to cancel once its newest install is installed."""
    newest = max(installs, key=lambda install: install.generation, default=None)
    over = newest is not None and newest.state == "installed"
    offered = actions.offered(actions.ORDER, view.state, visitor.role)
    return [action for action in offered if not (over and action.name == "cancel-order")]


@router.post("/orders/{order_id}/note")
def note(desk: AtDesk, visitor: Supporting, order_id: str, text: Annotated[str, Form()] = "") -> Response:
    """Write a note into the order's story."""
    if not text.strip():
        raise Refused("the note is empty")
    with desk.writing() as uow:
        _order(uow.connection, order_id)
        desk.note(uow.connection, line(desk, "order.noted", visitor.name, text.strip(), order_id=order_id))
    return RedirectResponse(f"/orders/{order_id}", 303)


def _order(connection: Connection, order_id: str) -> OrderView:
    view = ORDERS.get(connection, order_id)
    if view is None:
        raise NotFound(f"there is no order {order_id}")
    return view


def _of(connection: Connection, records: Records[Any], order_id: str) -> list[Any]:
    theirs = records.select().where(records.table.c.order_id == order_id)
    return records.read(connection.execute(theirs))
