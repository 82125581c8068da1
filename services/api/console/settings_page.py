"""The settings in force, and the switches that staff can turn at run time."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from pydantic import ValidationError
from sqlalchemy import select

from foundation.config.settings import origins
from foundation.config.shown import flat
from foundation.errors import Refused, SitecrewError
from schemas.services import SiteTypeConfigure
from services.api.console import asks
from services.api.console.pages import page
from services.api.console.visitor import Administering, AtDesk, Viewing
from services.api.projection.switches import switches

router = APIRouter()


@router.get("/settings")
def settings(request: Request, desk: AtDesk, visitor: Viewing) -> Response:
    """Show the settings of this process, without secrets, and the switches of each site type."""
    sites = desk.settings.sites
    shown, known = list(flat(desk.settings, "")), _origins()
    with desk.reading() as connection:
        told = [row.told for row in connection.execute(select(switches.c.told))]
    return page(
        request,
        "settings",
        visitor,
        outcome=asks.outcome(request, desk),
        site_types=sorted(name for name, site in sites.items() if site.sold),
        switches={name: [it for it in told if it.site_type == name] for name in sites},
        defaults={name: {"stage": site.stage, "welcome_email": site.welcome_email} for name, site in sites.items()},
        given=[(name, value) for name, value in shown if name in known],
        usual=[(name, value) for name, value in shown if name not in known],
        origins=known,
    )


def _origins() -> dict[str, str]:
    try:
        return origins()
    except SitecrewError:  # the file has changed since this process started, and is wrong now
        return {}


@router.post("/settings/site-type")
def configure(
    desk: AtDesk,
    visitor: Administering,
    site_type: Annotated[str, Form()],
    stage: Annotated[str, Form()] = "",
    welcome_email: Annotated[str, Form()] = "",
) -> Response:
    """Switch staging or the welcome email of a site type on or off, or back to what the settings say."""
    given = {"stage": stage, "welcome_email": welcome_email}
    try:
        command = SiteTypeConfigure.model_validate(
            {"site_type": site_type, **{name: value for name, value in given.items() if value}}
        )
    except ValidationError:
        raise Refused("a switch is on, off or default") from None
    if site_type not in desk.settings.sites:
        raise Refused(f"there is no site type {site_type} in the settings")
    return asks.answered(desk, visitor, [command], "/settings")
