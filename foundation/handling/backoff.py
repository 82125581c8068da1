"""Retry policies as data: how long to wait before the next attempt, and after which causes there is one."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from schemas.values import Cause, CauseKind

_NEVER_FURTHER = 30
"""Doublings after which the pause grows no more; a larger exponent would overflow a timedelta."""


@dataclass(frozen=True)
class Backoff:
    """Pauses that double from `first` up to `longest`. Each is varied by up to the fraction `jitter` of it, so that
    work that failed together is not retried together.

    >>> backoff = Backoff(timedelta(seconds=30), timedelta(minutes=5), jitter=0)
    >>> [backoff.pause(attempt).seconds for attempt in (1, 2, 3, 4, 5, 6, 100_000)]
    [30, 60, 120, 240, 300, 300, 300]
    >>> varied = [Backoff(timedelta(seconds=100), timedelta(hours=1)).pause(1).total_seconds() for _ in range(100)]
    >>> 80 <= min(varied) < max(varied) <= 120
    True
    """

    first: timedelta
    longest: timedelta
    jitter: float = 0.2

    def pause(self, attempt: int) -> timedelta:
        """Return how long to wait after a failed attempt; the first attempt is 1."""
        doubled = self.first * 2.0 ** min(attempt - 1, _NEVER_FURTHER)
        return min(doubled, self.longest) * random.uniform(1 - self.jitter, 1 + self.jitter)


@dataclass(frozen=True)
class RetryRule:
    """An exception to the retry policy, for one cause."""

    attempts: int | None = None
    """Maximum number of attempts, if lower than usual."""
    at_once: bool = False
    """Retry without a pause."""


@dataclass(frozen=True)
class Retries:
    """A retry policy: up to `attempts` attempts while the causes are of the kinds in `after`; `rules` holds exceptions,
    by code.

    >>> def cause(code, kind=CauseKind.TRANSIENT): return Cause(code=code, kind=kind, detail="", remedy="")
    >>> rules = {"verify_failed": RetryRule(attempts=2), "worker_lost": RetryRule(at_once=True)}
    >>> retries = Retries(6, Backoff(timedelta(seconds=60), timedelta(hours=1), jitter=0), rules)
    >>> retries.pause(cause("db_down"), 1), retries.pause(cause("db_down"), 5), retries.pause(cause("db_down"), 6)
    (datetime.timedelta(seconds=60), datetime.timedelta(seconds=960), None)
    >>> retries.pause(cause("verify_failed"), 1), retries.pause(cause("verify_failed"), 2)
    (datetime.timedelta(seconds=60), None)
    >>> retries.pause(cause("worker_lost"), 5), retries.pause(cause("worker_lost"), 6)
    (datetime.timedelta(0), None)
    >>> retries.pause(cause("disk_full", CauseKind.CAPACITY), 1) is None
    True
    >>> patient = Retries(6, retries.backoff, after=frozenset({CauseKind.TRANSIENT, CauseKind.CAPACITY}))
    >>> patient.pause(cause("disk_full", CauseKind.CAPACITY), 1)
    datetime.timedelta(seconds=60)
    """

    attempts: int
    backoff: Backoff
    rules: Mapping[str, RetryRule] = field(default_factory=dict)
    after: frozenset[CauseKind] = frozenset({CauseKind.TRANSIENT})

    def limit(self, cause: Cause) -> int:
        """Return the maximum number of attempts that fail for this cause."""
        return min(self.attempts, self._rule(cause).attempts or self.attempts)

    def pause(self, cause: Cause, attempt: int) -> timedelta | None:
        """Return how long to wait after attempt number `attempt` failed (the first is 1); None to give up."""
        if cause.kind not in self.after or attempt >= self.limit(cause):
            return None
        return timedelta(0) if self._rule(cause).at_once else self.backoff.pause(attempt)

    def _rule(self, cause: Cause) -> RetryRule:
        return self.rules.get(cause.code, _USUAL)


_USUAL = RetryRule()
