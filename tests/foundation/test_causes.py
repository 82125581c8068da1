"""Causes say what to mend; what comes next is a matter of the state."""

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator

import pytest

import foundation
import services
from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

_PROMISE = re.compile(r"by itself|tried again|try again automatically|retried|will be|later on", re.IGNORECASE)


def tables() -> Iterator[tuple[str, Causes]]:
    """Every table of causes in the house, wherever it is written."""
    for package in (foundation, services):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations" in found.name or found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            yield from ((f"{found.name}.{name}", t) for name, t in vars(module).items() if isinstance(t, Causes))


MEANINGS = sorted({(code, meaning) for _, table in tables() for code, meaning in table.items()}, key=lambda m: m[0])


def test_all_rooms_that_fail_have_a_table() -> None:
    rooms = {name.rpartition(".")[0] for name, _ in tables()}
    assert {"foundation.hosting.causes", "services.installer.causes", "services.installer.sites.causes"} <= rooms


@pytest.mark.parametrize(("code", "meaning"), MEANINGS, ids=[code for code, _ in MEANINGS])
def test_no_remedy_promises_that_it_is_tried_again(code: str, meaning: Meaning) -> None:
    assert not _PROMISE.search(meaning.remedy), code
    assert meaning.remedy[0].isupper(), code
    assert meaning.remedy.endswith((".", ")")), code
    assert len(meaning.remedy) <= 500, code


def test_a_file_whose_name_is_no_text_can_stand_in_a_detail() -> None:
    table = Causes({"odd": Meaning(CauseKind.PERMANENT, "Rename it.")})
    assert table.failed("odd", os.fsdecode(b"caf\xe9.php")).cause.detail == "caf\\udce9.php"
