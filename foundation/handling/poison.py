"""Isolate poison messages: a message that may have killed its worker is handled alone."""

import random

from foundation.broker import Delivery
from foundation.handling.unit_of_work import is_suspect


class PoisonWard:
    """Holds suspects: deliveries that were made before and never settled, so any of them may have killed its worker.

    Each is handled while nothing else is in flight, so if it kills the worker again, nothing else is affected.
    """

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
        """Keep the suspects, and return the others."""
        self._waiting += [delivery for delivery in arrived if is_suspect(delivery)]
        return [delivery for delivery in arrived if not is_suspect(delivery)]

    def next(self, *, idle: bool) -> Delivery | None:
        """Return a suspect to handle now; None if there is none, or the worker is not `idle`."""
        self._trying = self._trying and not idle
        if not idle or not self._waiting:
            return None
        self._trying = True
        # Picked at random: if the poison message were always first, the others would be redelivered along with it
        # until the broker parks them all.
        return self._waiting.pop(random.randrange(len(self._waiting)))

    def clear(self) -> None:
        """Forget the waiting suspects; the broker still has them."""
        self._waiting.clear()
