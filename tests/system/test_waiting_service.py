"""A service that waits for its broker or its store when it starts says so to whoever asks, and what is in the way."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.config.keys import generate_keys
from sitecrew.stack.ports import free_port
from tests.support.brokers import until
from tests.support.house import PATIENCE
from tests.system.test_unwritable_log import asked


@pytest.mark.parametrize("module", ["order_intake", "installer", "mailer"])
def test_a_service_at_its_start_names_what_it_waits_for(tmp_path: Path, module: str) -> None:
    port, nobody = free_port(), free_port()
    public, private = generate_keys()
    environment = {
        "SITECREW_AMQP_URL": f"amqp://sitecrew:secret@127.0.0.1:{nobody}/",
        "SITECREW_KEYS__PUBLIC": public,
        "SITECREW_KEYS__PRIVATE": private,
        "SITECREW_MAILER__SENDER": "Us <us@hosting.example>",
        f"SITECREW_{module.upper()}__STORE_URL": f"sqlite:///{tmp_path}/store.db",
        f"SITECREW_{module.upper()}__LISTEN": f"127.0.0.1:{port}",
    }
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen([sys.executable, "-m", f"services.{module}"], env=environment, stdout=log) as service:
        try:
            until(lambda: "refused" in asked(port, "/readyz?verbose"), PATIENCE)
            said = asked(port, "/readyz?verbose").splitlines()
            assert said[0] == "[-]service failed: waiting for its broker"
            assert said[1].startswith(f"[-]broker failed: cannot use RabbitMQ at 127.0.0.1:{nobody}: ")
            assert said[2] == "[+]store ok"
            ready = [line for line in asked(port, "/metrics").splitlines() if line.startswith("sitecrew_ready{")]
            assert ready == [
                'sitecrew_ready{probe="service"} 0.0',
                'sitecrew_ready{probe="broker"} 0.0',
                'sitecrew_ready{probe="store"} 1.0',
            ]
            assert asked(port, "/livez") == "ok\n"
            service.send_signal(signal.SIGTERM)
            assert service.wait(PATIENCE) == 0
        finally:
            service.kill()


def test_it_asks_both_and_names_both(tmp_path: Path) -> None:
    port, nobody = free_port(), free_port()
    environment = {
        "SITECREW_AMQP_URL": f"amqp://sitecrew:secret@127.0.0.1:{nobody}/",
        "SITECREW_KEYS__PUBLIC": generate_keys()[0],
        "SITECREW_ORDER_INTAKE__STORE_URL": f"postgresql://nobody@127.0.0.1:{nobody}/nothing",
        "SITECREW_ORDER_INTAKE__LISTEN": f"127.0.0.1:{port}",
    }
    log = (tmp_path / "log").open("w")
    with log, subprocess.Popen([sys.executable, "-m", "services.order_intake"], env=environment, stdout=log) as service:
        try:
            until(lambda: "RabbitMQ at" in asked(port, "/readyz?verbose"), PATIENCE)
            said = asked(port, "/readyz?verbose").splitlines()
            assert said[0] == "[-]service failed: waiting for its store and its broker"
            assert said[2].startswith("[-]store failed: cannot use the database postgresql+psycopg://nobody@127.0.0.1")
        finally:
            service.kill()
