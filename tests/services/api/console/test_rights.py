"""Which role a member of staff needs for what: every route and every action is in these tables, and each is asked for
by each role."""

import pytest

from services.api.access.identity import Role
from services.api.console import actions
from services.api.console.actions import ACTIONS, TIMER
from tests.services.api.console.conftest import Browser, Console
from tests.support.api import routes

PUBLIC = {"GET /sign-in", "POST /sign-in", "GET /static/{path}", "GET /status/{token}"}
RIGHTS = {
    **dict.fromkeys(
        (
            "GET /",
            "GET /installs",
            "GET /installs/{install_id}",
            "GET /orders",
            "GET /orders/{order_id}",
            "GET /letters",
            "GET /letters/{install_id}",
            "GET /parked",
            "GET /parked/message",
            "GET /workers",
            "GET /activity",
            "GET /activity.csv",
            "GET /activity.json",
            "GET /settings",
            "GET /account",
            "POST /account/password",
            "POST /sign-out",
            # these ask for the role of the action:
            "POST /confirm",
            "POST /confirm-group",
            "POST /ask",
        ),
        Role.VIEWER,
    ),
    "POST /orders/{order_id}/note": Role.SUPPORT,
    "GET /letters/{install_id}/html": Role.SUPPORT,
    **dict.fromkeys(
        ("POST /parked/edit", "POST /parked/correct", "POST /parked/confirm", "POST /parked/act"), Role.OPERATOR
    ),
    **dict.fromkeys(
        (
            "GET /staff",
            "POST /staff/add",
            "POST /staff/role",
            "POST /staff/disable",
            "POST /staff/password",
            "POST /staff/tokens/add",
            "POST /staff/tokens/rotate",
            "POST /staff/tokens/disable",
            "GET /staff/webhooks/{id}",
            "POST /staff/webhooks/add",
            "POST /staff/webhooks/redeliver",
            "POST /staff/webhooks/rotate",
            "POST /staff/webhooks/disable",
            "POST /staff/webhooks/test",
            "POST /settings/site-type",
        ),
        Role.ADMIN,
    ),
}
ROLES = {
    "retry": Role.SUPPORT,
    "remove": Role.SUPPORT,
    "resolve": Role.SUPPORT,
    "preview": Role.SUPPORT,
    "resend": Role.SUPPORT,
    "retry-order": Role.SUPPORT,
    "resend-to": Role.OPERATOR,
    "reinstall": Role.OPERATOR,
    "cancel-order": Role.OPERATOR,
    "amend": Role.OPERATOR,
    "run-now": Role.OPERATOR,
    "pause": Role.OPERATOR,
    "pause-server": Role.OPERATOR,
    "resume-server": Role.OPERATOR,
    "resume": Role.OPERATOR,
}
PATH = {
    "order_id": "order-1",
    "install_id": "order-1-g1",
    "path": "console.css",
    "token": "order-1.guessed",
    "id": "none",
}


@pytest.fixture(scope="module")
def paths() -> dict[str, str]:
    return {route: route.partition(" ")[2].format(**PATH) for route in (*RIGHTS, *PUBLIC)}


@pytest.fixture
def staff(console: Console) -> dict[Role, Browser]:
    console.house.order(1)
    console.settle()
    return {role: console.browser(f"some-{role}", role) for role in Role}


def called(browser: Browser, route: str, path: str, form_token: str | None = None) -> int:
    if route.startswith("GET"):
        return int(browser.get(path).status_code)
    token = browser.form_token() if form_token is None else form_token
    return int(browser.client.post(path, data={"form_token": token}).status_code)


def test_every_route_is_in_the_tables(console: Console) -> None:
    known = {route for route in routes(console.service.server._app) if " /v1/" not in route}
    assert known == set(RIGHTS) | PUBLIC
    assert set(ACTIONS) == set(ROLES)


def test_each_route_is_for_its_role_and_those_above_it(staff: dict[Role, Browser], paths: dict[str, str]) -> None:
    for route, least in RIGHTS.items():
        for role, browser in staff.items():
            if route == "POST /sign-out":
                continue  # tried elsewhere, or nobody would be left
            status = called(browser, route, paths[route])
            assert (status == 403) == (not role.includes(least)), (route, role, status)
            assert status < 500, (route, role)


def test_nothing_is_for_who_is_not_signed_in(console: Console, paths: dict[str, str]) -> None:
    stranger = console.browser()
    for route in RIGHTS:
        assert called(stranger, route, paths[route], form_token="") == 303, route
    for route in PUBLIC:
        assert called(stranger, route, paths[route], form_token="") != 303, route


def test_every_form_must_be_of_this_session(staff: dict[Role, Browser], paths: dict[str, str]) -> None:
    eve, stolen = staff[Role.ADMIN], staff[Role.OPERATOR].form_token()
    forms = [route for route in RIGHTS if route.startswith("POST")]
    for route in forms:
        for token in ("", stolen, "\N{SNOWMAN}"):
            assert called(eve, route, paths[route], form_token=token) == 403, route
    assert eve.get("/account").status_code == 200  # not signed out


@pytest.mark.parametrize("name", ACTIONS)
def test_each_action_is_for_its_role_and_those_above_it(staff: dict[Role, Browser], name: str) -> None:
    action = ACTIONS[name]
    ids = {} if action.of == TIMER else {"id": "order-1" if action.of == actions.ORDER else "order-1-g1"}
    for role, browser in staff.items():
        for path in ("/confirm", "/ask"):
            status = browser.post(path, action=name, **ids).status_code
            assert (status == 403) == (not role.includes(ROLES[name])), (role, path, status)
        several = browser.post("/ask", action=name, id=["order-1-g1", "order-2-g1"]).status_code
        assert (several == 403) == (not role.includes(Role.OPERATOR)), (role, several)
