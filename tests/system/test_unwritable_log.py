"""A service whose log can't be written: it goes on, says so where it can, and stops when it is told to."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from foundation.broker import Consumer, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import EVENTS
from foundation.config.keys import generate_keys
from foundation.config.queues import sitecrew
from foundation.handling.unit_of_work import new_id
from schemas.orders import OrderPlaced
from sitecrew.cli.client.sending import message
from sitecrew.stack.ports import free_port
from tests.support.brokers import Brokers, until
from tests.support.house import PATIENCE

Child = subprocess.Popen[bytes]


@pytest.fixture
def broker(brokers: Brokers) -> RabbitBroker:
    made = brokers.broker(sitecrew(Ladder()))
    made.declare()
    return made


def environment(directory: Path, broker: RabbitBroker, port: int) -> dict[str, str]:
    node = broker._nodes[0]
    url = f"amqp://{node.credentials.username}:{node.credentials.password}@{node.host}:{node.port}/{node.virtual_host}"
    return {
        "PATH": os.environ["PATH"],
        "SITECREW_AMQP_URL": url,
        "SITECREW_KEYS__PUBLIC": generate_keys()[0],
        "SITECREW_ORDER_INTAKE__STORE_URL": f"sqlite:///{directory}/intake.db",
        "SITECREW_ORDER_INTAKE__LISTEN": f"127.0.0.1:{port}",
        "SITECREW_SERVERS__LOCAL__ROOT": str(directory / "hosting"),
        "SITECREW_SERVERS__LOCAL__LINUX_USERS": "false",
    }


@contextmanager
def order_intake(
    directory: Path, broker: RabbitBroker, port: int, script: str, stdout: int | None = None
) -> Iterator[Child]:
    """The service, as a shell starts it with such a standard output. It creates no Linux users."""
    (directory / "hosting").mkdir()
    command = f"exec {sys.executable} -m services.order_intake {script}"
    shell = ["/bin/sh", "-c", command]
    with subprocess.Popen(
        shell, env=environment(directory, broker, port), stdout=stdout, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def asked(port: int, path: str) -> str:
    with suppress(httpx2.TransportError):
        return httpx2.get(f"http://127.0.0.1:{port}{path}", trust_env=False).text
    return ""


def place(broker: RabbitBroker, numbers: range) -> None:
    orders = [
        OrderPlaced.model_validate(
            {
                "order_id": f"order-{number}",
                "site_type": "static",
                "domain": f"shop{number}.example",
                "customer": {"name": "Jo Miller", "email": "jo@customer.example"},
            }
        )
        for number in numbers
    ]
    events = [codec.envelope(order, id=new_id(), source="/test", subject=order.order_id) for order in orders]
    assert set(broker.publisher().publish([message(event) for event in events])) == {"confirmed"}


def created(watcher: Consumer, count: int, others: AbstractSet[str] = frozenset()) -> None:
    """Until the accounts of so many orders are there, and news of `others`."""
    seen: set[str | None] = set()

    def all_are() -> bool:
        seen.update(codec.decode(delivery.body).subject for delivery in watcher.take(100, 0.1))
        return len(seen - others) == count and seen >= others

    until(all_are, PATIENCE)


@pytest.mark.parametrize("script", [">/dev/full", ">&-", "<&- >&- 2>&-"])
def test_its_disk_is_full_or_its_output_is_closed(tmp_path: Path, broker: RabbitBroker, script: str) -> None:
    port, watcher = free_port(), broker.watch(EVENTS, "account.created.*")
    with order_intake(tmp_path, broker, port, script) as service:
        place(broker, range(5))
        created(watcher, 5)
        assert asked(port, "/livez") == "ok\n"
        assert "sitecrew_log_lines_dropped_total 0.0" not in asked(port, "/metrics")
        service.send_signal(signal.SIGTERM)
        assert service.wait(PATIENCE) == 0


def test_the_reader_of_its_log_is_gone(tmp_path: Path, broker: RabbitBroker) -> None:
    port, watcher = free_port(), broker.watch(EVENTS, "account.created.*")
    read, write = os.pipe()
    with order_intake(tmp_path, broker, port, "", stdout=write) as service:
        os.close(write)
        until(lambda: asked(port, "/readyz") == "ok\n", PATIENCE)
        os.close(read)
        place(broker, range(5))
        created(watcher, 5)
        until(lambda: "sitecrew_log_lines_dropped_total 0.0" not in asked(port, "/metrics"), PATIENCE)
        service.send_signal(signal.SIGTERM)
        assert service.wait(PATIENCE) == 0


def test_the_reader_of_its_log_stands_still(tmp_path: Path, broker: RabbitBroker) -> None:
    port, watcher = free_port(), broker.watch(EVENTS, "account.created.*")
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while os.write(write, b"x" * 4096):
            pass
    os.set_blocking(write, True)
    with order_intake(tmp_path, broker, port, "", stdout=write) as service:
        os.close(write)
        place(broker, range(5))
        created(watcher, 5)
        service.send_signal(signal.SIGTERM)
        assert service.wait(PATIENCE) == 0
    os.close(read)
