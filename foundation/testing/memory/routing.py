"""Where a message goes: exchanges and bindings, followed as RabbitMQ follows them."""

from collections.abc import Iterable

from foundation.broker.topology import Binding, Exchange, Topology, matches


class Routes:
    """A table of exchanges and bindings that can be added to. Not safe to change from two threads."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}
        self._bound: dict[str, dict[Binding, None]] = {}
        self._declared: Topology | None = None

    def __contains__(self, exchange: str) -> bool:
        return exchange in self._exchanges

    def declare(self, topology: Topology) -> None:
        """Add what a topology has; nothing that is in one is ever unbound, so the same again changes nothing."""
        if topology is self._declared:
            return
        self._declared = topology
        for exchange in topology.exchanges:
            self._exchanges.setdefault(exchange.name, exchange)
        self.bind(topology.bindings)
        for binding in topology.retired:
            self._bound.get(binding.source, {}).pop(binding, None)

    def bind(self, bindings: Iterable[Binding]) -> None:
        for binding in bindings:
            self._bound.setdefault(binding.source, {})[binding] = None

    def unbind(self, queue: str) -> None:
        for bound in self._bound.values():
            for binding in [b for b in bound if b.target == queue and not b.to_exchange]:
                del bound[binding]

    def queues(self, exchange: str, key: str) -> list[str]:
        """The queues that a message reaches, each once, through however many exchanges. The nameless
        exchange leads to the queue that the key names."""
        if exchange == "":
            return [key]
        found: dict[str, None] = {}
        passed, ahead = {exchange}, [exchange]
        while ahead:
            for target, is_exchange in self._targets(ahead.pop(), key):
                if not is_exchange:
                    found[target] = None
                elif target not in passed:
                    passed.add(target)
                    ahead.append(target)
        return list(found)

    def _targets(self, exchange: str, key: str) -> list[tuple[str, bool]]:
        fanout = self._exchanges[exchange].kind == "fanout"
        targets = [(b.target, b.to_exchange) for b in self._bound.get(exchange, ()) if fanout or matches(b.key, key)]
        alternate = self._exchanges[exchange].arguments.get("alternate-exchange")
        return [(alternate, True)] if alternate and not targets else targets
