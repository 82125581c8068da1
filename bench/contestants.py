"""The contestants of `script/bench pipeline`: a message in, three stages, a message out."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pika
from pika.channel import Channel

from bench import stages
from bench.lab import order
from bench.machine import F70C233, PEERS, command
from bench.raw import HOPS, PERSISTENT, QUORUM, STAGES, Message
from sitecrew.stack.ports import free_port
from sitecrew.stack.processes import Command

OUTCOMES = "bench.outcomes"
_PYTHON_THEN = F70C233 / ".venv" / "bin" / "python"
_DECLARE_THEN = (
    "import sys; from foundation.broker.delay import Ladder; from foundation.broker.rabbit import RabbitBroker;"
    "from foundation.broker.topology import sitecrew;"
    "RabbitBroker([sys.argv[1]], sitecrew(Ladder()), 'bench').declare()"
)
_DOMAIN, _NAME = "domain-of-the-order.example", "Name of the customer"


@dataclass(frozen=True)
class Place:
    """The resources of one run."""

    directory: Path
    url: str
    database: Callable[[], str] | None = None
    """Creates a new PostgreSQL database, and returns its URL."""

    def store(self, name: str) -> str:
        return self.database() if self.database else f"sqlite:///{self.directory / name}.db"


@dataclass(frozen=True)
class Contestant:
    """How to run one contestant."""

    name: str
    title: str
    commands: Callable[[Place, dict[str, int]], dict[str, Command]]
    message: Callable[[str], Message]
    """Returns the order with this number, as the first stage takes it."""
    outcomes: str
    """The queue that the last stage publishes to."""
    prepare: Callable[[Channel, str], None]
    """Declares what must exist before it starts; called with a channel and the broker's URL."""
    settings: str = ""
    """How it was tuned."""
    scale: int = 1
    """Multiple of the usual number of orders, for contestants that would finish too soon."""
    vhost: str = "/"
    ports: dict[str, int] = field(default_factory=dict)
    postgresql: bool = False


def letter(path: Path) -> None:
    """Write our email to a file as templates, so that the peers render the same one."""
    made = stages.letter(_DOMAIN, _NAME)
    for value, name in ((_DOMAIN, "domain"), (_NAME, "name")):
        made = {part: text.replace(value, "{{ " + name + " }}") for part, text in made.items()}
    path.write_text(json.dumps(made))


def _queues(*names: str) -> Callable[[Channel, str], None]:
    def declare(channel: Channel, _url: str) -> None:
        for name in names:
            channel.queue_declare(name, durable=True, arguments=QUORUM)
            channel.queue_purge(name)

    return declare


def _sitecrew(channel: Channel, url: str) -> None:
    """Declare Sitecrew's own topology, and a queue for the end of an order."""
    stages.declare(url)
    _outcomes(channel)
    for service in HOPS.values():
        for queue in service:
            channel.queue_purge(queue)


def _sitecrew_then(channel: Channel, url: str) -> None:
    """Declare the same as commit f70c233 declares it."""
    subprocess.run((_PYTHON_THEN, "-c", _DECLARE_THEN, url), cwd=F70C233, check=True)  # noqa: S603  # ours
    _outcomes(channel)


def _outcomes(channel: Channel) -> None:
    channel.queue_declare(OUTCOMES, durable=True, arguments=QUORUM)
    channel.queue_bind(OUTCOMES, "events", "mail.sent.*")
    channel.queue_purge(OUTCOMES)


def _environment(place: Place) -> dict[str, str]:
    return {"BENCH_AMQP_URL": place.url}


def _raw(place: Place, _ports: dict[str, int]) -> dict[str, Command]:
    environment = _environment(place)
    return {
        f"stage {number}": command(f"raw-{number}", ("-m", "bench.raw", "stage", *pair), place.directory, environment)
        for number, pair in enumerate(pairwise(STAGES), 1)
    }


def _hops(place: Place, _ports: dict[str, int]) -> dict[str, Command]:
    return {
        name: command(name, ("-m", "bench.raw", "service", name), place.directory, _environment(place)) for name in HOPS
    }


def _ours(place: Place, ports: dict[str, int]) -> dict[str, Command]:
    stores = {name: place.store(name) for name in stages.SERVICES}
    listen = {name: f"127.0.0.1:{ports[name]}" for name in stages.SERVICES}
    environment = stages.environment(place.url, stores, listen)
    return {name: command(name, ("-m", "bench.stages", name), place.directory, environment) for name in stages.SERVICES}


# Its letter is put into bytes like everybody's; its own bench made none of them.
_THEN = (
    "import sys; from bench import stages;"
    "stages._no_letter = lambda letter: letter.as_bytes();"
    "sys.exit(stages.main(sys.argv[1]))"
)


def _then(place: Place, ports: dict[str, int]) -> dict[str, Command]:
    """Return commands for the services of commit f70c233, wired by its own bench.stages."""
    stores = {name: place.store(name) for name in stages.SERVICES}
    listen = {name: f"127.0.0.1:{ports[name]}" for name in stages.SERVICES}
    environment = stages.environment(place.url, stores, listen) | {"PYTHONPATH": str(F70C233)}
    return {
        name: command(name, ("-P", "-c", _THEN, name), place.directory, environment, _PYTHON_THEN)
        for name in stages.SERVICES
    }


