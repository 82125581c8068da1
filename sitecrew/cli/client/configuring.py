"""Having every service handle a site type in another way from now on."""

from collections.abc import Mapping
from time import monotonic

from foundation.broker import Broker
from foundation.broker.topology import EVENTS
from foundation.errors import NotFound
from schemas.installs import CommandRefused
from schemas.services import SiteTypeConfigure, SiteTypeConfigured
from sitecrew.cli.client import sending
from sitecrew.cli.output import terminal
from sitecrew.cli.run import COMMANDED


def configure(broker: Broker, wanted: SiteTypeConfigure, timeout: float) -> Mapping[str, SiteTypeConfigured]:
    """The answers that arrive within `timeout` seconds, by service name. Raises NotFound if it is refused, Refused or
    BrokerUnreachable if the broker does not take the command."""
    asked = sending.event(wanted, None)
    answers: dict[str, SiteTypeConfigured] = {}
    watching = broker.watch(EVENTS, "site_type.configured.#", "command.refused.#")
    sending.require_confirmed(sending.publish(broker, [sending.message(asked)]))
    with terminal.working("waiting for the services"):
        for answer in sending.incoming(watching, monotonic() + timeout):
            if isinstance(answer.data, CommandRefused) and answer.data.command_id == asked.id:
                raise NotFound(f"{answer.data.cause.detail}. What to do: {answer.data.cause.remedy}")
            if isinstance(answer.data, SiteTypeConfigured) and answer.trace_id == asked.trace_id:
                answers[answer.data.service] = answer.data
            if set(COMMANDED) <= set(answers):
                break
    return answers
