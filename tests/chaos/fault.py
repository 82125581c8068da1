"""The one shape of all faults, and the options of a run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.system import System

REPLICAS = {"order-intake": 2, "installer": 2, "mailer": 2, "api": 1}
REPLICA_NAMES = tuple(f"{service}-{number}" for service, count in REPLICAS.items() for number in range(count))


@dataclass(frozen=True)
class Options:
    """What a run consists of, besides its seed."""

    orders: int = 300
    seconds: float = 240.0
    """How long orders and faults keep coming."""
    store: str = "sqlite"
    site: str = "static"
    only: tuple[str, ...] = ()
    """The kinds of faults; empty: all."""


def _everything(_options: Options) -> str:
    return ""


@dataclass(frozen=True)
class Fault:
    """One kind. `cause` is entered to break something, and left to mend it."""

    kind: str
    lane: str
    """Faults of one lane take turns."""
    seconds: tuple[float, float]
    """How long it lasts, at least and at most."""
    targets: Callable[[Options], tuple[str, ...]]
    cause: Callable[["System", str], AbstractContextManager[None]]
    impossible: Callable[[Options], str] = field(default=_everything)
    """Why it cannot be done here; empty if it can."""
    doubles: bool = False
    """Whether a letter may go out twice because of it: between the mail server's answer and the mailer's record."""

    def is_in(self, options: Options) -> bool:
        """Whether a run makes use of it."""
        return (not options.only or self.kind in options.only) and not self.impossible(options)


def one(name: str) -> Callable[[Options], tuple[str, ...]]:
    """The only target there is."""
    return lambda _options: (name,)


def any_replica(_options: Options) -> tuple[str, ...]:
    return REPLICA_NAMES


def needs_store(store: str) -> Callable[[Options], str]:
    return lambda options: "" if options.store == store else f"needs --store {store}"
