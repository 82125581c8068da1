"""Messages made from real ones, and percentiles."""

import json

import pytest

from bench.lab import clones, percentile

EVENT = {
    "id": "1",
    "type": "sitecrew.install.staged.v1",
    "subject": "o1",
    "data": {"order_id": "o1", "install_id": "o1-g1", "due_at": "2026-01-01T00:00:00Z"},
}


def test_a_clone_is_the_same_event_about_another_order() -> None:
    one, other = clones(EVENT, [7, 8], "", "installer.now", due_at="2027-01-01T00:00:00Z")
    said = json.loads(one.body)
    assert said["data"] == {"order_id": "c0000007", "install_id": "c0000007-g1", "due_at": "2027-01-01T00:00:00Z"}
    assert (said["subject"], one.properties.correlation_id) == ("c0000007", "c0000007")
    assert len({said["id"], json.loads(other.body)["id"], "1"}) == 3


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_the_value_that_this_share_is_not_above(share: float, value: float) -> None:
    assert percentile(range(100, 0, -1), share) == value
