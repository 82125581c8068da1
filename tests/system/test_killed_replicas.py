"""Two replicas of each service on PostgreSQL, killed at random while they work: nothing is lost, nothing is done twice
in the books."""

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from bench import stages
from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import EVENTS, ORDERS, PARKING
from foundation.config.queues import INTAKE_ORDERS, WORK_QUEUES, sitecrew
from foundation.handling.unit_of_work import new_id
from foundation.store import Store
from schemas.orders import OrderCancelled
from tests.support.brokers import Brokers, until
from tests.support.crew import OFTEN, Ears, working
from tests.support.postgres import Postgres

pytestmark = [pytest.mark.timeout(300), pytest.mark.endurance]

COUNT = 150
EVENTS_PER_KILL = 60
SERVICES = ("order-intake", "installer", "mailer")
REPLICAS = [(name, number) for name in SERVICES for number in range(2)]
TROUBLE = (
    *((name, "outbox") for name in SERVICES),
    ("order-intake", "orders WHERE state IN ('accepted', 'failed') OR install_state = 'staged'"),
    ("installer", "installs WHERE state NOT IN ('installed', 'cancelled') OR lease_owner IS NOT NULL"),
    ("installer", "installs WHERE state = 'installed' AND mail_state <> 'sent'"),
    ("mailer", "mails WHERE state <> 'sent' OR lease_owner IS NOT NULL"),
)
"""Rows that must be gone in the end, by service."""


def cancel(number: int) -> Message:
    data = OrderCancelled(order_id=f"o{number}")
    event = codec.envelope(data, id=new_id(), source="/bench", subject=data.order_id, time=datetime.now(UTC))
    return Message(ORDERS, "order.cancelled.v1", codec.encode(event), event.id, event.type)


def test_whoever_is_killed_each_order_is_done_once(tmp_path: Path, brokers: Brokers, postgres: Postgres) -> None:
    chance, url = random.Random(8), brokers.url()
    broker = brokers.broker(sitecrew(Ladder()), url)
    broker.declare()
    ears = Ears(broker.watch(EVENTS, "#"))
    stores = {name: postgres.database() for name in SERVICES}
    placed = [stages.order(f"{number}") for number in range(COUNT)]
    copies, cancels = chance.sample(placed, COUNT // 5), [cancel(number) for number in range(0, COUNT, 10)]
    everyone = {f"o{number}" for number in range(COUNT)}

    with working(tmp_path, stages.environment(url, stores, {}) | OFTEN, REPLICAS) as crew:
        assert set(broker.publisher().publish([*placed, *copies, *cancels])) == {"confirmed"}

        def is_over() -> bool:
            if ears.listen() >= (crew.kills + 1) * EVENTS_PER_KILL:
                crew.kill((chance.choice(SERVICES), chance.randrange(2)))
            return ears.orders_with("mail.sent", "order.withdrawn") == everyone

        until(is_over, 240)
        with opened(stores) as look:

            def is_quiet() -> bool:
                ears.listen()
                return not any(broker.depth(queue) for queue in WORK_QUEUES) and not sum(map(look, TROUBLE))

            until(is_quiet, 60)
            assert look(("order-intake", f"inbox WHERE consumer = '{INTAKE_ORDERS}'")) >= COUNT, "none is forgotten"
        assert set(crew.end()) <= {0, -signal.SIGTERM}, "who came back last may hear it before it has begun"
    assert crew.kills >= 6
    assert broker.browse(PARKING, 100) == []

    done = ears.orders_with("install.completed")
    assert done >= everyone - ears.orders_with("order.withdrawn")
    for order, counted in ears.heard.items():
        once = {name: counted[name] for name in ("account.created", "install.completed", "mail.sent")}
        assert once == dict.fromkeys(once, 1) or order not in done, (order, counted)
        assert not counted["mail.sent"] or order in done, (order, counted)
    acts = Counter(map(tuple, crew.notes))
    assert len({order for what, order, _ in acts if what == "account"}) == sum(act[0] == "account" for act in acts)
    assert {count for (what, *_), count in acts.items() if what == "install"} == {1}, "a claim is acted on once"
    assert len({order for what, order, _ in acts if what == "mail"}) == sum(act[0] == "mail" for act in acts)


@contextmanager
def opened(stores: dict[str, str]) -> Iterator[Callable[[tuple[str, str]], int]]:
    """Counts the rows of a service's table that are so."""
    known = {name: Store(url) for name, url in stores.items()}

    def count(of: tuple[str, str]) -> int:
        with known[of[0]].reading() as connection:
            return int(connection.execute(text(f"SELECT count(*) FROM {of[1]}")).scalar_one())  # ours

    yield count
    for store in known.values():
        store.close()
