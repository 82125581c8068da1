"""One run: everything up, orders and faults by the schedule, everything healed, rest, the verdict."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

from foundation.config.queues import API_EVENTS
from foundation.config.settings import load
from foundation.errors import SitecrewError
from sitecrew.cli.client.rebuilding import rebuild
from tests.chaos.customers import Customers
from tests.chaos.fault import Options
from tests.chaos.faults import BY_KIND, CATALOGUE
from tests.chaos.rest import Staff, moving
from tests.chaos.schedule import Schedule, Strike, schedule
from tests.chaos.system import System
from tests.chaos.timeline import Timeline
from tests.chaos.verdict import Verdict, judge

REST = 240.0
"""Seconds within which everything must be at rest once all is healed."""
_LEADERLESS = 60.0
"""Seconds without rest, after which staff look at the queues."""
_NEWS = 10.0
_REBUILT = 60.0
"""Seconds without progress after which the projection counts as not rebuilt."""


@dataclass
class Report:
    """What a run came to."""

    seed: int
    options: Options
    verdict: Verdict
    timeline: Timeline
    left_out: dict[str, str]
    rested_after: float = 0.0
    """Seconds from the end of all trouble until nothing moved any more."""
    by_hand: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.verdict.violations

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "options": asdict(self.options),
            "clean": self.is_clean,
            **asdict(self.verdict),
            "rested_after_seconds": self.rested_after,
            "put_right_by_staff": self.by_hand,
            "left_out": self.left_out,
            "timeline": self.timeline.as_json(),
        }


def run(seed: int, options: Options, directory: Path, timeline: Timeline) -> Report:
    """Carry out a run in a new directory. Raises SitecrewError if it could not be run."""
    planned = schedule(seed, options, CATALOGUE)
    wanted = [fault for fault in CATALOGUE if not options.only or fault.kind in options.only]
    left_out = {fault.kind: why for fault in wanted if (why := fault.impossible(options))}
    system = System(directory, options, timeline.surprise)
    timeline.say(f"starting everything in {directory}")
    with system.up():
        timeline.starts()
        with Customers(system) as customers:
            _carry_out(planned, system, customers, timeline)
            timeline.say("all healed; waiting for rest")
            staff = Staff()
            began = timeline.now
            left = _rest(system, customers, staff, timeline)
            rested = round(timeline.now - began, 1)
            staff.elect(system)  # nothing has to move through such a queue, and yet it cannot be looked into
            if not left and _lost_events(timeline):
                timeline.say("staff rebuild the projection: the broker has lost events")
                staff.by_hand["projection"] = "events that the broker lost"
                rebuild(load(system.config, environment=False), _REBUILT)
        verdict = judge(system, timeline)
        verdict.violations[:0] = [f"not at rest after {REST:g} s: {count} {what}" for what, count in left.items()]
        if verdict.violations:
            system.keep()
    return Report(seed, options, verdict, timeline, left_out, rested, staff.by_hand)


def _carry_out(planned: Schedule, system: System, customers: Customers, timeline: Timeline) -> None:
    stop = Event()
    lanes = [Thread(target=_lane, args=(lane, system, timeline, stop)) for lane in planned.lanes.values()]
    lanes.append(Thread(target=_wish, args=(planned, customers, timeline, stop)))
    for lane in lanes:
        lane.start()
    try:
        while any(lane.is_alive() for lane in lanes):
            stop.wait(_NEWS)
            timeline.say(f"-- {customers.placed} of {system.options.orders} orders placed, {_letters(system)}")
    finally:
        stop.set()  # Ctrl-C: whatever is broken is mended, and nothing more is broken
        for lane in lanes:
            lane.join()


def _lane(strikes: tuple[Strike, ...], system: System, timeline: Timeline, stop: Event) -> None:
    for strike in strikes:
        if stop.wait(max(0.0, strike.at - timeline.now)):
            return
        entry = timeline.begins(strike.kind, strike.target, strike.seconds)
        try:
            with BY_KIND[strike.kind].cause(system, strike.target):
                stop.wait(strike.seconds)
        except Exception as error:  # noqa: BLE001 - the run goes on, and the report says so
            entry.trouble = f"{type(error).__name__}: {error}"
        timeline.ended(entry)


def _wish(planned: Schedule, customers: Customers, timeline: Timeline, stop: Event) -> None:
    for wish in planned.wishes:
        if stop.wait(max(0.0, wish.at - timeline.now)):
            return
        customers.ask(wish)


def _rest(system: System, customers: Customers, staff: Staff, timeline: Timeline) -> dict[str, int]:
    """Wait until nothing moves, for so long at most; return what still does."""
    ends, told, looks_at = timeline.now + REST, timeline.now, timeline.now + _LEADERLESS
    while True:
        try:
            if timeline.now > looks_at:
                looks_at = ends
                staff.elect(system)
            staff.work(system, customers)
            left = moving(system, customers)
            if not left:
                left = moving(system, customers)  # what staff had just asked for is under way by now
        except SitecrewError as error:
            left = {str(error): 1}
        if not left or timeline.now > ends:
            return left
        if timeline.now - told > _NEWS:
            told = timeline.now
            timeline.say(f"-- {', '.join(f'{count} {what}' for what, count in left.items())}")
        Event().wait(0.5)


def _lost_events(timeline: Timeline) -> bool:
    """Whether there were events that the services had told, and that the api can't know of."""
    return any(one.kind == "broker wiped" or one.target == API_EVENTS for one in timeline.entries)


def _letters(system: System) -> str:
    return f"{len(system.mailbox.messages())} letters received"
