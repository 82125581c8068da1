"""Ports for stacks that run on one machine at the same time."""

import random
import subprocess
import sys

import pytest

from sitecrew.stack import ports

OTHER = "from sitecrew.stack.ports import free_port; print(free_port(), flush=True); input()"


def test_no_port_is_given_to_two_processes_while_both_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen([sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        theirs, ours = int(process.stdout.readline()), ports.free_port()
        drawn = iter([theirs, ours, another := ours + 1, theirs])
        monkeypatch.setattr(random, "randint", lambda *_: next(drawn))
        monkeypatch.setattr(ports, "port_taken", lambda *_: False)
        assert ports.free_port() == another
        process.stdin.close()
    assert ports.free_port() == theirs
