"""Every service tells that it is alive, as soon as it works."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.broker import codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import EVENTS
from foundation.config.keys import generate_keys
from foundation.config.queues import sitecrew
from schemas.services import ServiceHeartbeat
from tests.support.brokers import Brokers, gather
from tests.support.house import PATIENCE


@pytest.mark.parametrize("module", ["order_intake", "installer", "mailer"])
def test_a_service_that_works_says_so_and_stops_without_delay(brokers: Brokers, tmp_path: Path, module: str) -> None:
    url = brokers.url()
    broker = brokers.broker(sitecrew(Ladder()), url)
    broker.declare()
    watching = broker.watch(EVENTS, "service.heartbeat.#")
    public, private = generate_keys()
    environment = {
        "SITECREW_AMQP_URL": url,
        "SITECREW_KEYS__PUBLIC": public,
        "SITECREW_KEYS__PRIVATE": private,
        "SITECREW_MAILER__SENDER": "Us <us@hosting.example>",
        f"SITECREW_{module.upper()}__STORE_URL": f"sqlite:///{tmp_path}/store.db",
        f"SITECREW_{module.upper()}__LISTEN": "off",
    }
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen([sys.executable, "-m", f"services.{module}"], env=environment, stdout=log) as service:
        try:
            [delivery] = gather(watching, 1, PATIENCE)
            beat = codec.read(delivery).data
            assert isinstance(beat, ServiceHeartbeat)
            assert (beat.service, beat.instance.rpartition("/")[2]) == (module.replace("_", "-"), str(service.pid))
            assert f"{beat.service.removeprefix('order-')}.commands" in beat.queues
            service.send_signal(signal.SIGTERM)
            assert service.wait(PATIENCE) == 0
        finally:
            service.kill()
    assert '"level":"error"' not in (tmp_path / "log").read_text()
