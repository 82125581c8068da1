"""Asking the services what they are: the running ones know, the settings here may be others."""

from collections.abc import Mapping, Sequence
from time import monotonic

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from foundation.config.queues import INSTALLER_COMMANDS, INTAKE_COMMANDS, MAILER_COMMANDS
from schemas.services import ServiceDescribe, ServiceDescribed
from sitecrew.cli.client import sending
from sitecrew.cli.output import terminal
from sitecrew.cli.run import Service

_LANES = (INTAKE_COMMANDS, INSTALLER_COMMANDS, MAILER_COMMANDS)
_BACKLOG = 50
"""So many commands that nobody takes are enough: one more question would only wait with them."""


def describe(broker: Broker, timeout: float, wanted: Sequence[str] = tuple(Service)) -> Mapping[str, ServiceDescribed]:
    """What those say that answer within `timeout` seconds, by their names. Raises BrokerUnreachable."""
    if max(broker.depth(lane) or 0 for lane in _LANES) > _BACKLOG:
        return {}
    asked = sending.event(ServiceDescribe(), None)
    answers: dict[str, ServiceDescribed] = {}
    watching = broker.watch(EVENTS, "service.described.#")
    sending.require_confirmed(sending.publish(broker, [sending.message(asked)]))
    with terminal.working("asking the services"):
        for heard in sending.heard(watching, monotonic() + timeout):
            if heard.trace_id == asked.trace_id and isinstance(heard.data, ServiceDescribed):
                answers.setdefault(heard.data.service, heard.data)
            if set(wanted) <= set(answers):
                break
    return answers
