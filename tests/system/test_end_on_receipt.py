"""Messages that end their service as soon as they arrive. They end in parking, alone; every honest order is done."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import EVENTS, ORDERS, PARKING
from foundation.config import queues
from foundation.config.queues import INTAKE_ORDERS, sitecrew
from sitecrew.stack.ports import free_port
from tests.support.brokers import Brokers, until
from tests.support.house import PATIENCE
from tests.system.test_unwritable_log import created, environment, place

pytestmark = pytest.mark.timeout(600)

DYING = """
import os, sys
from datetime import timedelta
from foundation.config import queues
from foundation.broker.rabbit import RabbitConsumer
from foundation.handling import unit_of_work
unit_of_work.BORN_CLAIMED = timedelta(seconds=3)
from foundation.handling import relay
relay._CLAIM = timedelta(seconds=5)
queues.DELIVERY_LIMIT = 4
real = RabbitConsumer._received
def received(self, epoch, source, channel, method, properties, body):
    if body == b"deadly" and source.queue == queues.INTAKE_ORDERS:
        os._exit(9)
    real(self, epoch, source, channel, method, properties, body)
RabbitConsumer._received = received
import alembic.command
from foundation.service.process import run_alone
from services.order_intake.__main__ import main
while os.fork():
    os.wait()
    print("ended", flush=True)
sys.exit(run_alone(main))
"""
"""As if memory ended there. What one that ended was about to publish is soon taken up by the next. Each is forked from
a process that has imported all that the service needs: importing takes longer than its life."""


@pytest.fixture
def broker(brokers: Brokers, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RabbitBroker:
    if "honest" in request.node.name:
        monkeypatch.setattr(queues, "DELIVERY_LIMIT", 4)
    made = brokers.broker(sitecrew(Ladder()))
    made.declare()
    return made


def test_honest_orders_come_through_and_only_what_kills_is_parked(tmp_path: Path, broker: RabbitBroker) -> None:
    watcher = broker.watch(EVENTS, "account.created.*", "order.rejected.*")
    place(broker, range(10))
    deadly = Message(ORDERS, "order.placed.v1", b"deadly")
    broker.publisher().publish([deadly])
    place(broker, range(10, 30))
    broker.publisher().publish([deadly])
    place(broker, range(30, 40))
    (tmp_path / "hosting").mkdir()
    seen, log = set[str | None](), tmp_path / "log"

    def done() -> bool:
        assert log.read_text().splitlines().count("ended") < 12
        seen.update(codec.decode(delivery.body).subject for delivery in watcher.take(100, 0.1))
        return broker.depth(PARKING) == 2 and len(seen) == 41 and "unknown" in seen

    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-c", DYING],
            env=environment(tmp_path, broker, free_port()),
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as services,
    ):
        try:
            until(done, 8 * PATIENCE)
        finally:
            os.killpg(services.pid, signal.SIGKILL)
    assert [delivery.body for delivery in broker.browse(PARKING, 100)] == [b"deadly"] * 2
    assert broker.depth(INTAKE_ORDERS) == 0


def test_bodies_of_many_megabytes_are_refused_within_little_memory(tmp_path: Path, broker: RabbitBroker) -> None:
    """As large as RabbitMQ 4 takes them, honest orders among them, in less memory than all of them together take."""
    watcher = broker.watch(EVENTS, "account.created.*", "order.rejected.*")
    large = Message(ORDERS, "order.placed.v1", b"x" * 15_000_000)
    publisher = broker.publisher()
    for number in range(30):
        assert publisher.publish([large], 60) == ["confirmed"]
        place(broker, range(2 * number, 2 * number + 2))
    publisher.close()
    (tmp_path / "hosting").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "services.order_intake"],
        env=environment(tmp_path, broker, free_port()),
        stdout=subprocess.DEVNULL,
    ) as service:
        created(watcher, 60, {"unknown"})
        until(lambda: broker.depth(PARKING) == 30, PATIENCE)
        peak = next(
            int(line.split()[1])
            for line in Path(f"/proc/{service.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        assert service.poll() is None
        service.kill()
    assert peak < 300_000, f"{peak} kB"
