"""The suite is run in lanes, and none of its tests falls between them."""

import itertools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "script/test"


def given_to_pytest(directory: Path, *arguments: str) -> list[str]:
    """What `script/test` runs pytest with."""
    copy, python, bootstrap = (directory / path for path in ("script/test", ".venv/bin/python", "script/bootstrap"))
    for program, text in (
        (copy, SCRIPT.read_text()),
        (bootstrap, "#!/bin/sh\n"),
        (python, '#!/bin/sh\nprintf "%s\\n" "$@"\n'),
    ):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o700)
    done = subprocess.run((copy, *arguments), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[2:]


def selected(ran: list[str]) -> list[str]:
    return [value for option, value in itertools.pairwise(ran) if option == "-m"]


def test_what_one_lane_leaves_out_is_what_another_runs(tmp_path: Path) -> None:
    assert selected(given_to_pytest(tmp_path, "-k", "mail")) == ["not endurance"]
    assert selected(given_to_pytest(tmp_path, "--endurance", "-k", "mail")) == ["endurance"]


def test_a_file_that_is_named_is_run_whole(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").touch()
    assert selected(given_to_pytest(tmp_path, "tests/test_a.py::test_b")) == []


def test_each_lane_must_pass_before_a_change_lands() -> None:
    lanes = re.findall(r"^    (--[a-z]+)\) (?:on_this_machine|in_containers)", SCRIPT.read_text(), re.MULTILINE)
    calls = re.findall(r"\bscript/test(?: (--[a-z]+))?$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert sorted(calls) == sorted(["", *lanes])
    assert len(lanes) == 2


def test_a_short_run_under_chaos_is_part_of_the_usual_lane() -> None:
    assert "endurance" not in (ROOT / "tests/system/test_chaos.py").read_text()
