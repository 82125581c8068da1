"""What is told of a burst: from its events alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bench.trials.burst import Seen
from schemas.installs import InstallCompleted, InstallFailed, InstallStarted
from schemas.mails import MailSent
from schemas.values import Model

TICK = datetime(2026, 11, 27, 10, tzinfo=UTC)


Moment = tuple[type[Model], str, float]


def seen(*events: Moment) -> Seen:
    """What was seen, by event, order and seconds after the tick."""
    found = Seen()
    for kind, order, seconds in events:
        found.moments.setdefault(kind, {})[order] = TICK + timedelta(seconds=seconds)
    return found


def figures(*events: Moment) -> dict[str, Any]:
    return seen(*events).figures({"a", "b", "c"}, TICK)


WHOLE: list[Moment] = [
    *[(InstallStarted, order, 1.0) for order in "abc"],
    (InstallCompleted, "a", 2.0),
    (InstallCompleted, "b", 3.0),
    (InstallCompleted, "c", 29.0),
    *[(MailSent, order, 30.0) for order in "abc"],
]


def test_a_burst_is_told_from_the_tick_to_the_last_letter() -> None:
    assert figures(*WHOLE) == {
        "orders": 3,
        "failed": 0,
        "letters_missing": 0,
        "minutes": 0.5,
        "per_minute": 6.0,
        "median_seconds_from_claim_to_verified": 2.0,
    }


def test_what_failed_is_told_and_has_no_letter() -> None:
    told = figures(*WHOLE[:5], (InstallFailed, "c", 29.0), *WHOLE[6:8])
    assert (told["failed"], told["letters_missing"]) == (1, 1)
