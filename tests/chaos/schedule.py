"""What is done to a run, and when: a pure function of the seed and the options."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.fault import Fault, Options

_QUIET = (2.0, 14.0)
"""Seconds between two faults of one lane, at least and at most."""


@dataclass(frozen=True, order=True)
class Strike:
    """A fault: when it begins and how long it lasts (seconds), and whom it hits."""

    at: float
    kind: str
    target: str
    seconds: float


@dataclass(frozen=True, order=True)
class Wish:
    """What somebody asks for: `place`, `place again`, `cancel`, `reinstall` or `retry` order number `order`."""

    at: float
    what: str
    order: int


@dataclass(frozen=True)
class Schedule:
    """All of a run. Faults of one lane never overlap; those of different lanes do."""

    lanes: dict[str, tuple[Strike, ...]]
    wishes: tuple[Wish, ...]

    @property
    def strikes(self) -> list[Strike]:
        return sorted(strike for lane in self.lanes.values() for strike in lane)


def schedule(seed: int, options: Options, catalogue: Sequence[Fault]) -> Schedule:
    """Return what happens in a run with this seed. The same arguments always give the same schedule."""
    possible = [fault for fault in catalogue if fault.is_in(options)]
    lanes = {}
    for lane in dict.fromkeys(fault.lane for fault in possible):
        chance = random.Random(f"{seed} {lane}")  # its own, so that a lane left out changes no other
        faults = [fault for fault in possible if fault.lane == lane]
        lanes[lane] = tuple(_strikes(chance, options, faults))
    return Schedule(lanes, tuple(sorted(_wishes(random.Random(f"{seed} wishes"), options))))


def _strikes(chance: random.Random, options: Options, faults: Sequence[Fault]) -> Iterator[Strike]:
    at = chance.uniform(*_QUIET)
    waiting: list[Fault] = []
    while True:
        if not waiting:  # each kind once before any comes again
            waiting = chance.sample(faults, len(faults))
        fault = waiting.pop()
        seconds = chance.uniform(*fault.seconds)
        if at + seconds > options.seconds:
            return
        yield Strike(round(at, 1), fault.kind, chance.choice(fault.targets(options)), round(seconds, 1))
        at += seconds + chance.uniform(*_QUIET)


def _wishes(chance: random.Random, options: Options) -> Iterator[Wish]:
    for order in range(options.orders):
        placed = chance.uniform(0, options.seconds * 0.9)
        yield Wish(round(placed, 2), "place", order)
        for what, share in (("place again", 0.1), ("cancel", 0.08), ("reinstall", 0.15), ("retry", 0.05)):
            if chance.random() < share:
                yield Wish(round(min(placed + chance.expovariate(1 / 8), options.seconds), 2), what, order)
