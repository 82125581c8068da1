"""A process that is told to stop, whichever of its threads takes the signal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.house import PATIENCE

PROGRAM = """
import threading
from foundation.service.signals import stop_on_signals

stop, for_ever = stop_on_signals(), threading.Event()

def work():
    stop.wait()
    print("told", flush=True)
    {then}

working = threading.Thread(target=work)
working.start()
print(threading.main_thread().native_id, working.native_id, flush=True)
working.join()
"""

STARTING = """
import threading
import sitecrew.__main__
import sitecrew.cli.root

def start(prog_name):
    print("starting", flush=True)
    threading.Event().wait()

sitecrew.cli.root.app = start
sitecrew.__main__.main()
"""

Child = subprocess.Popen[str]


@contextmanager
def running(program: str) -> Iterator[Child]:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: Child) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


@pytest.mark.parametrize("thread", ["main", "working"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_any_thread_stops_the_process(thread: str, number: int) -> None:
    with running(PROGRAM.format(then="pass")) as child:
        threads = dict(zip(("main", "working"), map(int, line(child).split()), strict=True))
        os.kill(threads[thread], number)  # Linux begins its choice of a thread with the one that is named
        assert line(child) == "told"
        assert child.wait(PATIENCE) == 0


def test_a_second_signal_ends_the_process_at_once() -> None:
    with running(PROGRAM.format(then="for_ever.wait()")) as child:
        line(child)
        child.terminate()
        assert line(child) == "told"
        child.terminate()
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM


def test_one_that_only_starts_ends_at_once_and_by_a_handler_of_its_own() -> None:
    """Without a handler, the first process of a container would not end: 143, and not -15."""
    with running(STARTING) as child:
        assert line(child) == "starting"
        child.terminate()
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM
