"""Try mutations in a copy of the tree: each has its test run alone, which has to fail."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from tests.mutations.mutations import Mutation
from tests.support.guarantees import ROOT

_SECONDS = 240
"""How long a test may take; one that then still runs hangs, which is as good as a failure."""
_FAILED = 1
"""Pytest's exit code for tests that failed; others mean that they could not even be run."""
_FAILED_LINE = re.compile(r"^(FAILED|E   it hangs)", re.MULTILINE)
"""An error in a fixture is not what a mutation is to cause."""


@dataclass(frozen=True)
class Outcome:
    mutation: Mutation
    verdict: str
    """`red`: the test has failed. `survived`: it has not. `broken`: it could not be run."""
    seconds: float
    why: str = ""
    """What the failing test said."""

    @property
    def is_noticed(self) -> bool:
        return self.verdict == "red"


@dataclass(frozen=True)
class Tree:
    """A copy of the working tree."""

    root: Path

    def untouched(self, nodes: Sequence[str]) -> str:
        """Run tests as they are; return what went wrong, or nothing."""
        code, said = self._pytest(nodes, _SECONDS * len(nodes))
        return "" if code == 0 else said

    def tried(self, mutation: Mutation) -> Outcome:
        """Run the mutation's test without the mechanism."""
        file = self.root / mutation.file
        text, times = file.read_text(), file.stat()
        began = monotonic()
        file.write_text(mutation.applied(text))
        try:
            code, said = self._pytest([mutation.node], _SECONDS)
        finally:
            file.write_text(text)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        verdict = "red" if code == _FAILED and _FAILED_LINE.search(said) else "broken" if code else "survived"
        return Outcome(mutation, verdict, round(monotonic() - began, 1), said if verdict == "broken" else _why(said))

    def _pytest(self, nodes: Sequence[str], seconds: float) -> tuple[int, str]:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
        with subprocess.Popen(  # in a session of its own, so that nothing of it stays
            [*command, f"--timeout={_SECONDS - 30}", *dict.fromkeys(nodes)],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                said = "E   it hangs"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        return (_FAILED if said == "E   it hangs" else code), said


@contextmanager
def copied() -> Iterator[Tree]:
    """Copy what is in the repository, uncommitted changes included, for as long as the block lasts."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    with TemporaryDirectory(prefix="sitecrew-mutations-") as directory:
        tree = Path(directory)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name)
        for beside in (".venv", "var"):
            if (ROOT / beside).exists():
                (tree / beside).symlink_to(ROOT / beside)
        yield Tree(tree)


def _why(said: str) -> str:
    """The last line in which pytest shows an error."""
    lines = re.findall(r"^E +(\S.*)$", said, re.MULTILINE)
    return lines[0][:120] if lines else ""
