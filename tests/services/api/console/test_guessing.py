"""Guessing passwords is slow, and locks nobody else out."""

import threading
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from foundation.errors import Refused
from services.api.access import passwords, staff
from services.api.access.identity import Role
from services.api.access.throttle import network_of
from services.api.projection.activity import activity
from tests.services.api.console.conftest import PASSWORD, Browser, Console

WRONG = "a wrong password"


def coming_from(console: Console, address: str) -> Browser:
    client = TestClient(console.service.server._app, client=(address, 4711), follow_redirects=False)
    return Browser(client)


def guess(console: Console, name: str, times: int, address: str = "203.0.113.9") -> list[int]:
    return [coming_from(console, address).sign_in(name, WRONG).status_code for _ in range(times)]


def test_an_attacker_locks_nobody_out_of_a_browser_that_they_have_used_before(console: Console) -> None:
    eve = console.browser("eve")
    eve.post("/sign-out")
    assert guess(console, "eve", 6)[-1] == 429
    assert console.browser().sign_in("eve").status_code == 429  # a browser that nobody knows
    assert eve.sign_in("eve").status_code == 303
    eve.post("/sign-out")
    assert [eve.sign_in("eve", WRONG).status_code for _ in range(6)] == [403] * 5 + [429]
    assert guess(console, "eve", 1) == [429]


def test_a_browser_is_known_for_its_own_member_and_password_alone(console: Console) -> None:
    eve, ann = console.browser("eve"), console.browser("ann")
    ann.post("/sign-out")
    guess(console, "eve", 6)
    assert ann.sign_in("eve").status_code == 429
    forged = console.browser()
    forged.client.cookies.set("sitecrew_session_browser", f"number.{'0' * 64}")
    assert forged.sign_in("eve").status_code == 429
    with console.desk.writing() as uow:
        staff.set_password(uow.connection, "eve", "another good password", console.desk.now())
    assert eve.sign_in("eve", "another good password").status_code == 429


def test_the_cookie_that_knows_a_browser_gives_no_access_and_is_kept_from_scripts(console: Console) -> None:
    eve = console.browser("eve")
    told = [value for value in eve.sign_in("eve").headers.get_list("set-cookie") if "_browser=" in value]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(told[0].split("; "))
    del eve.client.cookies["sitecrew_session"]
    assert eve.get("/account").status_code == 303


def test_ones_own_sign_ins_do_not_let_one_guess_the_passwords_of_others(console: Console) -> None:
    console.browser("eve")
    answers = list[int]()
    for number in range(30):
        answers += guess(console, f"name{number}", 1, "testclient")
        if number % 5 == 0:
            console.browser().sign_in("eve")
    assert 429 in answers


def test_whoever_has_an_ipv6_network_of_64_bits_is_one(console: Console) -> None:
    answers = [guess(console, f"name{n}", 1, f"2001:db8:1:2::{n:x}")[0] for n in range(21)]
    assert answers == [403] * 20 + [429]
    assert guess(console, "other", 1, "2001:db8:1:3::1") == [403]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_address_counts_as_what_one_client_has(address: str, network: str) -> None:
    assert network_of(address) == network
    assert network_of(str(ip_address("::1"))) == "::/64"


def test_a_password_that_was_typed_as_a_name_is_not_kept(console: Console) -> None:
    console.browser("eve")
    console.browser().sign_in(PASSWORD, "x")
    guess(console, "eve", 1)
    with console.desk.reading() as connection:
        lines = [(row.kind, row.actor, row.detail) for row in connection.execute(select(activity))]
    failed = [line[1:] for line in lines if line[0] == "staff.sign_in_failed"]
    assert failed == [("nobody", "with an unknown name, from testclient"), ("eve", "from 203.0.113.9")]
    assert PASSWORD not in str(lines)


def test_another_role_signs_its_owner_out(console: Console) -> None:
    console.browser("ann")
    eve = console.browser("eve", Role.OPERATOR)
    with console.desk.writing() as uow:
        staff.set_role(uow.connection, "eve", Role.VIEWER, console.desk.now())
    assert eve.get("/account").status_code == 303


def test_guessing_by_a_stolen_session_is_slow_and_locks_nobody_out(console: Console) -> None:
    eve = console.browser("eve")
    new: dict[str, Any] = {"new": "another good password", "repeated": "another good password"}
    answers = [eve.post("/account/password", current=WRONG, **new).text for _ in range(6)]
    assert ["Try again in" in answer for answer in answers] == [False] * 5 + [True]
    assert "Try again in" in eve.post("/account/password", current=PASSWORD, **new).text
    assert console.browser().sign_in("eve").status_code == 303


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaaaaaa", "abcabcabcabc", "I am Evelyn, really"])
def test_a_password_is_not_too_simple(password: str) -> None:
    with pytest.raises(Refused, match="a password has"):
        passwords.hashed(password, "evelyn")


def test_few_passwords_are_hashed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_turns", threading.BoundedSemaphore(1))
    monkeypatch.setattr(passwords, "_PATIENCE", 0)
    with passwords._turn(), pytest.raises(Refused, match="try again in a moment"):
        passwords.fits(None, PASSWORD)
    assert not passwords.fits(None, PASSWORD)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://testserver"}, 303),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_nobody_is_signed_in_by_a_form_of_another_site(console: Console, headers: dict[str, str], status: int) -> None:
    console.browser("eve")
    data = {"name": "eve", "password": PASSWORD}
    assert console.browser().client.post("/sign-in", data=data, headers=headers).status_code == status


def test_what_counts_is_forgotten_after_a_while(console: Console) -> None:
    console.browser("eve")
    guess(console, "eve", 6)
    console.house.clock.moment += timedelta(hours=2)
    assert console.browser().sign_in("eve").status_code == 303
