"""Installs that nothing moves any more, and those that are only slow."""

from pathlib import Path

from services.installer.states import State
from tests.support.house import Gate, House


def test_an_overdue_install_is_announced_again_by_the_installer_itself(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.order()
    house.settle()
    house.wipe()
    house.pass_time(3600)
    house.installing.run_periodic_tasks()
    house.settle()
    house.tick()
    assert house.is_in(State.INSTALLED)


def test_an_install_that_takes_longer_than_its_lease_is_left_to_its_worker(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.installer.meanwhile = gate = Gate()
    house.order()
    house.run_until(gate.reached.is_set)
    for _ in range(4):
        house.clock.moment += house.steps.leases._terms.lease / 2
        house.steps.leases.renew(house.installing.database)
        house.installing.run_periodic_tasks()
    gate.opened.set()
    house.settle()
    assert (house.install().state, house.install().attempt) == (State.INSTALLED, 1)
