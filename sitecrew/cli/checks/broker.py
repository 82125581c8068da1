"""What `sitecrew doctor` checks on the broker: over AMQP, and over RabbitMQ's management API if its URL is set."""

from collections.abc import Iterator
from functools import partial
from threading import Event as Pause
from time import monotonic

from foundation.broker.rabbit import RabbitBroker, policies
from foundation.broker.rabbit.management import Management
from foundation.broker.topology import Topology
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable, ConfigurationError, Refused
from sitecrew.cli.checks.findings import Check, Noted

LARGEST = 1_048_576
"""Bytes. Our events are at most a quarter of this; the rest leaves room for other people's headers."""
_GATHERED = 7.0
"""Seconds within which the management API knows a new queue or policy; it refreshes every five."""
_REMEDY = (
    "see `rabbitmqctl list_policies` and `list_operator_policies`. Override it with a policy of higher priority "
    "(rabbitmqctl set_policy --priority 100 --apply-to queues sitecrew PATTERN '{\"delivery-limit\":1000000}'); "
    "an operator policy cannot be overridden: ask for a virtual host of Sitecrew's own"
)
_UNSEEN = (
    "AMQP does not show which policies apply to our queues, nor on how many nodes the queues are",
    "set amqp_management_url, or check with `rabbitmqctl list_policies` and `rabbitmq-queues quorum_status QUEUE`",
)


def of_broker(settings: Settings, broker: RabbitBroker) -> Iterator[Check]:
    """The checks of the broker."""
    code = BrokerUnreachable.exit_code
    yield Check("broker", partial(_answers, broker), code)
    yield Check("topology", partial(_topology, broker), code, needs="broker")
    yield Check("broker policies", partial(_policies, settings, broker.topology), code, needs="topology")
    yield Check("broker alarms", partial(_alarm, broker), code, needs="topology")
    yield Check("message size", partial(_size, broker), code, needs="broker alarms")


def troubles_of(settings: Settings, topology: Topology) -> list[str] | None:
    """What policies and lost nodes do to our queues, one sentence each; None without a management URL. Raises
    BrokerUnreachable, ConfigurationError."""
    url = settings.amqp_management_url.get_secret_value()
    if not url:
        return None
    amqp_url, tls = settings.amqp_url.get_secret_value(), settings.amqp_tls.files()
    management = Management.of(url, amqp_url, settings.amqp_timeout_seconds, tls)
    ends, states = monotonic() + _GATHERED, management.queues()
    while not policies.are_known(topology, states) and monotonic() < ends:
        Pause().wait(0.5)
        states = management.queues()
    return [*policies.harms(topology, states), *policies.thin(topology, states, management.nodes())]


def _answers(broker: RabbitBroker) -> str:
    return f"RabbitMQ {broker.version()} answers"


def _topology(broker: RabbitBroker) -> str:
    try:
        differences = broker.differences()
    except Refused as refused:
        broker.declare()  # which this user may not, so it looks that what it needs is there
        found = f"what {broker.user} needs is there; {refused}"
        raise Noted(found, "use an administrator's amqp_url for `sitecrew topology check`") from None
    if differences:
        raise ConfigurationError(_first_of(differences))
    return "exchanges, queues and bindings are as expected"


def _policies(settings: Settings, topology: Topology) -> str:
    troubles = troubles_of(settings, topology)
    if troubles is None:
        raise Noted(*_UNSEEN)
    if troubles:
        raise ConfigurationError(f"{_first_of(troubles)}. What to do: {_REMEDY}")
    return "no policy loses messages, and each queue is on as many nodes as it can be"


def _alarm(broker: RabbitBroker) -> str:
    try:
        reason = broker.alarm()
    except Refused as refused:
        raise Noted(f"cannot tell whether there is an alarm: {refused}", "see `rabbitmqctl status`") from None
    if reason:
        raise BrokerUnreachable(
            f"the broker accepts no messages: {reason}. Nothing is lost; work resumes once it has room again. "
            "`rabbitmqctl status` shows its limits"
        )
    return "none: the broker accepts messages"


def _size(broker: RabbitBroker) -> str:
    try:
        unlimited = broker.takes(LARGEST + 1)
    except Refused as refused:
        raise Noted(f"cannot test the message size limit: {refused}", "see max_message_size") from None
    if unlimited:
        raise Noted(
            f"the broker accepts messages of more than {LARGEST} bytes; many at once can exhaust a service's memory",
            f"set max_message_size = {LARGEST} in rabbitmq.conf",
        )
    return f"messages larger than {LARGEST} bytes are refused"


def _first_of(sentences: list[str]) -> str:
    more = f" (and {len(sentences) - 1} more, see `sitecrew topology check`)" if len(sentences) > 1 else ""
    return f"{sentences[0]}{more}"
