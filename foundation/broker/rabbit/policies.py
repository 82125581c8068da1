"""What the policies of a broker's house do to our queues, by what its management says of them.

Tried on RabbitMQ 3.10.8. Of a number that both a policy and an argument of ours give, the smaller counts: a queue
with an `x-message-ttl` of 115 days forgets after the two seconds of a policy. Of `overflow` the policy's word counts,
and with any other than `reject-publish` dead-lettering is at most once. Of `dead-letter-exchange` and
`dead-letter-strategy` ours counts. So no argument can keep a lifetime or a length away; all that can be done is to say
so.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foundation.broker.topology import Queue, Topology

_EFFECTS = {
    "message-ttl": "deletes messages after {} ms",
    "expires": "deletes the whole queue when nobody has used it for {} ms",
    "max-length": "lets no more than {} messages in",
    "max-length-bytes": "lets no more than {} bytes in",
    "delivery-limit": "takes messages out that were handed out {} times",
    "overflow": "has full queues do {!r} instead of 'reject-publish', and dead letters lost on the way",
    "dead-letter-routing-key": "sends what leaves the queue to {!r}",
}
"""Of what matters to us."""
_ALL = 3
"""So many queues are named; more are counted."""

State = Mapping[str, Any]
"""What management says of one queue."""


def are_known(topology: Topology, states: Sequence[State]) -> bool:
    """Whether management has gathered the policies of our queues, which takes it some seconds after they were made."""
    ours = {queue.name for queue in topology.queues}
    return all("effective_policy_definition" in state for state in states if state.get("name") in ours)


def harms(topology: Topology, states: Sequence[State]) -> list[str]:
    """What policies do that loses or holds up messages, a sentence for each policy and effect."""
    by_name = {state.get("name"): state for state in states}
    found: dict[tuple[str, str], list[str]] = {}
    for queue in topology.queues:
        for key, effect in _effects(queue, by_name.get(queue.name, {})):
            found.setdefault((_policy(by_name[queue.name]), f"{effect} ({key})"), []).append(queue.name)
    return [f"{policy} {effect}: {_named(queues)}" for (policy, effect), queues in found.items()]


def thin(topology: Topology, states: Sequence[State], nodes: int) -> list[str]:
    """Which of our queues would not survive the loss of a node of so many, or have lost their majority already."""
    ours = {queue.name for queue in topology.queues}
    states = [state for state in states if state.get("name") in ours and state.get("type") == "quorum"]
    wanted = min(nodes, 3)
    few: dict[int, list[str]] = {}
    for state in states:
        if (count := len(state.get("members") or [])) < wanted:
            few.setdefault(count, []).append(str(state["name"]))
    lost = [str(s["name"]) for s in states if len(s.get("online") or []) * 2 <= len(s.get("members") or [])]
    said = [f"the majority of its members is away: {_named(lost)}"] if lost else []
    return said + [
        f"only {count} of {nodes} nodes keep it, since the others joined later: {_named(names)}. "
        "On a node without it: rabbitmq-queues grow rabbit@NODE all"
        for count, names in few.items()
    ]


def _effects(queue: Queue, state: State) -> Iterator[tuple[str, str]]:
    effective = state.get("effective_policy_definition")
    for key, value in effective.items() if isinstance(effective, dict) else ():
        own = queue.arguments.get(f"x-{key}")
        harmless = own == value or (isinstance(own, int) and isinstance(value, int) and own < value)
        if key in _EFFECTS and not harmless:
            yield key, _EFFECTS[key].format(value)


def _policy(state: State) -> str:
    names = [f"{kind} {state[key]!r}" for kind, key in _KINDS if state.get(key)]
    return " with ".join(names) or "a policy"


_KINDS = (("the policy", "policy"), ("the operator policy", "operator_policy"))


def _named(queues: Sequence[str]) -> str:
    more = f" and {len(queues) - _ALL} more" if len(queues) > _ALL else ""
    return f"{', '.join(queues[:_ALL])}{more}"
