"""How much work runs on each server that is limited: counted once per transaction, if a handler asks."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping


class Running:
    """How much runs on limited servers: locked and counted in the database once per transaction, if a handler asks; and
    what its handlers have changed since."""

    def __init__(self, count: Callable[[Collection[str]], Mapping[str, int]] = lambda _servers: {}) -> None:
        self._count = count
        self._counted: Mapping[str, int] | None = None
        self._since = Counter[str]()

    def on(self, server: str, limited: Collection[str]) -> int:
        """Return how many run on one of the `limited` servers."""
        if self._counted is None:
            self._counted = self._count(limited)
        return self._counted.get(server, 0) + self._since[server]

    def add(self, server: str, number: int) -> None:
        self._since[server] += number
