"""The services' processes, and the timer."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response

from foundation.config.queues import (
    API_EVENTS,
    INSTALLER_COMMANDS,
    INSTALLER_DUE,
    INSTALLER_DUE_HIGH,
    INSTALLER_DUE_LOW,
    INSTALLER_MAILS,
    INSTALLER_NOW,
    INSTALLER_NOW_HIGH,
    INSTALLER_NOW_LOW,
    INSTALLER_STAGED,
    INTAKE_COMMANDS,
    INTAKE_INSTALLS,
    INTAKE_ORDERS,
    MAILER_COMMANDS,
    MAILER_INSTALLS,
)
from services.api.console import actions, asks
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Viewing
from services.api.finding import listing
from services.api.finding.filters import SiteFilter
from services.api.projection.workers import Replica, servers_of, timer_of

router = APIRouter()

PENDING = ("staged", "waiting", "installing")
_WAITING: Mapping[str, str] = {
    INTAKE_ORDERS: "orders to be accepted",
    INTAKE_INSTALLS: "ended installs, for their orders",
    INTAKE_COMMANDS: "what staff ask of orders",
    INSTALLER_STAGED: "installs to be staged",
    INSTALLER_DUE_HIGH: "installs of high priority that the next batch begins",
    INSTALLER_DUE: "installs that the next batch begins",
    INSTALLER_DUE_LOW: "installs of low priority that the next batch begins",
    INSTALLER_NOW_HIGH: "installs of high priority that begin at once",
    INSTALLER_NOW: "installs that begin at once",
    INSTALLER_NOW_LOW: "installs of low priority that begin at once",
    INSTALLER_COMMANDS: "what staff ask of installs",
    INSTALLER_MAILS: "what became of emails",
    MAILER_INSTALLS: "emails to be sent",
    MAILER_COMMANDS: "what staff ask of emails",
    API_EVENTS: "events that pages have yet to show",
}
"""What waits in each queue."""


@router.get("/workers")
def workers(request: Request, desk: AtDesk, visitor: Viewing) -> Response:
    """Show each process, and what it works on."""
    now = desk.now()
    with desk.reading() as connection:
        replicas, hours = Replica.all(connection), desk.figures.hours(connection, now)
        oldest = listing.installs(connection, SiteFilter(states=PENDING, oldest_first=True), limit=1).rows
    depths = desk.figures.depths()
    timer = timer_of(replicas, now)
    is_paused = timer.paused_since is not None
    offered = [
        action
        for action in actions.offered(actions.TIMER, "", visitor.role)
        if action.name != ("pause" if is_paused else "resume")
    ]
    return page(
        request,
        "workers",
        visitor,
        outcome=asks.outcome(request, desk),
        replicas=[(replica, replica.is_lost(now)) for replica in replicas],
        timer=timer,
        offered=offered,
        servers=[(it, actions.offered(actions.SERVER, it.state, visitor.role)) for it in servers_of(replicas, now)],
        direct=actions.DIRECT,
        hours=hours,
        depths=[(queue, depths[queue], meaning) for queue, meaning in _WAITING.items() if queue in depths],
        oldest=oldest[0] if oldest else None,
        versions={replica.told.version for replica in replicas if not replica.is_lost(now)},
    )
