"""What replicas tell of themselves, for whoever is watching."""

from pathlib import Path
from typing import Any

from foundation.service.heartbeat import heartbeat
from foundation.store.lease import this_process
from schemas.installs import InstallProgress, TimerPause
from schemas.servers import ServerPause
from schemas.services import ServerStatus, ServiceHeartbeat
from services.installer.states import State
from tests.support.house import START, Gate, House


def beats(service: Any) -> list[ServiceHeartbeat]:
    told: list[ServiceHeartbeat] = []
    name = service.database.service
    heartbeat(name, service.made.lanes(), service.made.vitals, lambda data, *_: told.append(data)).do()
    return told


def test_every_service_tells_what_it_consumes_and_works_on(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    gate = Gate()
    house.installer.meanwhile = gate
    house.order()
    house.run_until(gate.reached.is_set)
    [beat] = beats(house.installing)
    assert (beat.service, beat.instance, beat.working_on) == ("installer", this_process(), ("order-1-g1",))
    assert "installer.now" in beat.queues
    assert beat.paused_since is None
    gate.opened.set()
    house.settle()
    assert [beat.working_on for service in house.services for beat in beats(service)] == [(), (), ()]


def test_an_installer_tells_since_when_its_timer_is_paused_and_lives_without_its_database(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.unfinished = "a database is gone"
    house.publish(TimerPause())
    house.settle()
    [beat] = beats(house.installing)
    assert beat.paused_since == START
    house.installing.store.close()
    (tmp_path / "installer.db").unlink()
    [beat] = beats(house.installing)
    assert beat.paused_since is None


def test_an_installer_tells_how_the_servers_stand(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}}, servers={"local": {"concurrency": 1}, "other": {}})
    house.installer.meanwhile = gate = Gate()
    for number in (1, 2, 3):
        house.order(number, server="local")
    house.publish(ServerPause(server="other", reason="a new disk"))
    house.run_until(lambda: gate.reached.is_set() and all(house.is_in(State.WAITING, f"order-{n}-g1") for n in (2, 3)))
    [beat] = beats(house.installing)
    paused = ServerStatus(name="other", state="paused", since=START, reason="a new disk")
    assert beat.servers == (ServerStatus(name="local", concurrency=1, running=1, waiting=2), paused)
    gate.opened.set()
    house.settle()


def test_the_steps_of_an_install_are_told_and_cost_the_store_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    told: list[Any] = []
    house.steps._tell = lambda data, *_: told.append(data)
    house.order()
    house.settle()
    assert house.is_in(State.INSTALLED)
    assert [(data.step, data.attempt, data.seconds is None) for data in told] == [
        (step, 1, begins) for step in ("install", "swap", "verify") for begins in (True, False)
    ]
    assert all(isinstance(data, InstallProgress) and data.install_id == "order-1-g1" for data in told)
