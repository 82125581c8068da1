"""How fast orders go through the three services, compared with the floor in the same run.

script/bench [--orders N]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic, perf_counter

from bench import floor
from foundation.broker import Consumer, Message, Publisher, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import EVENTS, ORDERS
from foundation.config.keys import generate_keys
from foundation.config.queues import sitecrew
from foundation.handling.tx import new_id
from schemas.orders import OrderPlaced
from schemas.values import Customer
from sitecrew.stack.rabbitmq import PrivateRabbit

_STAGES = ("order-intake", "installer", "mailer")


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--orders", type=int, default=5000, metavar="N", help="orders in each run (default 5000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, PrivateRabbit(Path(place) / "rabbitmq") as rabbit:
        bare = _floor(rabbit.amqp_url, options.orders)
        ours = _services(rabbit.amqp_url, options.orders, Path(place))
    result = {
        "orders": options.orders,
        "floor_per_second": round(bare),
        "services_per_second": round(ours),
        "ratio": round(ours / bare, 3),
    }
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


@contextmanager
def _running(commands: Sequence[list[str]], environment: dict[str, str], log: int) -> Iterator[None]:
    with ExitStack() as opened:
        for command in commands:
            process = subprocess.Popen(  # noqa: S603  # our own modules
                [sys.executable, "-m", *command], env=environment, stdout=log, stderr=log
            )
            opened.callback(process.wait)
            opened.callback(process.terminate)
        yield


def _floor(url: str, orders: int) -> float:
    broker = RabbitBroker([url], floor.topology(), "bench")
    broker.declare()
    stages = [
        ["bench.floor", url, source, target] for source, target in zip(floor.QUEUES, floor.QUEUES[1:], strict=False)
    ]
    with _running(stages, dict(os.environ), subprocess.DEVNULL):
        last = broker.consumer(floor.QUEUES[-1], 1000)
        publisher = broker.publisher()
        body = _order(0).body
        _until(last, _send(publisher, [Message("", floor.QUEUES[0], body)]))  # all three are awake
        began = perf_counter()
        _until(last, _send(publisher, [Message("", floor.QUEUES[0], body) for _ in range(orders)]))
        seconds = perf_counter() - began
    broker.close()
    return orders / seconds


def _services(url: str, orders: int, place: Path) -> float:
    broker = RabbitBroker([url], sitecrew(Ladder()), "bench")
    broker.declare()
    with _running([["bench.stages", name] for name in _STAGES], _environment(url, place), subprocess.DEVNULL):
        sent = broker.watch(EVENTS, "mail.sent.*")
        publisher = broker.publisher()
        _until(sent, _send(publisher, [_order(0)]))
        began = perf_counter()
        _until(sent, _send(publisher, [_order(number) for number in range(1, orders + 1)]))
        seconds = perf_counter() - began
    broker.close()
    return orders / seconds


def _environment(url: str, place: Path) -> dict[str, str]:
    public, private = generate_keys()
    stores = {f"SITECREW_{n}__STORE_URL": f"sqlite:///{place / n}.db" for n in ("ORDER_INTAKE", "INSTALLER", "MAILER")}
    return {
        **os.environ,
        **stores,
        "SITECREW_AMQP_URL": url,
        "SITECREW_KEYS__PUBLIC": public,
        "SITECREW_KEYS__PRIVATE": private,
        "SITECREW_SITES__STATIC__STAGE": "false",
        "SITECREW_LOG__LEVEL": "warning",
    }


def _order(number: int) -> Message:
    customer = Customer(name="Jo Miller", email=f"jo{number}@customer.example")
    placed = OrderPlaced(order_id=f"o{number}", site_type="static", domain=f"shop{number}.example", customer=customer)
    event = codec.envelope(placed, id=new_id(), source="/bench", subject=placed.order_id)
    return Message(ORDERS, "order.placed.v1", codec.encode(event), event.id, event.type, placed.order_id)


def _send(publisher: Publisher, messages: list[Message]) -> int:
    outcomes = publisher.publish(messages, timeout=120)
    if set(outcomes) != {"confirmed"}:
        raise SystemExit(f"the broker did not take everything: {set(outcomes)}")
    return len(messages)


def _until(consumer: Consumer, count: int, seconds: float = 300) -> None:
    ends = monotonic() + seconds
    while count > 0:
        taken = consumer.take(1000, timeout=1)
        consumer.settle(taken)
        count -= len(taken)
        if monotonic() > ends:
            raise SystemExit(f"{count} messages did not arrive within {seconds} s")


if __name__ == "__main__":
    sys.exit(main())
