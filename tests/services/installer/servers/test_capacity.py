"""A server that runs only so many installs at a time: the others wait as rows, and take their turns."""

import threading
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from sqlalchemy import text

from foundation.config.keys import Sealer
from foundation.config.settings import Settings
from foundation.handling.outcomes import Done, Effect
from foundation.handling.unit_of_work import Database
from schemas.installs import InstallCancel, InstallStaged, InstallWaiting
from services.installer import service
from services.installer.install import Installing
from services.installer.installs import INSTALLS
from services.installer.states import State, WaitingFor
from tests.services.installer.test_handlers import PUBLIC, staged
from tests.support.house import FakeInstaller, FakeServer, Gate, House
from tests.support.in_memory import event_of
from tests.support.rows import on_each_store
from tests.support.statements import statements

database = on_each_store("installer", service.MIGRATIONS, service.load)


def limited(directory: Path, concurrency: int | None, **settings: Any) -> House:
    settings.setdefault("sites", {"wordpress": {"stage": False}})
    return House(directory, servers={"local": {"concurrency": concurrency}}, **settings)


def installing(concurrency: int | None) -> Installing:
    settings = Settings(keys={"public": PUBLIC}, servers={"local": {"concurrency": concurrency}})
    return Installing(settings, {"local": FakeServer()}, {"wordpress": FakeInstaller()}, Sealer(PUBLIC))


def of_order(number: int) -> InstallStaged:
    return staged(install_id=f"order-{number}-g1", order_id=f"order-{number}")


def placed(house: House, *numbers: int) -> None:
    """Place orders, whose installs are staged in this order."""
    for number in numbers:
        house.order(number)
        house.settle()
        house.clock.moment += timedelta(milliseconds=1)


def test_a_limited_server_is_kept_busy_and_never_runs_more(tmp_path: Path) -> None:
    house, lock, running, most = limited(tmp_path, 2), threading.Lock(), set[str](), list[int]()
    gate = Gate()

    def meanwhile(job: Any) -> None:
        with lock:
            running.add(job.install_id)
            most.append(len(running))
        gate(job)
        with lock:
            running.remove(job.install_id)

    house.installer.meanwhile = meanwhile
    for number in range(1, 9):
        house.order(number)
    installs = [f"order-{number}-g1" for number in range(1, 9)]
    house.run_until(lambda: sum(house.is_in(State.WAITING, one) for one in installs) == 6 and len(running) == 2)
    gate.opened.set()
    house.settle()  # without any time that passes: nothing is asked again, and no sweep runs
    assert house.mailed(*range(1, 9))
    assert max(most) == 2
    assert {house.install(one).attempt for one in installs} == {1}
    told = [event.data for event in house.events() if isinstance(event.data, InstallWaiting)]
    assert {(data.waiting_for, data.cause.code, data.until) for data in told} == {("capacity", "server_busy", None)}
    assert len(told) == len({data.install_id for data in told}) == 6


def test_what_waits_holds_no_message_and_begins_in_the_order_of_staging(tmp_path: Path) -> None:
    house = limited(tmp_path, 1)
    house.installer.meanwhile = gate = Gate()
    house.order(1)
    house.run_until(gate.reached.is_set)
    waiting = [f"order-{number}-g1" for number in (3, 2, 5, 4)]
    for install_id in waiting:
        house.clock.moment += timedelta(seconds=1)
        house.order(int(install_id[6]))
        house.run_until(partial(house.is_in, State.WAITING, install_id))
    house.run_until(lambda: house.broker.depth("installer.now") == 0)
    assert house.install(waiting[0]).is_asleep, "it has no message, and is woken"
    gate.opened.set()
    house.settle()
    assert [job.install_id for job in house.installer.installed] == ["order-1-g1", *waiting]


