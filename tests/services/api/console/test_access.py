"""Who gets into the console, and what they may do there."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from foundation.errors import NotFound, Refused
from services.api.access import passwords, staff, tables
from services.api.access.identity import Role
from services.api.projection.activity import activity
from tests.services.api.console.conftest import PASSWORD, Console

COOKIE = "sitecrew_session"


def kinds(console: Console) -> list[tuple[str, str | None]]:
    with console.desk.reading() as connection:
        return [(row.kind, row.actor) for row in connection.execute(select(activity).order_by(activity.c.id))]


def test_nobody_sees_a_page_without_signing_in(console: Console) -> None:
    stranger = console.browser()
    for path in ("/", "/account"):
        answer = stranger.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in")
    assert stranger.client.post("/ask", data={"action": "run-now"}).headers["location"] == "/sign-in"


def test_signing_in_leads_to_the_page_that_was_asked_for_and_to_no_other_host(console: Console) -> None:
    console.browser("eve")
    asked = console.browser().get("/account?x=1")
    assert asked.headers["location"] == "/sign-in?back=/account%3Fx%3D1"
    for back, led in (("/account?x=1", "/account?x=1"), ("https://evil.example/", "/"), ("//evil.example", "/")):
        assert console.browser().sign_in("eve", back=back).headers["location"] == led
    assert console.browser().sign_in("eve", back="/\\evil.example").headers["location"] == "/"


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(console: Console) -> None:
    console.browser("eve")
    plain = console.browser().sign_in("eve").headers.get_list("set-cookie")[0]
    assert plain.startswith(f"{COOKIE}=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(plain.split("; "))
    assert "Secure" not in plain
    safe = console.browser(base="https://testserver").sign_in("eve").headers.get_list("set-cookie")[0]
    assert safe.startswith(f"__Host-{COOKIE}=")
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(safe.split("; "))


def test_a_session_that_somebody_else_began_is_not_taken_over(console: Console) -> None:
    browser = console.browser("eve")
    before = browser.client.cookies[COOKIE]
    browser.sign_in("eve")
    assert browser.client.cookies[COOKIE] != before
    planted = console.browser()
    planted.client.cookies.set(COOKIE, "chosen-by-somebody-else")
    planted.sign_in("eve")
    chosen = console.browser()
    chosen.client.cookies.set(COOKIE, "chosen-by-somebody-else")
    assert chosen.get("/account").status_code == 303
    old = console.browser()
    old.client.cookies.set(COOKIE, before)
    assert old.get("/account").status_code == 303


def test_only_hashes_of_passwords_and_sessions_are_kept(console: Console) -> None:
    browser = console.browser("eve")
    with console.desk.reading() as connection:
        kept = str(connection.execute(select(tables.staff)).all()) + str(
            connection.execute(select(tables.sessions)).all()
        )
    assert "$argon2id$" in kept
    assert PASSWORD not in kept
    assert browser.client.cookies[COOKIE] not in kept


def test_an_unknown_name_is_answered_like_a_wrong_password(console: Console) -> None:
    console.browser("eve")
    answers = [console.browser().sign_in(name, "wrong password!") for name in ("eve", "nobody")]
    assert {answer.status_code for answer in answers} == {403}
    assert answers[0].text.replace("eve", "") == answers[1].text.replace("nobody", "")


def test_a_password_is_hashed_as_slowly_as_owasp_recommends() -> None:
    kept = passwords.hashed(PASSWORD, "maria")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.fits(kept, PASSWORD)
    assert not passwords.fits(kept, PASSWORD[1:])


def test_a_password_is_compared_even_if_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    class Hasher:
        def hash(self, _password: str) -> str:
            return "of nobody"

        def verify(self, kept: str, _given: str) -> bool:
            compared.append(kept)
            return True

    monkeypatch.setattr(passwords, "_hasher", Hasher())
    passwords._nobodys.cache_clear()
    assert not passwords.fits(None, "anything")
    assert compared == ["of nobody"]
    passwords._nobodys.cache_clear()


def test_failed_sign_ins_with_a_name_are_slowed_down_and_then_allowed_again(console: Console) -> None:
    console.browser("eve")
    for _ in range(5):
        assert console.browser().sign_in("eve", "wrong password!").status_code == 403
    refused = console.browser().sign_in("eve")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    console.house.clock.moment += timedelta(minutes=1)
    assert console.browser().sign_in("eve").status_code == 303
    assert console.browser().sign_in("eve", "wrong password!").status_code == 403


def test_guessing_many_names_from_one_address_is_slowed_down(console: Console) -> None:
    answers = [console.browser().sign_in(f"name{number}", "wrong password!").status_code for number in range(21)]
    assert answers[:20] == [403] * 20
    assert answers[20] == 429


def test_signing_out_ends_the_session_here_or_everywhere(console: Console) -> None:
    here, there = console.browser("eve"), console.browser()
    there.sign_in("eve")
    kept = here.client.cookies[COOKIE]
    assert here.post("/sign-out").headers["location"] == "/sign-in"
    stolen = console.browser()
    stolen.client.cookies.set(COOKIE, kept)
    assert stolen.get("/account").status_code == 303
    assert there.get("/account").status_code == 200
    again = console.browser()
    again.sign_in("eve")
    there.post("/sign-out", everywhere="true")
    assert again.get("/account").status_code == 303
    assert [kind for kind, _ in kinds(console)][-4:] == [
        "staff.signed_in",
        "staff.signed_out",
        "staff.signed_in",
        "staff.signed_out_everywhere",
    ]


def test_a_session_ends_when_nothing_is_done_and_after_its_hours(console: Console) -> None:
    idle, busy = console.browser("eve"), console.browser("ann")
    for _ in range(11):
        console.house.clock.moment += timedelta(hours=1)
        assert busy.get("/account").status_code == 200
    assert idle.get("/account").status_code == 303
    console.house.clock.moment += timedelta(hours=1, seconds=1)
    assert busy.get("/account").status_code == 303


def test_a_page_that_is_only_left_open_keeps_nobody_signed_in(console: Console) -> None:
    browser = console.browser("eve")
    console.house.clock.moment += timedelta(minutes=90)
    assert browser.get("/", headers={"HX-Request": "true"}).status_code == 200
    console.house.clock.moment += timedelta(minutes=40)
    answer = browser.get("/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["hx-refresh"]) == (401, "true")


def test_a_form_of_another_session_is_refused_and_logged(console: Console) -> None:
    eve, ann = console.browser("eve"), console.browser("ann")
    for stolen in ("", ann.form_token()):
        answer = eve.client.post("/ask", data={"action": "run-now", "form_token": stolen})
        assert answer.status_code == 403
    assert kinds(console)[-2:] == [("staff.refused", "eve")] * 2
    assert eve.post("/ask", action="run-now").status_code == 303


def test_a_changed_password_counts_at_once_and_ends_all_sessions(console: Console) -> None:
    browser, other = console.browser("eve"), console.browser()
    other.sign_in("eve")
    new = "another good password"
    assert browser.post("/account/password", current="wrong", new=new, repeated=new).status_code == 422
    assert browser.post("/account/password", current=PASSWORD, new=new, repeated="x").status_code == 422
    assert browser.post("/account/password", current=PASSWORD, new="short", repeated="short").status_code == 422
    assert browser.post("/account/password", current=PASSWORD, new=new, repeated=new).status_code == 303
    assert other.get("/account").status_code == 303
    assert console.browser().sign_in("eve").status_code == 403
    assert console.browser().sign_in("eve", new).status_code == 303


def test_whoever_is_disabled_is_out_at_once(console: Console) -> None:
    console.browser("ann")
    browser = console.browser("eve", Role.OPERATOR)
    with console.desk.writing() as uow:
        staff.set_disabled(uow.connection, "eve", True, console.desk.now())
    assert browser.get("/account").status_code == 303
    assert console.browser().sign_in("eve").status_code == 403
    with console.desk.writing() as uow:
        staff.set_disabled(uow.connection, "eve", False, console.desk.now())
    assert console.browser().sign_in("eve").status_code == 303


def test_the_last_admin_stays_one(console: Console) -> None:
    console.browser("eve")
    with pytest.raises(Refused, match="last admin"), console.desk.writing() as uow:
        staff.set_role(uow.connection, "eve", Role.VIEWER, console.desk.now())
    with pytest.raises(Refused, match="last admin"), console.desk.writing() as uow:
        staff.set_disabled(uow.connection, "eve", True, console.desk.now())
    with pytest.raises(NotFound), console.desk.writing() as uow:
        staff.set_role(uow.connection, "nobody", Role.VIEWER, console.desk.now())


@pytest.mark.parametrize("name", ["", "Eve", "eve smith", "<b>", "a" * 65, "eve\n"])
def test_a_name_is_plain(console: Console, name: str) -> None:
    with pytest.raises(Refused, match="a name has"), console.desk.writing() as uow:
        staff.create(uow.connection, name, Role.VIEWER, PASSWORD, console.desk.now())


def test_old_sessions_and_failures_are_forgotten(console: Console) -> None:
    console.browser("eve").sign_in("eve", "wrong password!")
    console.house.clock.moment += timedelta(days=1)
    console.service._forget_old()
    with console.desk.reading() as connection:
        assert not connection.execute(select(tables.sessions)).all()
        assert not connection.execute(select(tables.failures)).all()
