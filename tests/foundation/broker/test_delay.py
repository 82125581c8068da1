"""The ladder: however long the delay, the stays on its levels add up to it."""

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.broker.delay import DELIVER, Ladder, destination
from foundation.broker.topology import matches
from foundation.config.queues import sitecrew

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LADDERS = st.builds(Ladder, unit_ms=st.integers(1, 60_000), levels=st.integers(1, 24))


def stays(ladder: Ladder, exchange: str, key: str) -> list[int]:
    """The levels on whose queues a message stays on its way down to delivery, by the bindings alone."""
    stayed = []
    exchanges = [ladder.level(number) for number in range(ladder.levels)]
    while exchange != DELIVER:
        level = exchanges.index(exchange)
        kept, passed = matches(ladder.stays(level), key), matches(ladder.passes(level), key)
        assert kept != passed, "a message goes one way, and only one"
        stayed += [level] * kept
        exchange = exchanges[level - 1] if level else DELIVER
    return stayed


@given(LADDERS, st.data())
def test_the_stays_add_up_to_the_delay(ladder: Ladder, data: st.DataObject) -> None:
    units = data.draw(st.integers(1, 2**ladder.levels - 1))
    due = NOW + units * timedelta(milliseconds=ladder.unit_ms)
    exchange, key = ladder.route("installer-due", due, NOW)
    levels = stays(ladder, exchange, key)
    assert sum(2**level for level in levels) == units
    assert exchange == ladder.level(max(levels)), "it enters where it stays first"
    assert key.split(".")[-1] == "installer-due"
    assert len(key.split(".")) == ladder.levels + 1


@given(
    st.builds(Ladder, unit_ms=st.integers(1, 10_000), levels=st.just(24)),
    st.timedeltas(timedelta(microseconds=1), timedelta(seconds=16_000)),
)
@example(Ladder(unit_ms=1, levels=24), timedelta(milliseconds=2007))
@example(Ladder(unit_ms=1, levels=24), timedelta(milliseconds=8_388_609))
def test_a_delay_is_rounded_up_to_whole_units_and_no_further(ladder: Ladder, delay: timedelta) -> None:
    exchange, key = ladder.route("x", NOW + delay, NOW)
    stay = sum(2**level for level in stays(ladder, exchange, key)) * ladder.unit_ms * 1000
    wanted = Fraction(delay // timedelta(microseconds=1))
    assert wanted <= stay < wanted + ladder.unit_ms * 1000


@given(LADDERS, st.timedeltas(timedelta(days=-1000), timedelta(0)))
def test_what_is_due_or_overdue_goes_straight_to_delivery(ladder: Ladder, delay: timedelta) -> None:
    assert ladder.route("mailer-installs", NOW + delay, NOW) == (DELIVER, "mailer-installs")


@given(LADDERS)
def test_the_ladder_reaches_as_far_as_it_says_and_refuses_what_lies_beyond(ladder: Ladder) -> None:
    reach = (2**ladder.levels - 1) * timedelta(milliseconds=ladder.unit_ms)
    assert reach.total_seconds() == pytest.approx(ladder.reach_seconds)
    exchange, key = ladder.route("x", NOW + reach, NOW)
    assert stays(ladder, exchange, key) == list(reversed(range(ladder.levels)))
    with pytest.raises(ValueError, match="beyond the ladder's reach"):
        ladder.route("x", NOW + reach + timedelta(microseconds=1), NOW)


def test_time_zones_make_no_difference() -> None:
    due = (NOW + timedelta(seconds=5)).astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert Ladder(1000, 5).route("installer-due", due, NOW) == ("delay.2", "0.0.1.0.1.installer-due")


def test_the_default_reaches_twelve_days() -> None:
    assert Ladder().reach_seconds > timedelta(days=12).total_seconds()


@given(st.integers(1, 24), st.integers(0, 23))
def test_a_level_keeps_a_message_twice_as_long_as_the_one_below(levels: int, number: int) -> None:
    queues = {queue.name: queue.arguments for queue in sitecrew(Ladder(unit_ms=250, levels=levels)).queues}
    if number < levels:
        assert queues[f"delay.{number}"]["x-message-ttl"] == 250 * 2**number
        assert queues[f"delay.{number}"]["x-dead-letter-exchange"] == (f"delay.{number - 1}" if number else DELIVER)
    else:
        assert f"delay.{number}" not in queues


def test_a_destination_is_one_word_of_a_routing_key() -> None:
    assert destination("installer.due") == "installer-due"
