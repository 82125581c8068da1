"""A service's start, as a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.broker.delay import Ladder
from foundation.config.queues import sitecrew
from tests.support.brokers import Brokers

_SERVICE = """
import os, signal, sys
from foundation.config.settings import Settings
from foundation.errors import StoreUnreachable
from foundation.service import dependencies
from foundation.service.process import serve
from services.installer.service import MIGRATIONS

dependencies._PAUSE = 0.1
tries = []

class Nothing:
    lanes = loops = periodic = gauges = lambda self: ()
    vitals = lambda self: dict()

def make(parts):
    tries.append(parts)
    {make}
    return Nothing()

settings = Settings(amqp_url=sys.argv[1], installer={{"store_url": sys.argv[2], "listen": "off"}})
sys.exit(serve("installer", settings, settings.installer, MIGRATIONS, lambda *_: None, make))
"""
_GONE_AGAIN = """if len(tries) == 1:
        raise StoreUnreachable("gone again")
    os.kill(os.getpid(), signal.SIGTERM)"""
_LEFT_ALONE = "Nothing.loops = lambda self: [lambda stop: None, lambda stop: stop.wait()]"
_DEAF = "os.close(signal.set_wakeup_fd(-1))"
_TOLD_WHILE_IT_WAITS = """os.kill(os.getpid(), signal.SIGTERM)
    raise StoreUnreachable("gone for good")"""


def _served(make: str, directory: Path, brokers: Brokers) -> "subprocess.CompletedProcess[str]":
    url = brokers.url()
    brokers.broker(sitecrew(Ladder()), url).declare()
    command = [sys.executable, "-c", _SERVICE.format(make=make), url, f"sqlite:///{directory}/store.db"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_store_that_goes_away_again_while_a_service_starts_is_waited_for(tmp_path: Path, brokers: Brokers) -> None:
    done = _served(_GONE_AGAIN, tmp_path, brokers)
    assert done.returncode == 0, done.stderr
    assert '"reason":"gone again"' in done.stdout
    assert '"event":"service.started"' in done.stdout


def test_one_that_is_told_to_end_while_it_waits_says_by_what(tmp_path: Path, brokers: Brokers) -> None:
    done = _served(_TOLD_WHILE_IT_WAITS, tmp_path, brokers)
    assert done.returncode == 0, done.stderr
    assert _last(done.stdout) == ("service.stopped", "info", "SIGTERM")


@pytest.mark.parametrize("make", [_LEFT_ALONE, _DEAF])
def test_one_that_ends_though_no_signal_told_it_to_is_no_success(make: str, tmp_path: Path, brokers: Brokers) -> None:
    done = _served(make, tmp_path, brokers)
    assert done.returncode == 1, done.stdout
    assert _last(done.stdout) == ("service.stopped", "error", "no signal told it to")


def test_a_loop_that_ends_by_itself_is_named(tmp_path: Path, brokers: Brokers) -> None:
    assert "ended by itself" in _served(_LEFT_ALONE, tmp_path, brokers).stdout


def _last(output: str) -> tuple[str, str, str]:
    line = json.loads(output.splitlines()[-1])
    return line["event"], line["level"], line["reason"]
