"""What `sitecrew doctor` asks the broker, by AMQP and, where its address is set, by RabbitMQ's management."""

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
"""Bytes. What is larger than a quarter of this is no event of ours; the rest is room for other people's headers."""
_GATHERED = 7.0
"""Seconds within which management knows of a new queue or policy; it gathers every five."""
_REMEDY = (
    "see `rabbitmqctl list_policies` and `list_operator_policies`. A policy of ours with a higher priority takes its "
    "place (rabbitmqctl set_policy --priority 100 --apply-to queues sitecrew PATTERN '{\"delivery-limit\":1000000}'); "
    "an operator policy can't be overridden: ask for a virtual host of Sitecrew's own"
)
_UNSEEN = (
    "what the house's policies do to our queues, and on how many nodes these are, can't be seen by AMQP",
    "set amqp_management_url, or look yourself: `rabbitmqctl list_policies`, `rabbitmq-queues quorum_status QUEUE`",
)


def of_broker(settings: Settings, broker: RabbitBroker) -> Iterator[Check]:
    """Each check of the broker."""
    code = BrokerUnreachable.exit_code
    yield Check("broker", partial(_answers, broker), code)
    yield Check("topology", partial(_topology, broker), code, needs="broker")
    yield Check("broker policies", partial(_policies, settings, broker.topology), code, needs="topology")
    yield Check("broker alarms", partial(_alarm, broker), code, needs="topology")
    yield Check("message size", partial(_size, broker), code, needs="broker alarms")


def troubles_of(settings: Settings, topology: Topology) -> list[str] | None:
    """What policies and lost nodes do to our queues, a sentence each; None if nobody can be asked. Raises
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
    if differences := broker.differences():
        raise ConfigurationError(_first_of(differences))
    return "the broker has what is wanted"


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
        raise Noted(f"an alarm could not be seen: {refused}", "`rabbitmqctl status` shows it") from None
    if reason:
        raise BrokerUnreachable(
            f"the broker takes no messages: {reason}. Nothing is lost, and nothing goes on until it has room again: "
            "`rabbitmqctl status` shows its limits"
        )
    return "there is none: the broker takes messages"


def _size(broker: RabbitBroker) -> str:
    try:
        unlimited = broker.takes(LARGEST + 1)
    except Refused as refused:
        raise Noted(f"the largest message could not be tried: {refused}", "see max_message_size") from None
    if unlimited:
        raise Noted(
            f"the broker takes messages of more than {LARGEST} bytes; many of them at once end a service's memory",
            f"set max_message_size = {LARGEST} in rabbitmq.conf",
        )
    return f"messages of more than {LARGEST} bytes are refused"


def _first_of(sentences: list[str]) -> str:
    more = f" (and {len(sentences) - 1} more, see `sitecrew topology check`)" if len(sentences) > 1 else ""
    return f"{sentences[0]}{more}"
