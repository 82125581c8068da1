"""What `sitecrew doctor` checks on the services: whether they run, with this command's version and settings, and tell
anybody what needs staff."""

from collections.abc import Iterator, Mapping
from functools import cached_property, partial

from foundation.broker import Broker
from foundation.config.settings import Settings
from foundation.errors import SitecrewError, StoreUnreachable
from foundation.store import Store
from foundation.version import version
from schemas.services import ServiceDescribed
from services.api.webhooks import endpoints
from sitecrew.cli.checks.findings import Check, Noted
from sitecrew.cli.client import session
from sitecrew.cli.client.describing import describe
from sitecrew.cli.output import times
from sitecrew.cli.output.words import count
from sitecrew.cli.run import COMMANDED

_PATIENCE = 2.0
"""Seconds to wait for all services together."""


def of_services(settings: Settings, broker: Broker, patience: float = _PATIENCE) -> Iterator[Check]:
    """One check per service. Before the first start none runs, so silence is only noted."""
    asked = _Asked(broker, patience)
    for name in COMMANDED:
        yield Check(f"service {name}", partial(_service, settings, asked, name), needs="broker alarms")


class _Asked:
    """The services' answers, asked for together when the first is needed."""

    def __init__(self, broker: Broker, patience: float) -> None:
        self._broker = broker
        self._patience = patience

    @cached_property
    def answers(self) -> Mapping[str, ServiceDescribed] | SitecrewError:
        try:
            return describe(self._broker, self._patience)
        except SitecrewError as error:
            return error


def _service(settings: Settings, asked: _Asked, name: str) -> str:
    answers = asked.answers
    if isinstance(answers, SitecrewError):
        raise Noted(f"cannot be asked: {answers}", "see the checks of the broker")
    told = answers.get(name)
    if told is None:
        raise Noted(
            "does not answer",
            f"start it with `sitecrew run {name}`; if it runs, check its log, and that it uses this amqp_url",
        )
    if others := _others(settings, told):
        raise Noted(
            f"answers ({told.instance}), but differs from this command: {'; '.join(others)}",
            f"give {name} and this command the same version and settings, and restart {name}",
        )
    return f"answers: version {told.version}, since {times.both(told.started_at, session.now())}"


def _others(settings: Settings, told: ServiceDescribed) -> list[str]:
    """How the running service differs from one started with this command's version and settings."""
    pairs = [("version", told.version, version())]
    if told.site_types:
        pairs.append(("site types", ", ".join(sorted(told.site_types)), ", ".join(sorted(settings.sites))))
    if told.timer:
        pairs.append(("timer.every", told.timer, settings.timer.every))
    if told.timezone:
        pairs.append(("timer.timezone", told.timezone, settings.timer.timezone))
    return [f"{what}: {there} there, {here} here" for what, there, here in pairs if there != here]


def alerts(settings: Settings) -> str:
    """Whether anybody is told of what needs staff. Raises Noted if not."""
    told = [f"by email to {', '.join(settings.alerts.to)}"] if settings.alerts.to else []
    try:
        store = Store.existing(settings.api.store_url.get_secret_value())
        with store.reading() as connection:
            wanting = [one for one in endpoints.all_of(connection) if one.is_told_of("alert.raised")]
        store.close()
    except StoreUnreachable:  # perhaps there is no api here
        wanting = []
    if wanting:
        told.append(f"by {count(len(wanting), 'webhook')}")
    if not told:
        raise Noted(
            "nobody is told when something needs staff",
            "set alerts.to to the email addresses of staff, or add a webhook for alert.* in the console",
        )
    return f"staff are told of what needs them {' and '.join(told)}"
