"""The site types as they are handled now: by the settings, and by what staff have switched since."""

from collections.abc import Collection

from foundation.errors import SitecrewError
from schemas.services import SiteTypeConfigure
from sitecrew.cli.office.interface import Office
from sitecrew.cli.output import terminal
from sitecrew.cli.output.tables import Table
from sitecrew.cli.run import COMMANDED


def show(office: Office, *, json: bool) -> None:
    """The list."""
    found = office.site_types()
    if json:
        switches = ("stage", "welcome_email", "overrides")
        terminal.document(
            {site.name: {**site.record, **{name: getattr(site, name) for name in switches}} for site in found}
        )
        return
    rows = [
        (
            site.name,
            "yes" if site.sold else "no",
            site.installer,
            _stage(site.stage, site.overrides),
            f"{site.settle_seconds:g}s",
            site.address,
            _email(site.welcome_email, site.overrides),
        )
        for site in found
    ]
    Table(("TYPE", "SOLD", "INSTALLER", "INSTALLED", "AFTER", "ADDRESS", "EMAIL"), rows).show()


def configure(office: Office, wanted: SiteTypeConfigure, timeout: float, *, json: bool) -> None:
    """Have it done, and show each service's answer. Raises NotFound for an unknown site type, and SitecrewError if a
    service did not answer within `timeout` seconds."""
    told = office.configure(wanted, timeout)
    if json:
        terminal.document([answer.model_dump(mode="json") for answer in told])
    elif told:
        rows = [
            (one.service, _stage(one.stage, one.overrides), _email(one.welcome_email, one.overrides)) for one in told
        ]
        Table(("SERVICE", "INSTALLED", "EMAIL"), rows).show()
    if silent := [name for name in COMMANDED if name not in {one.service for one in told}]:
        raise SitecrewError(
            f"no answer from {' and '.join(silent)} within {timeout:g} seconds; the command stays in the queue and is"
            " carried out once the service runs"
        )


def _stage(stage: bool, overrides: Collection[str]) -> str:
    return ("in batches" if stage else "at once") + _by_staff("stage", overrides)


def _email(welcome_email: bool, overrides: Collection[str]) -> str:
    return ("yes" if welcome_email else "no") + _by_staff("welcome_email", overrides)


def _by_staff(switch: str, overrides: Collection[str]) -> str:
    return ", by staff" if switch in overrides else ""
