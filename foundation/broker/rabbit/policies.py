"""What a broker's policies do to our queues, as its management API reports them.

Tested on RabbitMQ 3.10.8. If a policy and one of our arguments set the same number, the smaller wins: a queue with an
`x-message-ttl` of 115 days loses messages after a policy's two seconds. For `overflow` the policy wins, and with
anything but `reject-publish` dead-lettering is at-most-once. For `dead-letter-exchange` and `dead-letter-strategy`
ours wins. So no argument can fend off a TTL or a length limit; all we can do is report it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from foundation.broker.topology import Queue, Topology

_EFFECTS = {
    "message-ttl": "deletes messages after {} ms",
    "expires": "deletes the whole queue when nobody has used it for {} ms",
    "max-length": "accepts at most {} messages",
    "max-length-bytes": "accepts at most {} bytes",
    "delivery-limit": "removes messages that were delivered {} times",
    "overflow": "makes full queues {!r} instead of 'reject-publish', which can lose dead letters",
    "dead-letter-routing-key": "sends what leaves the queue to {!r}",
}
"""The effects that matter to us."""
_ALL = 3
"""Queues that are named; further ones are counted."""

State = Mapping[str, Any]
"""What the management API says about one queue."""


def are_known(topology: Topology, states: Sequence[State]) -> bool:
    """Whether the management API knows the policies of our queues, which takes some seconds after their declaration."""
    ours = {queue.name for queue in topology.queues}
    return all("effective_policy_definition" in state for state in states if state.get("name") in ours)


def harms(topology: Topology, states: Sequence[State]) -> list[str]:
    """What policies do that loses or holds up messages, one sentence per policy and effect."""
    by_name = {state.get("name"): state for state in states}
    found: dict[tuple[str, str], list[str]] = {}
    for queue in topology.queues:
        for key, effect in _effects(queue, by_name.get(queue.name, {})):
            found.setdefault((_policy(by_name[queue.name]), f"{effect} ({key})"), []).append(queue.name)
    return [f"{policy} {effect}: {_named(queues)}" for (policy, effect), queues in found.items()]


def thin(topology: Topology, states: Sequence[State], nodes: int) -> list[str]:
    """Which of our queues would not survive the loss of a node, or have lost their majority already."""
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
        f"only {count} of {nodes} nodes have it, because the others joined later: {_named(names)}. "
        "For a node without it, run rabbitmq-queues grow rabbit@NODE all"
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
