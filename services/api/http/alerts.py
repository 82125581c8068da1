"""GET /v1/alerts: what staff were told of."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Depends

from services.api.access.identity import Scope
from services.api.alerts import alerts
from services.api.http.answers import Document
from services.api.http.caller import AtDesk, allowed

router = APIRouter(tags=["status"], dependencies=[Depends(allowed(Scope.INSTALLS_WRITE))])


class Alert(Document):
    """Something that needs staff, or did."""

    state: Literal["raised", "recovered"]
    kind: str
    """`account`, `install`, `email`, `message`, `timer` or `server`; new kinds may appear."""
    subject: str
    """Which of its kind: the cause's code and the server, the reason's code and the queue, or the server."""
    headline: str
    since: datetime
    recovered_at: datetime | None = None
    number: int
    """How many it concerns; or concerned last."""
    detail: str | None = None
    """What happened to the first of them."""
    remedy: str | None = None
    command: str | None = None
    """The command that shows it, or mends it once its cause is removed."""
    told_at: datetime | None = None
    """When an email last told of it."""

    @classmethod
    def of(cls, alert: alerts.Alert) -> "Alert":
        about = alert.about.model_dump()
        if alert.is_raised:
            return cls(state="raised", told_at=alert.told_at, **about)
        return cls(state="recovered", recovered_at=alert.changed_at, told_at=alert.told_at, **about)


class Alerts(Document):
    """What is raised, the oldest first; then what was over within a day, the latest first."""

    items: list[Alert]


@router.get("/alerts")
def get_alerts(desk: AtDesk) -> Alerts:
    """List what needs staff, and what no longer does."""
    with desk.reading() as connection:
        return Alerts(items=[Alert.of(one) for one in alerts.Alert.of_late(connection, desk.now())])
