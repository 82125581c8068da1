"""The window of unconfirmed messages. What it does on a broker is in `tests/contracts/test_broker.py`."""

import pytest

from foundation.broker import Confirmation, Message
from foundation.broker import window as window_module
from foundation.broker.window import Window


class Time:
    """A monotonic clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(window_module, "monotonic", time)
    return time


def messages(count: int) -> list[Message]:
    return [Message("", "queue", b"x", message_id=str(number)) for number in range(count)]


def test_messages_are_numbered_as_they_are_taken_and_answered_by_number() -> None:
    window = Window()
    batch = window.submit(messages(3), timeout=30)
    assert [message.message_id for message in window.take()] == ["0", "1", "2"]
    window.answer(2, Confirmation.CONFIRMED, multiple=True)
    window.answer(3, Confirmation.REFUSED, multiple=False)
    assert batch.outcomes == [Confirmation.CONFIRMED, Confirmation.CONFIRMED, Confirmation.REFUSED]
    assert batch.done.is_set()


def test_what_nobody_waits_for_any_more_is_not_kept_while_there_is_no_channel(time: Time) -> None:
    window = Window()
    for _ in range(20):  # a relay that comes again and again to a broker that is away
        window.submit(messages(1000), timeout=30)
        time.now += 31
    assert len(window._waiting) == 1000
    last = window.submit(messages(2), timeout=30)
    assert len(list(window.take())) == last.remaining == 2
