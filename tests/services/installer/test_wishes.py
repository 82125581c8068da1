"""What an order wishes of its site comes to the installer as the application is to have it."""

from pathlib import Path
from typing import Any

import pytest

from services.installer.states import State
from tests.support.house import House

CUSTOMER = {"name": "Ann", "email": "ann@münchen.example"}


def test_the_address_comes_with_its_domain_in_ascii_and_the_letter_goes_to_it_all_the_same(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.order(customer=CUSTOMER)
    house.settle()
    house.tick()
    assert [job.admin_email for job in house.installer.installed] == ["ann@xn--mnchen-3ya.example"]
    assert "xn--mnchen-3ya.example" in str(house.smtp.sent[0]["To"])


@pytest.mark.parametrize(
    ("ordered", "wished"),
    [
        ({}, ("de_DE", "Europe/Berlin", "/%postname%/")),
        ({"locale": "fr-FR"}, ("fr_FR", "Europe/Berlin", "/%postname%/")),
        (
            {"locale": "en", "timezone": "UTC", "permalinks": "/%year%/%postname%/"},
            ("en", "UTC", "/%year%/%postname%/"),
        ),
    ],
)
def test_an_orders_wishes_come_before_the_site_types(
    tmp_path: Path, ordered: dict[str, Any], wished: tuple[str, str, str]
) -> None:
    german = {"locale": "de_DE", "timezone": "Europe/Berlin", "permalinks": "/%postname%/"}
    house = House(tmp_path, sites={"wordpress": german | {"keep": [".well-known"], "replace": ["index.html"]}})
    house.order(**ordered)
    house.settle()
    house.tick()
    (job,) = house.installer.installed
    assert (job.locale, job.timezone, job.permalinks) == wished
    assert (job.keep, job.replace) == ((".well-known",), ("index.html",))
    assert house.is_in(State.INSTALLED)
