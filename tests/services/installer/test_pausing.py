"""The timer's pause, as every replica reads it, on both databases."""

from typing import Any

from foundation.handling.unit_of_work import Database
from schemas.installs import TimerPause, TimerResume
from schemas.values import Model
from services.installer import service
from services.installer.pausing import paused_since
from tests.support.house import START
from tests.support.in_memory import at, event_of
from tests.support.rows import on_each_store

database = on_each_store("installer", service.MIGRATIONS, service.load)


def changed(database: Database[Any], command: Model, seconds: float = 0) -> Any:
    """Pause or resume it; return since when it is paused, as others read it then."""
    with database.begin([event_of(command)]) as uow:
        timer = uow.rows.timer
        uow.rows.timers.save(timer.paused("why", at(seconds)) if isinstance(command, TimerPause) else timer.resumed())
    with database.store.reading() as connection:
        return paused_since(connection)


def test_a_pause_is_read_as_it_was_written(database: Database[Any]) -> None:
    with database.store.reading() as connection:
        assert paused_since(connection) is None, "there is no row yet"
    assert changed(database, TimerPause()) == START
    assert changed(database, TimerPause(), 60) == START
    assert changed(database, TimerResume()) is None
    assert changed(database, TimerPause(), 120) == at(120)
