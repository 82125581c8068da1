"""The services' processes, and the timer."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.api.console import actions, asks
from services.api.console.pages import page
from services.api.console.start import timer_of
from services.api.console.visitor import AtDesk, Viewing
from services.api.projection.workers import Replica

router = APIRouter()


@router.get("/workers")
def workers(request: Request, desk: AtDesk, visitor: Viewing) -> Response:
    """Show each process, and what it works on."""
    now = desk.now()
    with desk.reading() as connection:
        replicas = Replica.all(connection)
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
        direct=actions.DIRECT,
        versions={replica.told.version for replica in replicas if not replica.is_lost(now)},
    )
