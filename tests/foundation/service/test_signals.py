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


FORKING = """
import os, signal, time
from foundation.service.signals import stop_on_signals

stop = stop_on_signals()
ready, tell = os.pipe()
if not (child := os.fork()):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.write(tell, b".")
    time.sleep(600)
os.read(ready, 1)
os.kill(child, signal.SIGTERM)
os.waitpid(child, 0)
print(repr(stop.wait(1)), repr(stop.told_by), flush=True)
os.kill(os.getpid(), signal.SIGINT)
stop.wait()
print(stop.told_by, flush=True)
"""

DEAF = """
import os, signal
from foundation.service.signals import stop_on_signals

stop = stop_on_signals()
os.close(signal.set_wakeup_fd(-1))
stop.wait()
print(repr(stop.told_by), flush=True)
"""


def test_a_signal_to_a_child_that_is_no_other_program_yet_is_none_to_us() -> None:
    with running(FORKING) as child:
        assert line(child) == "False ''"
        assert line(child) == "SIGINT"


def test_one_that_can_hear_no_signal_any_more_ends_though_none_said_so() -> None:
    with running(DEAF) as child:
        assert line(child) == "''"


def test_one_that_only_starts_ends_at_once_and_by_a_handler_of_its_own() -> None:
    """Without a handler, the first process of a container would not end: 143, and not -15."""
    with running(STARTING) as child:
        assert line(child) == "starting"
        child.terminate()
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM
