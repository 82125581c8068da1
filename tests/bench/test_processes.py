"""What runs under measurement: nothing is waited for that cannot come."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.machine import Processes, command, cpu_seconds
from foundation.errors import Refused, SitecrewError
from tests.support.brokers import until

ROOT = Path(__file__).parent.parent.parent


def test_a_taken_port_is_refused_before_anything_starts(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    touch = command("touch", ("-c", f"open({str(begun)!r}, 'w')"), tmp_path, {})
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=f"the mailer cannot listen on 127.0.0.1:{port}"):
            Processes({"touch": touch}, {"the mailer": port}).__enter__()
    assert not begun.exists()


def test_a_process_that_ends_is_told_of_with_its_last_words(tmp_path: Path) -> None:
    broken = command("broken", ("-c", "raise SystemExit('the database is read-only')"), tmp_path, {})
    with Processes({"broken": broken}, {}) as processes:
        child = processes.children["broken"]
        child.wait(60)
        until(lambda: "read-only" in child.last_words(), 60)
        with pytest.raises(SitecrewError, match=r"broken has ended .*\n.*the database is read-only"):
            processes.require_running()


def test_cpu_time_includes_that_of_descendants(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ntime.sleep(600)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with Processes({"parent": command("parent", ("-c", parent), tmp_path, {})}, {}) as processes:
        child = processes.children["parent"]
        child.ready(lambda: "done" in child.last_words() or None, 120, "")
        used = processes.cpu()["parent"]
    assert used >= 0.3


def test_ones_own_cpu_time_is_that_of_the_clock() -> None:
    before = time.process_time()
    assert cpu_seconds(os.getpid()) >= before - 0.02  # it counts in hundredths


@pytest.mark.parametrize("arguments", [["--help"], ["pipeline", "--help"]])
def test_help_shows_how_it_is_used(arguments: list[str]) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "usage: script/bench" in told.stdout
    assert "script/bench pipeline" in told.stdout
