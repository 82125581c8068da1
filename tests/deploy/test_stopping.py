"""Whoever stops a service waits for the longest work that it finishes first: compose, Kubernetes and systemd."""

from pathlib import Path

import pytest
import yaml

from tests.support.house import House

ROOT = Path(__file__).parents[2]
MARGIN = 60
"""Seconds to record what has ended, publish the outbox, and exit."""


@pytest.fixture
def longest(tmp_path: Path) -> dict[str, float]:
    """For how long each service's work may last, in seconds, with default settings."""
    house = House(tmp_path)
    services = {"order-intake": house.intake, "installer": house.installing, "mailer": house.mailer}
    return {name: max(lane.deadline for lane in s.made.lanes() if lane.leases) for name, s in services.items()}


@pytest.mark.parametrize("service", ["order-intake", "installer", "mailer"])
def test_a_service_has_the_time_to_finish_what_it_has_begun(service: str, longest: dict[str, float]) -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][service]
    pod = yaml.safe_load((ROOT / f"deploy/kubernetes/base/{service}.yaml").read_text())["spec"]["template"]["spec"]
    unit = (ROOT / f"deploy/systemd/sitecrew-{service}.service").read_text().splitlines()
    seconds = int(longest[service]) + MARGIN
    assert compose["stop_grace_period"] == f"{seconds}s"
    assert pod["terminationGracePeriodSeconds"] == seconds
    assert f"TimeoutStopSec={seconds}" in unit
    assert f"{seconds} s" in (ROOT / "docs/operate.md").read_text()
