"""The diagrams of docs/lifecycle.md show the transitions that the code makes, and no others."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.installer import installs
from services.mailer import mails
from services.order_intake import orders

LIFECYCLE = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text()


def shown(heading: str) -> set[tuple[str, str]]:
    """Return the arrows between states in the diagram below a heading."""
    (diagram,) = re.findall(rf"^## {heading}\n+```mermaid\n(.*?)```", LIFECYCLE, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^ *(\w+) --> (\w+)\b", diagram, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "transitions"),
    [("Order", orders.TRANSITIONS), ("Install", installs.TRANSITIONS), ("Mail", mails.TRANSITIONS)],
)
def test_the_diagram_shows_every_transition(heading: str, transitions: Mapping[str, frozenset[str]]) -> None:
    assert shown(heading) == {(source, target) for source, targets in transitions.items() for target in targets}