Argv = dict[str, tuple[str, ...]]
Commands = Callable[[Place, dict[str, int]], dict[str, Command]]


def _peer(argv: Argv, *, same_job: bool) -> Commands:
    def commands(place: Place, _ports: dict[str, int]) -> dict[str, Command]:
        environment = _environment(place)
        if same_job:
            environment |= {
                "BENCH_SAME_JOB": "1",
                "BENCH_STORE": str(place.directory / "peer.db"),
                "BENCH_LETTER": str(place.directory.parent / "letter.json"),
            }
        return {name: command(name, line, place.directory, environment, PEERS) for name, line in argv.items()}

    return commands


def _data(number: str) -> dict[str, Any]:
    """Return the order without its envelope."""
    return stages.placed(number).model_dump(mode="json", exclude_none=True)


def _dramatiq_order(number: str) -> Message:
    body = {
        "queue_name": "dramatiq.1",
        "actor_name": "accept",
        "args": [_data(number)],
        "kwargs": {},
        "options": {},
        "message_id": str(uuid4()),
        "message_timestamp": 1_700_000_000_000,
    }
    return Message("", "dramatiq.1", json.dumps(body).encode())


def _celery_order(number: str) -> Message:
    id = str(uuid4())
    headers: dict[str, Any] = {
        "lang": "py",
        "task": "accept",
        "id": id,
        "root_id": id,
        "parent_id": None,
        "group": None,
    }
    arguments = [_data(number)]
    body = [arguments, {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    properties = pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=PERSISTENT,
        correlation_id=id,
    )
    return Message("", "celery.1", json.dumps(body).encode(), properties)


def _faststream_order(number: str) -> Message:
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=PERSISTENT, message_id=str(uuid4())
    )
    return Message("", "faststream.1", json.dumps(_data(number)).encode(), properties)


def _dramatiq(processes: int) -> Argv:
    queues = ("dramatiq.1", "dramatiq.2", "dramatiq.3")
    tuned = ("--processes", str(processes), "--threads", "8", "--queues", *queues)
    return {"dramatiq": ("-m", "dramatiq", "bench.peers.with_dramatiq", *tuned)}


def _celery() -> Argv:
    queues = "celery.1,celery.2,celery.3"
    tuned = ("--pool", "threads", "--concurrency", "16", "--without-gossip", "--without-mingle", "--without-heartbeat")
    worker = ("-m", "celery", "-A", "bench.peers.with_celery", "worker", "-l", "WARNING", "-Q", queues)
    return {"celery": (*worker, *tuned)}


def _faststream() -> Argv:
    """Return commands for what its own `--workers 2` does."""
    return {f"faststream-{number}": ("-m", "bench.peers.with_faststream", "1", "2", "3") for number in (1, 2)}


def _dramatiq_queues(channel: Channel, _url: str) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dramatiq.{}.XQ"}
    for number in ("1", "2", "3", "done"):
        filled = {key: value.format(number) for key, value in arguments.items()}
        channel.queue_declare(f"dramatiq.{number}", durable=True, arguments=filled)
        channel.queue_purge(f"dramatiq.{number}")


def _peers() -> Iterator[Contestant]:
    """Return the peers, each with its fastest configuration on two cores; docs/performance.md lists those tried."""
    celery_queues = _queues("celery.1", "celery.2", "celery.3", "celery.done")
    faststream_queues = _queues("faststream.1", "faststream.2", "faststream.3", "faststream.done")
    for same_job, work in ((False, "bare"), (True, "same job")):
        for title, argv, message, prepare in (
            ("Dramatiq", _dramatiq(2 if same_job else 1), _dramatiq_order, _dramatiq_queues),
            ("Celery", _celery(), _celery_order, celery_queues),
            ("FastStream", _faststream(), _faststream_order, faststream_queues),
        ):
            name = title.lower()
            yield Contestant(
                name=f"{name}_same_job" if same_job else name,
                title=f"{title}, {work}",
                commands=_peer(argv, same_job=same_job),
                message=message,
                outcomes=f"{name}.done",
                prepare=prepare,
                settings="; ".join(" ".join(line) for line in argv.values()),
            )


def contestants() -> list[Contestant]:
    """Return all contestants, in the order of a round."""
    raw = Contestant(
        "raw",
        "raw pika, three queues",
        _raw,
        lambda number: order(number)._replace(exchange="", key=STAGES[0]),
        STAGES[-1],
        _queues(*STAGES),
        "quorum queues, prefetch 400, confirms and acknowledgements in batches",
        scale=5,
    )
    hops = Contestant(
        "hops", "raw pika, our hops", _hops, order, OUTCOMES, _sitecrew, "the same, on our topology", scale=2
    )
    listen = {name: free_port() for name in stages.SERVICES}
    ours = [
        Contestant(
            f"ours_{store.lower()}",
            f"Sitecrew on {store}",
            _ours,
            order,
            OUTCOMES,
            _sitecrew,
            "as shipped, log level warning",
            ports=listen,
            postgresql=store == "PostgreSQL",
        )
        for store in ("SQLite", "PostgreSQL")
    ]
    then = Contestant(
        "f70c233",
        "Sitecrew at f70c233",
        _then,
        order,
        OUTCOMES,
        _sitecrew_then,
        "its own bench/stages.py",
        vhost="f70c233",
        ports=listen,
    )
    return [raw, hops, *_peers(), *ours, then]
