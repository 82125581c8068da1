"""The site types as they are handled now: by the settings, and by what staff have switched since."""

from foundation.config.settings import Settings
from foundation.errors import SitecrewError, StoreUnreachable
from foundation.service.site_types import SiteTypes
from schemas.services import SiteTypeConfigure, SiteTypeConfigured
from sitecrew.cli.client import configuring, session
from sitecrew.cli.output import terminal
from sitecrew.cli.output.tables import Table
from sitecrew.cli.run import COMMANDED, Service

_SWITCHES = ("stage", "welcome_email", "overrides")


def show(settings: Settings, *, json: bool) -> None:
    """The list. What staff have switched is read from order intake's database, if it can be."""
    known = SiteTypes(Service.ORDER_INTAKE, settings)
    try:
        with session.reading(settings, Service.ORDER_INTAKE) as connection:
            known.read(connection)
    except StoreUnreachable as error:
        terminal.note(f"these are the settings; what staff have switched since is unknown: {error}")
    now = {name: known.told(name) for name in settings.sites}
    if json:
        sites = {name: site.model_dump(mode="json") for name, site in settings.sites.items()}
        terminal.document(
            {name: {**site, **now[name].model_dump(mode="json", include={*_SWITCHES})} for name, site in sites.items()}
        )
        return
    rows = [
        (
            name,
            "yes" if site.sold else "no",
            site.installer or name,
            _stage(now[name]),
            f"{site.settle_seconds:g}s",
            site.address,
            _email(now[name]),
        )
        for name, site in settings.sites.items()
    ]
    Table(("TYPE", "SOLD", "INSTALLER", "INSTALLED", "AFTER", "ADDRESS", "EMAIL"), rows).show()


def configure(settings: Settings, wanted: SiteTypeConfigure, timeout: float, *, json: bool) -> None:
    """Send the command, and show each service's answer. Raises NotFound for an unknown site type, and SitecrewError if
    a service did not answer within `timeout` seconds."""
    with session.ready_broker(settings) as broker:
        answers = configuring.configure(broker, wanted, timeout)
    told = [answers[name] for name in COMMANDED if name in answers]
    if json:
        terminal.document([answer.model_dump(mode="json") for answer in told])
    elif told:
        Table(("SERVICE", "INSTALLED", "EMAIL"), [(one.service, _stage(one), _email(one)) for one in told]).show()
    if silent := [name for name in COMMANDED if name not in answers]:
        raise SitecrewError(
            f"no answer from {' and '.join(silent)} within {timeout:g} seconds; the command stays in the queue and is"
            " carried out once the service runs"
        )


def _stage(told: SiteTypeConfigured) -> str:
    return ("in batches" if told.stage else "at once") + _by_staff(told, "stage")


def _email(told: SiteTypeConfigured) -> str:
    return ("yes" if told.welcome_email else "no") + _by_staff(told, "welcome_email")


def _by_staff(told: SiteTypeConfigured, switch: str) -> str:
    return ", by staff" if switch in told.overrides else ""
