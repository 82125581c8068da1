"""Isolation of poison messages: what may have ended its worker is handled alone."""

import random

from foundation.broker import Delivery
from foundation.handling.unit_of_work import is_suspect


class PoisonWard:
    """Holds suspects: deliveries that were handed out before and never settled. One of them may be what ended its
    worker, so each is handled while nothing else is, and its neighbours are safely done before it gets its chance."""

    def __init__(self) -> None:
        self._waiting: list[Delivery] = []
        self._trying = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing new may be taken: a suspect waits, or has its chance just now."""
        return bool(self._waiting) or self._trying

    @property
    def is_empty(self) -> bool:
        return not self._waiting

    def admit(self, arrived: list[Delivery]) -> list[Delivery]:
        """Keep the suspects; the others."""
        self._waiting += [delivery for delivery in arrived if is_suspect(delivery)]
        return [delivery for delivery in arrived if not is_suspect(delivery)]

    def next(self, *, alone: bool) -> Delivery | None:
        """A suspect to be handled now, if there is one and nothing else is in hand."""
        self._trying = self._trying and not alone
        if not alone or not self._waiting:
            return None
        self._trying = True
        # Any of them: if the one that kills were always the first, the others would be handed out and
        # returned with it until the broker parks them all.
        return self._waiting.pop(random.randrange(len(self._waiting)))

    def clear(self) -> None:
        """Forget those that wait: the broker has them still."""
        self._waiting.clear()
