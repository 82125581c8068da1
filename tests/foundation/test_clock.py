"""Clocks that differ, jump, or are put back: no lease is taken from who is alive, and nobody waits for nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foundation import clock as clock_module
from foundation.clock import SharedClock
from foundation.errors import StoreUnreachable
from services.installer.states import State
from tests.support.house import House, failure

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Machine:
    """Its own clock, the store's, and the time since it was switched on."""

    def __init__(self, ahead: float) -> None:
        self.passed = 0.0
        self.ahead = timedelta(seconds=ahead)
        self.gone = False

    def own(self) -> datetime:
        return self.stores() + self.ahead

    def stores(self) -> datetime:
        return NOON + timedelta(seconds=self.passed)

    def asked(self) -> datetime:
        if self.gone:
            raise StoreUnreachable("gone")
        return self.stores()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(ahead=60)
    monkeypatch.setattr(clock_module, "monotonic", lambda: made.passed)
    return made


@pytest.mark.parametrize("ahead", [60.0, -60.0, 3600.0, -3600.0, 0.5])
def test_replicas_whose_clocks_differ_agree_on_the_stores(machine: Machine, ahead: float) -> None:
    machine.ahead = timedelta(seconds=ahead)
    clock = SharedClock(machine.asked, machine.own)
    clock.read()
    machine.passed += 100
    assert clock.now() == NOON + timedelta(seconds=100)
    assert clock.skew == ahead


def test_a_clock_that_jumps_between_two_looks_changes_nothing(machine: Machine) -> None:
    clock = SharedClock(machine.asked, machine.own)
    clock.read()
    machine.ahead -= HOUR
    machine.passed += 5
    assert clock.now() == NOON + timedelta(seconds=5)
    machine.gone = True
    with pytest.raises(StoreUnreachable):
        clock.read()
    machine.passed += 5
    assert clock.now() == NOON + timedelta(seconds=10)


def test_a_difference_is_said_once_until_it_is_gone(machine: Machine) -> None:
    clock = SharedClock(machine.asked, machine.own)
    with capture_logs() as lines:
        for seconds in (60, 61, 0, 0, -60):
            machine.ahead = timedelta(seconds=seconds)
            clock.read()
    assert [(line["event"], line["skew_seconds"]) for line in lines] == [
        ("clock.skewed", 60.0),
        ("clock.skewed", -60.0),
    ]


def test_a_store_without_a_clock_leaves_the_machines(machine: Machine) -> None:
    clock = SharedClock(lambda: None, machine.own)
    clock.read()
    machine.ahead += HOUR
    assert (clock.now(), clock.skew) == (machine.own(), 0.0)


# The clock is put back by an hour, on a machine whose store has none of its own


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites={"wordpress": {"stage": False, "settle_seconds": 30}})


def put_back(house: House) -> None:
    """The machine's clock: the broker counts on as before."""
    house.broker._now = lambda: house.clock.moment + HOUR
    house.clock.moment -= HOUR


def test_what_is_staged_does_not_wait_the_hour_out(house: House) -> None:
    house.order(1)
    house.settle()
    put_back(house)
    house.advance(40)
    assert house.is_in(State.INSTALLED)


def test_nor_does_what_is_tried_again(house: House) -> None:
    house.installer.failures = [failure("db_down")]
    house.order(1)
    house.settle()
    house.advance(31)
    assert house.install().cause is not None
    put_back(house)
    house.advance(300)
    assert house.is_in(State.INSTALLED)
