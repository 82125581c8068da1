"""What staff switch while the services run: staging and the welcome email of a site type, and the timer."""

from pathlib import Path
from typing import Any

import pytest

from foundation.config.queues import INSTALLER_DUE
from schemas.installs import InstallResolve, TimerPause, TimerResume
from schemas.orders import OrderCancel, OrderReinstall
from schemas.services import ServiceDescribe, SiteTypeConfigure
from schemas.values import CauseKind, Model
from services.installer.states import MailState, State
from tests.support.house import House, failure, kind


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Sites of type wordpress wait for the tick."""
    return House(tmp_path)


def switch(house: House, **wanted: Any) -> list[tuple[str, Any]]:
    return staff(house, SiteTypeConfigure(**{"site_type": "wordpress", **wanted}))


def staff(house: House, command: Model) -> list[tuple[str, Any]]:
    """What is said when staff ask for something."""
    house.settle()
    house.events()
    house.publish(command, source="/console", user="staff")
    house.settle()
    return [(kind(event.type), event.data) for event in house.events()]


def test_staging_switched_off_installs_the_next_order_at_once(house: House) -> None:
    house.order(1)
    answers = switch(house, stage="off")
    assert sorted(answer.service for _, answer in answers) == ["installer", "mailer", "order-intake"]
    assert {name for name, _ in answers} == {"site_type.configured"}
    house.order(2)
    house.settle()
    assert house.is_in(State.INSTALLED, "order-2-g1")
    assert house.is_in(State.STAGED, "order-1-g1")  # what was staged before waits for its batch
    house.tick()
    assert house.is_in(State.INSTALLED, "order-1-g1")


def test_default_returns_to_the_settings(house: House) -> None:
    switch(house, stage="off")
    switch(house, stage="default")
    house.order()
    house.settle()
    assert house.is_in(State.STAGED)


def test_a_switch_survives_restarts(house: House) -> None:
    switch(house, stage="off", welcome_email="off")
    for service in tuple(house.services):
        house.restart(service)
    house.order()
    house.settle()
    assert house.is_in(State.INSTALLED)
    assert house.smtp.sent == []


def test_the_welcome_email_switched_off_is_not_awaited_either(house: House) -> None:
    switch(house, welcome_email="off")
    house.order(1)
    house.settle()
    house.tick()
    assert house.install("order-1-g1").mail_state == MailState.OFF
    assert house.smtp.sent == []
    switch(house, welcome_email="on")
    house.order(2)
    house.settle()
    house.tick()
    assert house.mailed(2)


def test_an_unknown_site_type_is_refused_once_and_parks_nothing(house: House) -> None:
    [(name, refused)] = switch(house, site_type="joomla", stage="off")
    assert (name, refused.cause.code) == ("command.refused", "no_such_site_type")
    assert house.parked() == []


def test_a_paused_timer_stays_paused_through_restarts_until_it_is_resumed(house: House) -> None:
    [(name, paused)] = staff(house, TimerPause(reason="moving a server"))
    assert (name, paused.reason) == ("timer.paused", "moving a server")
    house.restart(house.installing)
    assert house.timer._is_paused()
    described = dict(staff(house, ServiceDescribe()))
    assert described["service.described"].paused_since in (None, paused.since)  # three services answer
    assert [name for name, _ in staff(house, TimerResume())] == ["timer.resumed"]
    assert not house.timer._is_paused()


def test_what_waits_for_a_paused_timer_is_not_delivered_again_and_again(house: House) -> None:
    house.order()
    staff(house, TimerPause())
    waiting = house.broker.depth(INSTALLER_DUE)
    for _ in range(4):
        house.pass_time(1200)
        house.installing.run_periodic_tasks()
        house.installing.run_once()
    assert house.broker.depth(INSTALLER_DUE) == waiting == 1
    staff(house, TimerResume())
    house.tick()
    assert house.is_in(State.INSTALLED)


def test_a_resolved_install_can_be_installed_anew_or_cancelled_with_its_order(house: House) -> None:
    for number in (1, 2):
        house.order(number)
    house.settle()
    house.installer.failures += [failure("disk_full", CauseKind.CONFIGURATION) for _ in range(2)]
    house.tick()
    for number in (1, 2):
        [(name, _)] = staff(house, InstallResolve(install_id=f"order-{number}-g1", note="done by hand"))
        assert name == "install.resolved"
    staff(house, OrderReinstall(order_id="order-1"))
    house.tick()
    assert house.is_in(State.RESOLVED, "order-1-g1")
    assert house.is_in(State.INSTALLED, "order-1-g2")
    staff(house, OrderCancel(order_id="order-2"))
    assert house.is_in(State.CANCELLED, "order-2-g1")
