"""What staff switch while the services run: staging and the welcome email of a site type."""

from pathlib import Path
from typing import Any

import pytest

from schemas.services import SiteTypeConfigure
from services.installer.states import MailState, State
from tests.support.house import House, kind


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Sites of type wordpress wait for the tick."""
    return House(tmp_path)


def switch(house: House, **wanted: Any) -> list[tuple[str, Any]]:
    house.settle()
    house.events()
    house.publish(SiteTypeConfigure(**{"site_type": "wordpress", **wanted}), source="/console", user="staff")
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