def test_the_sweep_wakes_others_if_the_one_that_was_woken_does_not_begin(tmp_path: Path) -> None:
    house = limited(tmp_path, 1, sites={"wordpress": {"stage": True}})
    placed(house, 1, 2, 3)
    house.tick()
    woken = house.install("order-2-g1")
    assert (woken.state, woken.waiting_for, bool(woken.woken_at)) == (State.WAITING, WaitingFor.CAPACITY, True)
    house.reconcile()
    assert house.install("order-3-g1").woken_at is None, "there is a place for one only"
    house.publish(InstallCancel(install_id="order-2-g1"), source="/staff")
    house.settle()
    house.reconcile()
    house.tick()
    assert [house.install(f"order-{number}-g1").state for number in (1, 2, 3)] == [
        "installed",
        "cancelled",
        "installed",
    ]


def test_a_woken_one_whose_message_is_lost_is_delivered_again(tmp_path: Path) -> None:
    house = limited(tmp_path, 1, sites={"wordpress": {"stage": True}})
    placed(house, 1, 2)
    house.tick()
    assert house.install("order-2-g1").woken_at
    house.wipe()
    house.advance_until(lambda: house.mailed(1, 2), minutes=60)


def test_what_waits_begins_when_the_limit_is_gone(tmp_path: Path) -> None:
    house = limited(tmp_path, 1, sites={"wordpress": {"stage": True}})
    placed(house, 1, 2, 3, 4)
    house.tick()
    house.settings.servers["local"] = house.settings.servers["local"].model_copy(update={"concurrency": None})
    house.restart(house.installing)
    house.reconcile()
    house.tick()
    assert house.mailed(1, 2, 3, 4)


def test_replicas_together_begin_as_many_as_may(database: Database[Any]) -> None:
    replicas, together = [installing(3) for _ in range(4)], threading.Barrier(4)
    outcomes = Counter[type]()

    def begin(replica: Installing, first: int) -> None:
        together.wait()
        for number in range(first, first + 5):
            event = event_of(of_order(number))
            with database.begin([event]) as uow:
                outcomes[type(replica.start(uow, event))] += 1

    threads = [threading.Thread(target=begin, args=(one, 10 * n)) for n, one in enumerate(replicas, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {Effect: 3, Done: 17}
    with database.store.reading() as connection:
        states = Counter(install.state for install in INSTALLS.page(connection, None, 100))
    assert states == {State.INSTALLING: 3, State.WAITING: 17}


def test_a_replica_does_not_count_while_another_begins(database: Database[Any]) -> None:
    outcomes: list[type] = []

    def begin(number: int) -> None:
        event = event_of(of_order(number))
        with database.begin([event]) as uow:
            outcomes.append(type(installing(1).start(uow, event)))
            if number == 1:
                other.start()
                while other.is_alive() and not is_waited_for(database):
                    sleep(0.01)

    other = threading.Thread(target=begin, args=[2])
    begin(1)
    other.join()
    assert outcomes == [Effect, Done]


def is_waited_for(database: Database[Any]) -> bool:
    """Whether a transaction waits for another one. SQLite's does from its beginning."""
    waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid "
    with database.store.reading() as connection:
        if connection.dialect.name == "sqlite":
            return True
        here = "WHERE NOT granted AND datname = current_database()"
        return bool(connection.execute(text(waiting + here)).scalar_one())


@pytest.mark.parametrize(("concurrency", "more"), [(None, 0), (100, 1)])
def test_a_limit_costs_a_batch_one_query_and_none_costs_nothing(
    database: Database[Any], concurrency: int | None, more: int
) -> None:
    replica = installing(concurrency)
    events = [event_of(of_order(number)) for number in range(1, 21)]
    with statements(database) as executed, database.begin(events) as uow:
        assert all(isinstance(replica.start(uow, event), Effect) for event in events)
    counted = [statement for statement in executed if "count(" in statement]
    assert len(counted) == more
    assert sum("server_standings" in statement for statement in executed) == 1, "how the servers stand, once a batch"
