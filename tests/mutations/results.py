"""The last results, as docs/guarantees.md shows them: each line keeps the commit that it was tried on."""

import re
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime

from tests.mutations.mutations import mutations
from tests.mutations.trial import Outcome
from tests.support.guarantees import DOCUMENT, ROOT

_PART = re.compile(r"(?<=<!-- mutations -->\n).*(?=<!-- end of mutations -->)", re.DOTALL)
_LINE = re.compile(r"^\| (\d+) \| (.+) \| (red|survived|broken) \| (\w+) \|$", re.MULTILINE)

_HEAD = """\
{taken_out} taken out, {noticed} noticed, but not in one run of one tree: each line is the latest try of its patch, the
last of them on {date}, in a working tree of the commit shown, which may have had changes not committed yet."""


def shown() -> dict[tuple[int, str], tuple[str, str]]:
    """Return the document's verdict and commit for each mutation, by row and name."""
    found = _PART.search(DOCUMENT.read_text())
    lines = _LINE.findall(found[0]) if found else []
    return {(int(row), name): (verdict, commit) for row, name, verdict, commit in lines}


def write(outcomes: Iterable[Outcome]) -> None:
    """Put these results into the document; those of mutations that were not tried stay, if there still are such."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=8", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    known = shown() | {(outcome.mutation.row, outcome.mutation.name): (outcome.verdict, commit) for outcome in outcomes}
    lines = [
        f"| {mutation.row} | {mutation.name} | {' | '.join(known[mutation.row, mutation.name])} |"
        for mutation in mutations()
        if (mutation.row, mutation.name) in known
    ]
    noticed = sum(" | red | " in line for line in lines)
    head = _HEAD.format(taken_out=len(lines), noticed=noticed, date=datetime.now(UTC).date())
    table = "\n".join(("| no. | taken out | its test | commit |", "|---|---|---|---|", *lines))
    DOCUMENT.write_text(_PART.sub(lambda _: f"{head}\n\n{table}\n", DOCUMENT.read_text()))
