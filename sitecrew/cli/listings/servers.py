"""The hosting servers, as they stand now."""

from datetime import datetime

from schemas.services import ServerStatus
from sitecrew.cli.client import session
from sitecrew.cli.office.interface import Office
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import Table


def show(office: Office, *, json: bool) -> None:
    """The list."""
    found, now = office.servers(), session.now()
    if json:
        terminal.document(
            {
                it.name: {
                    **it.record,
                    "default": it.is_default,
                    "status": it.status.model_dump(mode="json", exclude={"name"}) if it.status else None,
                }
                for it in found
            }
        )
        return
    rows = [
        (
            it.name,
            "yes" if it.is_default else "",
            it.driver,
            it.address,
            it.web_address,
            "yes" if it.has_databases else "none",
            it.status.state if it.status else "unknown",
            _running(it.status) if it.status else "-",
            str(it.status.waiting) if it.status else "-",
            _why(it.status, now) if it.status else "",
        )
        for it in found
    ]
    headers = ("SERVER", "DEFAULT", "DRIVER", "ADDRESS", "WEB SERVER", "DATABASES", "STATE", "RUNNING", "WAITING")
    Table(headers, rows, beneath=("WHY",)).show()


def _running(status: ServerStatus) -> str:
    return f"{status.running} of {status.concurrency}" if status.concurrency else str(status.running)


def _why(status: ServerStatus, now: datetime) -> str:
    """Why no install begins there, and how long that is to last."""
    if status.state == "closed":
        return ""
    failing = status.cause if status.state != "paused" else None
    cause = f"{failing.code}: {failing.detail}" if failing else status.reason
    until = f"until {times.both(status.until, now)}" if status.until else ""
    return "; ".join(filter(None, (f"since {times.both(status.since, now)}", until, cause)))
