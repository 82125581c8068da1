"""Pages say how old it is what they show, where the projection does not keep up."""

import threading
from datetime import timedelta

import pytest

from foundation.config.queues import API_EVENTS
from services.api.projection import lag, projector
from tests.services.api.console.conftest import Console

TOLD = "What you see here is"


def some(console: Console) -> None:
    """Take in one message."""
    console.service.projector.run_once(console.consumer, threading.Event(), timeout=0)


def test_every_page_says_how_old_it_is_while_more_events_wait(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = console.browser("eve")
    console.settle()
    assert TOLD not in eve.get("/").text
    console.house.order()
    console.house.settle()
    console.house.clock.moment += timedelta(minutes=3)
    monkeypatch.setattr(projector, "_AT_A_TIME", 1)
    some(console)
    for page in ("/", "/installs", "/orders", "/activity", "/workers", "/account"):
        assert f"{TOLD} 3 min old" in eve.get(page).text, page
    assert TOLD not in console.browser().get("/sign-in").text
    console.hear()
    assert TOLD not in eve.get("/").text


def test_a_late_event_among_few_shows_that_more_wait(console: Console) -> None:
    eve = console.browser("eve")
    console.settle()
    console.house.order()
    console.house.clock.moment += timedelta(minutes=3)
    some(console)
    assert TOLD in eve.get("/").text
    some(console)
    assert TOLD not in eve.get("/").text


def test_what_a_process_that_was_killed_has_said_of_itself_is_corrected_by_the_next(console: Console) -> None:
    eve = console.browser("eve")
    with console.desk.writing() as uow:
        lag.note(uow.connection, API_EVENTS, console.house.clock.now() - timedelta(minutes=3))
    assert TOLD in eve.get("/").text
    console.house.order()
    console.hear()
    assert TOLD not in eve.get("/").text
