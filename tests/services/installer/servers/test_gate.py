"""A server that fails again and again, or that staff have paused: its installs wait, and nobody else's."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from foundation.handling.outcomes import Done, Effect
from foundation.handling.unit_of_work import Database
from foundation.store.lease import Terms
from schemas.installs import InstallWaiting
from schemas.servers import ServerClosed, ServerOpened, ServerPause, ServerResume
from schemas.values import CauseKind
from services.installer import service
from services.installer.causes import INSTALL_CAUSES
from services.installer.install import Installing
from services.installer.servers.standing import Standing
from services.installer.states import ServerState, State, WaitingFor
from tests.services.installer.test_handlers import DOWN, SITE, Desk, install, staged
from tests.support.house import START, House, failure
from tests.support.in_memory import event_of
from tests.support.rows import on_each_store

OTHER = failure("php_fatal", CauseKind.PERMANENT).cause
database = on_each_store("installer", service.MIGRATIONS, service.load)
WAITS = {"wordpress": {"stage": False}}
SETTLES = {"wordpress": {"stage": False, "settle_seconds": 60}}


class Doorstep(Desk):
    """Handlers over one install, whose server stands as given."""

    def __init__(self, most: int = 2, **standing: Any) -> None:
        super().__init__(servers={"local": {"breaker_failures": most}})
        if standing:
            self.rows.standings.change("local", lambda it: Standing(**{**vars(it), **standing}))

    @property
    def standing(self) -> Standing:
        return self.rows.standings.of("local")


def open_until(seconds: float) -> dict[str, Any]:
    """Return a standing that is open until this many seconds after the start."""
    until = START + timedelta(seconds=seconds)
    return {"state": ServerState.OPEN, "failures": 2, "openings": 1, "since": START, "until": until, "cause": DOWN}


@pytest.mark.parametrize("cause", [DOWN, failure("web_down").cause, failure("web_silent").cause])
def test_failures_of_the_servers_own_in_a_row_open_it_and_count_as_attempts(cause: Any) -> None:
    desk = Doorstep(most=2)
    for number, event_types in ((1, ["install.staged"] * 2), (2, ["server.opened", *["install.staged"] * 2])):
        install_id = f"order-{number}-g1"
        effect = desk.handle(staged(install_id=install_id, order_id=f"order-{number}"))
        assert isinstance(effect, Effect)
        desk.uow = desk.unit()
        desk.conclude(effect.failed, effect, cause)
        failed = desk.rows.installs.get(install_id)
        assert failed
        assert (failed.state, failed.attempt, desk.event_types()) == (State.STAGED, 1, event_types)
    assert (desk.standing.state, desk.standing.failures) == (ServerState.OPEN, 2)


def test_one_order_alone_says_nothing_of_its_server_however_often_it_fails() -> None:
    desk = Doorstep(most=2)
    for _ in range(3):
        effect = desk.begin()
        desk.conclude(effect.failed, effect, DOWN)
        desk.now = desk.install().due_at
    assert (desk.standing.state, desk.standing.failures) == (ServerState.CLOSED, 1)


@pytest.mark.parametrize("cause", [OTHER, failure("verify_failed").cause])
def test_what_is_one_accounts_own_matter_neither_counts_nor_ends_the_row(cause: Any) -> None:
    desk = Doorstep(failures=1)
    effect = desk.begin()
    desk.conclude(effect.failed, effect, cause)
    assert (desk.standing.state, desk.standing.failures) == (ServerState.CLOSED, 1)


def test_a_success_ends_the_row() -> None:
    desk = Doorstep(failures=1, cause=DOWN)
    effect = desk.begin()
    desk.conclude(effect.succeeded, effect, SITE)
    assert (desk.standing, desk.event_types()) == (Standing(name="local", since=START), ["install.completed"])


def test_without_a_limit_a_server_is_never_left_alone() -> None:
    desk = Doorstep(most=0, failures=100)
    effect = desk.begin()
    desk.conclude(effect.failed, effect, DOWN)
    assert desk.standing.state == ServerState.CLOSED


def test_while_a_server_is_left_alone_its_installs_wait_without_an_attempt() -> None:
    desk = Doorstep(**open_until(30))
    assert isinstance(desk.handle(staged()), Done)
    waits = desk.install()
    assert (waits.state, waits.waiting_for, waits.attempt) == (State.WAITING, WaitingFor.SERVER, 0)
    assert waits.waiting_until == START + timedelta(hours=72)
    assert waits.cause
    assert waits.cause.detail == "local has failed 2 times in a row; the last time db_down: db_down on purpose"
    assert desk.event_types() == ["install.waiting"]
    desk.handle(staged())
    assert desk.event_types() == [], "it is told once"


def test_one_is_let_through_to_try_it_and_its_success_lets_all_in() -> None:
    desk = Doorstep(**open_until(0))
    effect = desk.begin()
    assert desk.standing.state == ServerState.HALF_OPEN
    other = staged(install_id="order-2-g1", order_id="order-2")
    assert isinstance(desk.handle(other), Done), "others wait for how that ends"
    desk.uow = desk.unit()
    desk.conclude(effect.succeeded, effect, SITE)
    assert (desk.standing, desk.event_types()) == (
        Standing(name="local", since=START),
        ["server.closed", "install.completed"],
    )


def test_if_the_one_that_tries_it_fails_that_was_no_attempt_and_the_pause_is_longer() -> None:
    desk, pauses = Doorstep(**open_until(0)), []
    for number in (1, 2, 3):
        effect = desk.begin()
        desk.conclude(effect.failed, effect, DOWN)
        assert (desk.install().state, desk.install().attempt) == (State.WAITING, 0)
        assert "server.opened" in desk.event_types()
        assert (desk.standing.state, desk.standing.openings) == (ServerState.OPEN, number + 1)
        assert desk.standing.since == START, "since it was given up"
        assert desk.standing.until
        pauses.append(desk.standing.until - desk.now)
        desk.now = desk.standing.until
    assert pauses[0] < pauses[2]


@pytest.mark.parametrize("cause", [OTHER, failure("verify_failed").cause])
def test_one_that_fails_for_its_own_reason_shows_that_the_server_works(cause: Any) -> None:
    desk = Doorstep(**open_until(0))
    effect = desk.begin()
    desk.conclude(effect.failed, effect, cause)
    assert (desk.standing.is_fine, "server.closed" in desk.event_types()) == (True, True)


@pytest.mark.parametrize("lost", [True, False])
def test_if_nothing_is_heard_of_the_one_that_tries_it_another_does(lost: bool) -> None:
    desk = Doorstep(**open_until(0))
    effect = desk.begin()
    if lost:
        desk.conclude(effect.failed, effect, INSTALL_CAUSES.cause("worker_lost", "killed"))
    else:
        assert effect.not_begun
        desk.conclude(effect.not_begun, effect)
    assert (desk.standing.state, desk.standing.is_shut(desk.now)) == (ServerState.OPEN, False)
    desk.now = max(desk.now, desk.install().due_at)
    assert isinstance(desk.handle(staged()), Effect)


def test_what_fails_while_others_were_running_keeps_its_attempts() -> None:
    desk = Doorstep(most=1)
    effect = desk.begin()
    second = desk.handle(staged(install_id="order-2-g1", order_id="order-2"))
    assert isinstance(second, Effect)
    desk.conclude(effect.failed, effect, DOWN)
    desk.conclude(second.failed, second, DOWN)
    other = desk.rows.installs.get("order-2-g1")
    assert other
    assert (other.state, other.attempt, desk.install().attempt) == (State.WAITING, 0, 1)


def test_of_several_replicas_one_lets_one_install_through(database: Database[Any]) -> None:
    with database.begin() as uow:
        uow.rows.standings.change("local", lambda it: Standing(**{**vars(it), **open_until(0)}))
    replicas, together = [Desk().installing for _ in range(4)], threading.Barrier(4)
    outcomes = Counter[type]()

    def begin(replica: Installing, number: int) -> None:
        event = event_of(staged(install_id=f"order-{number}-g1", order_id=f"order-{number}"))
        together.wait()
        with database.begin([event]) as uow:
            outcomes[type(replica.start(uow, event))] += 1

    threads = [threading.Thread(target=begin, args=(one, number)) for number, one in enumerate(replicas, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {Effect: 1, Done: 3}


def test_whoever_waits_too_long_for_a_server_fails(tmp_path: Path) -> None:
    house = House(tmp_path, sites=SETTLES, installer={"waiting_hours": 1})
    house.order()
    house.settle()
    house.publish(ServerPause(server="local", reason="moving it"))
    house.settle()
    house.advance(61)
    assert house.is_in(State.WAITING)
    house.let_time_pass(2, 1700)
    assert house.is_in(State.WAITING)
    house.let_time_pass(1, 300)
    failed = house.install()
    assert (failed.state, failed.cause and failed.cause.code) == (State.FAILED, "server_paused")


def test_staff_pause_a_server_and_resume_it(tmp_path: Path) -> None:
    house = House(tmp_path, sites=SETTLES, servers={"local": {}, "other": {}})
    house.order(1, server="local")
    house.order(2, server="other")
    house.settle()
    house.publish(ServerPause(server="local", reason="a new disk"), source="/staff", authtype="user", authid="ann")
    house.settle()
    house.advance(61)
    waits = house.install("order-1-g1")
    assert (waits.state, waits.attempt) == (State.WAITING, 0)
    assert waits.cause
    assert (waits.cause.code, waits.cause.detail) == ("server_paused", "local is paused by ann: a new disk")
    assert house.mailed(2), "others go on"
    house.publish(ServerResume(server="local"))
    house.settle()
    assert house.mailed(1)
    told = [event.data for event in house.events()]
    assert [data.state for data in told if isinstance(data, ServerOpened)] == ["paused"]
    assert [data.server for data in told if isinstance(data, ServerClosed)] == ["local"]


def test_a_pause_ends_by_itself_if_staff_have_said_when(tmp_path: Path) -> None:
    house = House(tmp_path, sites=SETTLES)
    house.order()
    house.settle()
    house.publish(ServerPause(server="local", until=START + timedelta(minutes=30)))
    house.settle()
    house.advance(61)
    house.let_time_pass(1, 1729)
    assert house.is_in(State.WAITING)
    house.let_time_pass(1, 20)
    assert house.mailed(1)


@pytest.mark.parametrize("command", [ServerPause, ServerResume])
def test_only_servers_of_the_settings_are_paused(tmp_path: Path, command: Callable[..., Any]) -> None:
    house = House(tmp_path)
    house.publish(command(server="elsewhere"))
    house.settle()
    (refused,) = [event.data for event in house.events()]
    assert refused.cause.code == "no_such_server"


def test_one_sick_server_costs_others_nothing_and_its_own_installs_keep_their_attempts(tmp_path: Path) -> None:
    """One of two servers has its database stopped for ten minutes, with fifty installs of each waiting."""
    house = House(tmp_path, sites=WAITS, servers={"local": {}, "sick": {}})
    house.installer.down = {"sick"}
    for number in range(1, 101):
        house.order(number, server="sick" if number % 2 else "local")
    house.settle()
    assert house.mailed(*range(2, 101, 2)), "at full pace: no time has passed"
    house.let_time_pass(40, 15)
    sick = [f"order-{number}-g1" for number in range(1, 101, 2)]
    assert not any(house.is_in(State.INSTALLED, install_id) for install_id in sick)
    house.installer.down.clear()
    began = house.clock.moment
    while not house.mailed(*range(1, 101, 2)):
        assert house.clock.moment - began < timedelta(minutes=6.5), "as soon as one has tried it"
        house.let_time_pass(1, 15)
    attempts = [house.install(install_id).attempt for install_id in sick]
    assert max(attempts) <= 2 < house.settings.installer.max_attempts
    assert sum(attempt > 1 for attempt in attempts) <= 5, "those that opened it"
    waited = [event.data for event in house.events() if isinstance(event.data, InstallWaiting)]
    assert {data.waiting_for for data in waited} == {"server"}


def test_an_install_that_waits_takes_its_place_again_in_whatever_state_it_began() -> None:
    terms = Terms("me", timedelta(seconds=15))
    begun = install().begun(terms, START, 6)
    waits = begun.waits(WaitingFor.SERVER, DOWN, START, until=START + timedelta(hours=1))
    assert (waits.attempt, waits.lease_owner, waits.check_at) == (0, None, START + timedelta(hours=1))
    again = waits.begun(terms, START, 6).waits(WaitingFor.DNS, DOWN, START, until=START + timedelta(hours=9))
    assert again.waiting_until == waits.waiting_until, "however often it is taken up, and for whatever it waits"
