"""When the timer ticks: in its time zone, through summer time and back, by every way that asks."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from foundation.config.settings import Timer
from tests.support.cli import settings_file, sitecrew
from tests.support.house import House


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(every: str, zone: str, after: str, count: int) -> list[str]:
    found = islice(Timer(every=every, timezone=zone).ticks(utc(after)), count)
    return [f"{tick:%m-%d %H:%M}" for tick in found]


@pytest.mark.parametrize(
    ("every", "zone", "after", "expected"),
    [
        ("30 3 * * *", "UTC", "2026-01-01 00:00", ["01-01 03:30", "01-02 03:30"]),
        ("30 3 * * *", "Europe/Berlin", "2026-01-01 00:00", ["01-01 02:30", "01-02 02:30"]),
        ("30 3 * * *", "Europe/Berlin", "2026-07-01 00:00", ["07-01 01:30", "07-02 01:30"]),
        ("0 9 * * MON", "America/New_York", "2026-03-01 00:00", ["03-02 14:00", "03-09 13:00"]),
        ("0 0 * * *", "Asia/Kathmandu", "2026-01-01 00:00", ["01-01 18:15", "01-02 18:15"]),
        # The night of March 29th, 2026: there is no 02:30 in Berlin; it comes right after.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", ["03-29 01:00", "03-30 00:30"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29 00:10", ["03-29 00:30", "03-29 01:00", "03-29 01:30"]),
        # The night of October 25th: 02:30 comes twice, and what is meant once comes once.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:45", ["10-26 01:30"]),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 01:10", ["10-26 01:30"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25 00:10", ["10-25 00:30", "10-25 01:00", "10-25 01:30"]),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25 01:10", ["10-25 01:30", "10-25 02:00"]),
        ("15 2,3 * * *", "Europe/Berlin", "2026-10-25 01:10", ["10-25 02:15", "10-26 01:15"]),
    ],
)
def test_an_expression_is_meant_in_its_zone(every: str, zone: str, after: str, expected: list[str]) -> None:
    assert ticks(every, zone, after, len(expected)) == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"])
@pytest.mark.parametrize("every", ["*/5 * * * *", "30 2 * * *", "0 2,3 * * *", "*/20 * * * * *", "15 1-3 * * *"])
def test_a_tick_is_always_to_come_and_none_is_twice(every: str, zone: str) -> None:
    """Else the timer would begin batch after batch through a whole hour."""
    timer = Timer(every=every, timezone=zone)
    for night in ("2026-03-28 23:00", "2026-10-24 23:00", "2026-04-04 13:00", "2026-11-01 03:00"):
        for minutes in range(0, 300, 7):
            moment = utc(night) + timedelta(minutes=minutes, seconds=13)
            first, second = islice(timer.ticks(moment), 2)
            assert moment < first < second
            assert timer.first_tick(first) == first
            assert next(timer.ticks(first)) == second


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "berlin", "../../etc/passwd", "Europe", "CET+1", 7, None])
def test_what_is_no_zone_is_refused_in_words(zone: Any) -> None:
    with pytest.raises(ValidationError):
        Timer(timezone=zone)


def test_the_settings_say_how_to_write_a_zone(tmp_path: Path) -> None:
    config = settings_file(tmp_path, timer__timezone="Berlin")
    ran = sitecrew("--config", config, "config", "show")
    assert ran.exit_code != 0
    assert "timer.timezone" in ran.stderr
    assert "use a name such as Europe/Berlin" in ran.stderr


def test_an_install_is_announced_for_the_tick_in_the_timers_zone(tmp_path: Path) -> None:
    zone = {"every": "30 3 * * *", "timezone": "Europe/Berlin"}
    house = House(tmp_path, timer=zone)
    house.order(1)
    house.settle()
    assert house.install().begins_at == datetime(2026, 1, 2, 2, 30, tzinfo=UTC)
