"""A service's start, as a process of its own."""

import subprocess
import sys
from pathlib import Path

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
    vitals = lambda self: {}

def make(parts):
    tries.append(parts)
    if len(tries) == 1:
        raise StoreUnreachable("gone again")
    os.kill(os.getpid(), signal.SIGTERM)
    return Nothing()

settings = Settings(amqp_url=sys.argv[1], installer={"store_url": sys.argv[2], "listen": "off"})
sys.exit(serve("installer", settings, settings.installer, MIGRATIONS, lambda *_: None, make))
"""


def test_a_store_that_goes_away_again_while_a_service_starts_is_waited_for(tmp_path: Path, brokers: Brokers) -> None:
    url = brokers.url()
    brokers.broker(sitecrew(Ladder()), url).declare()
    command = [sys.executable, "-c", _SERVICE, url, f"sqlite:///{tmp_path}/store.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"reason":"gone again"' in done.stdout
    assert '"event":"service.started"' in done.stdout
