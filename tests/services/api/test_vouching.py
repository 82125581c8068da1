"""Whom a producer names is shown as what the producer says."""

import pytest

from foundation.broker import Delivery, Message, codec
from foundation.broker.delay import Ladder
from foundation.config.queues import API_EVENTS, with_api
from foundation.testing.memory import MemoryBroker
from schemas.orders import OrderPlaced
from services.api.projection import vouching
from tests.support.api import ORDER
from tests.support.house import START


def delivered(user: str, **attributes: str) -> Delivery:
    broker = MemoryBroker(with_api(Ladder()), lambda: START)
    broker.declare()
    event = codec.envelope(OrderPlaced(**ORDER), id="e1", source="/sitecrew/api", subject="order-1", **attributes)
    message = Message("orders", "order.placed.v1", codec.encode(event), event.id, event.type)
    broker.publisher(user).publish([message])
    (delivery,) = broker.consumer(API_EVENTS, 1).take(1, 0)
    return delivery


@pytest.mark.parametrize(
    ("user", "shown"), [("sitecrew", "eve"), ("shop", "eve (says shop)"), ("", "eve (says its producer)")]
)
def test_only_our_own_broker_user_speaks_for_others(user: str, shown: str) -> None:
    assert vouching.read(delivered(user, authtype="user", authid="eve"), {"sitecrew"}).authid == shown


def test_a_long_name_stays_one_that_fits() -> None:
    named = vouching.read(delivered("s" * 255, authid="e" * 255), {"sitecrew"}).authid
    assert named is not None
    assert len(named) < 255


def test_who_names_nobody_is_taken_as_it_is() -> None:
    assert vouching.read(delivered("shop"), {"sitecrew"}).authid is None
