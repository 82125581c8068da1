"""What the audit and other commands say on RabbitMQ 4.3, where a user may not look at queues that he has no right to
configure: nothing about what they can't see."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING
from foundation.config.queues import API_EVENTS, MAILER_INSTALLS, sitecrew
from foundation.config.settings import Settings
from foundation.errors import NotFound
from sitecrew.audit import messages
from sitecrew.audit.whole import WholeAudit
from sitecrew.cli.client import rebuilding
from sitecrew.cli.office.direct import Direct

FORBIDDEN = 403
NOT_FOUND = 404
URL = "amqp://sitecrew-staff:staff@localhost/"


class Node:
    """A node that lets its user look at no queue, and has what it has."""

    missing: str = ""
    is_open = True
    is_closed = False

    def __init__(self, _parameters: object) -> None:
        """Connect at once."""

    def channel(self) -> Any:
        refused = {"queue_declare": self._refuse, "exchange_declare": self._refuse}
        return SimpleNamespace(**refused, is_closed=False, basic_publish=lambda *_: None, close=lambda: None)

    def close(self) -> None:
        self.is_open, self.is_closed = False, True

    def _refuse(self, name: str, *_: object, **__: object) -> NoReturn:
        if name == self.missing:
            raise ChannelClosedByBroker(NOT_FOUND, f"NOT_FOUND - no queue '{name}' in vhost '/'")
        said = f"ACCESS_REFUSED - configure access to queue '{name}' in vhost '/' refused for user 'sitecrew-staff'"
        raise ChannelClosedByBroker(FORBIDDEN, said)


@pytest.fixture(autouse=True)
def _hides_its_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pika, "BlockingConnection", Node)
    monkeypatch.setattr(RabbitBroker, "browse", lambda _self, _queue, _limit: [])


@pytest.fixture
def broker() -> RabbitBroker:
    return RabbitBroker([URL], sitecrew(Ladder(levels=2)))


def test_what_may_not_be_looked_at_has_no_number_and_is_not_missing(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Node, "missing", MAILER_INSTALLS)
    assert (broker.depth(PARKING), broker.depths([PARKING, MAILER_INSTALLS])) == (None, {})
    assert [broker.is_missing(queue) for queue in (PARKING, MAILER_INSTALLS)] == [False, True]
    assert broker.takes(100), "it was the question behind the message that was refused"


def test_the_audit_says_that_it_could_not_compare_and_looks_at_the_rest(broker: RabbitBroker) -> None:
    notes: list[str] = []
    assert list(messages.check(broker, (), notes, datetime(2026, 1, 1, tzinfo=UTC), pause=0)) == []
    (note,) = notes
    assert note.startswith("the broker's exchanges and queues were not compared")


def test_a_projection_that_nobody_knows_to_be_up_to_date_is_not_compared(
    broker: RabbitBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = WholeAudit(Settings(amqp_url=URL), broker, pause=0)
    assert list(whole._tried("the broker", whole._broker)) == []
    assert whole.unchecked == []
    assert whole._not_projecting == "the broker's user may not see whether events wait for it"
    monkeypatch.setattr(Node, "missing", API_EVENTS)
    assert whole._why_not_projecting() == "", "none can wait"


@pytest.mark.parametrize("missing", [False, True])
def test_a_command_takes_a_queue_that_it_may_not_see_to_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, missing: bool
) -> None:
    settings = Settings(amqp_url=URL, api={"store_url": f"sqlite:///{tmp_path}/api.db"})
    monkeypatch.setattr("services.api.parked.acting.compare", lambda *_: None)
    monkeypatch.setattr(rebuilding, "_rebuilt", lambda *_: {"mailer": 3})

    def looked_at(ask: Callable[[], object], queue: str) -> object:
        monkeypatch.setattr(Node, "missing", queue if missing else "")
        try:
            return ask()
        except NotFound:
            return None

    def parked() -> bool:
        with Direct(settings).parked(PARKING):
            return True

    assert looked_at(parked, PARKING) == (None if missing else True)
    assert looked_at(lambda: rebuilding.rebuild(settings, 1), API_EVENTS) == (None if missing else {"mailer": 3})
