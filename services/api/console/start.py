"""The start page: what needs somebody, and what is going on."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from services.api.alerts.alerts import Alert
from services.api.console import asks
from services.api.console.actions import ACTIONS
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Posting, Viewing
from services.api.finding.needs import members, needs
from services.api.parked.messages import ParkedMessage
from services.api.projection.numbers import counts
from services.api.projection.workers import Replica, timer_of

router = APIRouter()

_OTHERS = {"timer", "server"}
"""The kinds of alerts that no group of failures and no parked message shows."""


@router.get("/")
def start(request: Request, desk: AtDesk, visitor: Viewing) -> Response:
    """Show what needs somebody, grouped by cause."""
    with desk.reading() as connection:
        groups, counted, replicas = needs(connection), counts(connection), Replica.all(connection)
        parked, alerts = ParkedMessage.groups(connection), Alert.of_late(connection, desk.now())
    now = desk.now()
    values: dict[str, Any] = {
        "groups": groups,
        "parked": parked,
        "alerts": alerts,
        "others": [alert for alert in alerts if alert.is_raised and alert.kind in _OTHERS],
        "counts": counted,
        "lost": [replica for replica in replicas if replica.is_lost(now)],
        "alive": [replica for replica in replicas if not replica.is_lost(now)],
        "timer": timer_of(replicas, now),
        "actions": ACTIONS,
        "outcome": asks.outcome(request, desk),
    }
    return page(request, "start", visitor, **values)


@router.post("/confirm-group")
def confirm_group(
    request: Request,
    desk: AtDesk,
    visitor: Posting,
    action: Annotated[str, Form()],
    of: Annotated[str, Form(pattern="^(order|install|letter)$")],
    code: Annotated[str, Form()] = "",
    server: Annotated[str, Form()] = "",
) -> Response:
    """Say exactly what will happen to a whole group, before it does."""
    with desk.reading() as connection:
        ids = members(connection, of, code, server, asks.MOST)
    return asks.confirm(request, desk, visitor, ids, action, "/")
