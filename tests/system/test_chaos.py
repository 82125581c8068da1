"""Orders through the whole system while everything around it fails: the schedule, and one short run of it."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.fault import Options
from tests.chaos.faults import BY_KIND, CATALOGUE
from tests.chaos.schedule import schedule
from tests.support.brokers import GIVEN, IMAGE

LONG = Options(orders=300, seconds=3600)


def test_the_same_seed_repeats_the_schedule_and_another_does_not() -> None:
    assert schedule(1, LONG, CATALOGUE) == schedule(1, LONG, CATALOGUE)
    assert schedule(1, LONG, CATALOGUE) != schedule(2, LONG, CATALOGUE)


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_a_long_schedule_has_each_fault_that_is_possible_and_no_two_of_a_lane_at_once(store: str) -> None:
    options = replace(LONG, store=store)
    planned = schedule(1, options, CATALOGUE)
    assert {strike.kind for strike in planned.strikes} == {fault.kind for fault in CATALOGUE if fault.is_in(options)}
    for lane, strikes in planned.lanes.items():
        assert {BY_KIND[strike.kind].lane for strike in strikes} == {lane}
        assert all(one.at + one.seconds < other.at for one, other in pairwise(strikes))
    assert all(strike.target in BY_KIND[strike.kind].targets(options) for strike in planned.strikes)
    assert {wish.order for wish in planned.wishes if wish.what == "place"} == set(range(options.orders))


def test_what_is_not_asked_for_changes_nothing_in_the_other_lanes() -> None:
    only = tuple(fault.kind for fault in CATALOGUE if fault.lane != "broker")
    fewer, all_of_them = schedule(1, replace(LONG, only=only), CATALOGUE), schedule(1, LONG, CATALOGUE)
    assert fewer.lanes == {lane: strikes for lane, strikes in all_of_them.lanes.items() if lane != "broker"}
    assert fewer.wishes == all_of_them.wishes


@pytest.mark.skipif(bool(GIVEN or IMAGE), reason="it runs a RabbitMQ of its own, from this machine's package")
def test_a_short_run_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """Some 30 seconds of processor time."""
    directory = tmp_path / "run"
    command = [sys.executable, "-m", "tests.chaos", "--json", "--seed", "4", "--orders", "20", "--minutes", "0.4"]
    done = subprocess.run([*command, "--directory", str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    report = json.loads(done.stdout)
    assert report["counts"]["orders"] == 20
    assert report["counts"]["accounts"] >= 20 - report["counts"]["cancelled"]
    assert len({entry["kind"] for entry in report["timeline"] if not entry["trouble"]}) >= 8
    assert not directory.exists(), "a clean run leaves nothing"
