"""Asking the running services for their versions and settings, which may differ from the settings here."""

from collections.abc import Mapping, Sequence
from time import monotonic

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from foundation.config.queues import INSTALLER_COMMANDS, INTAKE_COMMANDS, MAILER_COMMANDS
from schemas.services import ServiceDescribe, ServiceDescribed
from sitecrew.cli.client import sending
from sitecrew.cli.output import terminal
from sitecrew.cli.run import COMMANDED

_LANES = (INTAKE_COMMANDS, INSTALLER_COMMANDS, MAILER_COMMANDS)
_BACKLOG = 50
"""With more commands than this waiting, nobody is consuming them: another question would only wait as well."""


def describe(broker: Broker, timeout: float, wanted: Sequence[str] = COMMANDED) -> Mapping[str, ServiceDescribed]:
    """The answers that arrive within `timeout` seconds, by service name. Raises BrokerUnreachable."""
    if max(broker.depth(lane) or 0 for lane in _LANES) > _BACKLOG:
        return {}
    asked = sending.event(ServiceDescribe(), None)
    answers: dict[str, ServiceDescribed] = {}
    watching = broker.watch(EVENTS, "service.described.#")
    sending.require_confirmed(sending.publish(broker, [sending.message(asked)]))
    with terminal.working("asking the services"):
        for answer in sending.incoming(watching, monotonic() + timeout):
            if answer.trace_id == asked.trace_id and isinstance(answer.data, ServiceDescribed):
                answers.setdefault(answer.data.service, answer.data)
            if set(wanted) <= set(answers):
                break
    return answers
