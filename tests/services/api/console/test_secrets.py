"""No secret is in a row, an event, a log line, a page or an export, whoever looks: a whole story, and then a search."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from foundation.broker import Message
from foundation.config.queues import INTAKE_ORDERS
from services.api.access.identity import Role
from services.api.console import asks
from tests.services.api.console.conftest import PASSWORD, Console, HouseWithApi
from tests.support.api import ORDER

KEY, BROKER, TYPED, PARKED = (
    "canary-secret-key",
    "canary-of-the-broker",
    "canary typed as a name",
    "canary-in-a-message",
)
PAGES = (
    "/",
    "/installs?state=all",
    "/installs/order-1-g1",
    "/orders",
    "/orders/order-1",
    "/letters",
    "/letters/order-1-g1",
    "/parked",
    "/parked/message?queue=parking&id=p1",
    "/activity",
    "/activity.csv",
    "/activity.json",
    "/workers",
    "/settings",
    "/account",
)
LISTS = ("/v1/me", "/v1/orders", "/v1/orders/order-1", "/v1/installs", "/v1/activity", "/v1/installs/order-1-g1")


def shown(answer: Any) -> str:
    """Return the secret that a page shows once."""
    (found,) = re.findall(r'<code class="secret">([^<]+)</code>', answer.text)
    return str(found)


def test_no_secret_is_found_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(asks, "_PATIENCE", 0)
    caplog.set_level(logging.WARNING)  # as in a service: libraries say no more
    own = {"secret_key": KEY, "public_url": "http://testserver"}
    with capture_logs() as lines:
        console = Console(HouseWithApi(tmp_path, api=own, amqp_url=f"amqp://api:{BROKER}@rabbit.example/"))
        secrets, said = _story(console)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()).decode("latin-1")
    events = "".join(event.model_dump_json() for event in console.house.events())
    places = {"rows": kept, "events": events, "log": f"{lines} {caplog.text}", "pages": said}
    found = {(name, place) for name, secret in secrets.items() for place, text in places.items() if secret in text}
    assert found == {("the address of a webhook", "rows")}  # to post there
    assert "order-1" in kept
    assert "install.completed" in said


def _story(console: Console) -> tuple[dict[str, str], str]:
    """Have everything happen that a secret has a part in. Return the secrets, and all that anybody is shown later."""
    house, eve = console.house, console.browser("eve")
    ann = shown(eve.post("/staff/add", name="ann", role="support"))
    reset = shown(eve.post("/staff/password", name="ann"))
    hook = "https://shop.example/canary-in-an-address"
    made = eve.post("/staff/webhooks/add", url=hook)
    (id,) = re.findall(r'name="name" value="([0-9a-f-]{36})"', made.text)[:1]
    rotated = shown(eve.post("/staff/webhooks/rotate", name=id))
    eve.post("/staff/webhooks/test", name=id)
    scopes = ["orders:write", "installs:write"]
    token = shown(eve.post("/staff/tokens/add", name="billing", scopes=scopes))
    void, token = token, shown(eve.post("/staff/tokens/rotate", name="billing"))
    stranger = console.browser()
    stranger.sign_in(TYPED, "x")
    stranger.sign_in("eve", "canary-guessed")
    bearer = {"Authorization": f"Bearer {token}"}
    placed = stranger.client.post("/v1/orders", json=ORDER, headers=bearer).json()
    stranger.get("/v1/me", headers={"Authorization": "Bearer sct_canary-unknown"})
    console.settle()
    house.advance_until(house.mailed)
    body = f'{{"password": "{PARKED}", "order_id": "order-1"}}'.encode()
    headers = {"parked-from": INTAKE_ORDERS, "parked-at": "2026-01-01T12:00:00+00:00", "reason-code": "x"}
    house.broker.publisher().publish([Message("parking", INTAKE_ORDERS, body, "p1", "t", headers=headers)])
    eve.post("/ask", action="preview", id="order-1-g1")
    console.settle()
    secrets = {
        "the password of a site": house.installer.password,
        "the password of an account": next(iter(house.server.accounts.values())).password,
        "the private key": house.settings.keys.private.get_secret_value(),
        "the secret key": KEY,
        "the broker's password": BROKER,
        "a password": PASSWORD,
        "a new password": ann,
        "a password that was reset": reset,
        "a password that was guessed": "canary-guessed",
        "a password that was typed as a name": TYPED,
        "a password in a message": PARKED,
        "a session": str(eve.client.cookies["sitecrew_session"]),
        "a token": token,
        "a token that is void": void,
        "a token that is unknown": "sct_canary-unknown",
        "the secret of a webhook": shown(made),
        "the new secret of a webhook": rotated,
        "the address of a webhook": "canary-in-an-address",
        "the link of a customer": placed["customer_status_url"].rpartition(".")[2],
    }
    viewer = console.browser("vera", Role.VIEWER)
    pages = [browser.get(path).text for browser in (viewer, eve) for path in PAGES]
    pages += [eve.get("/staff").text.replace(hook, "")]  # an admin sees where a webhook leads
    pages += [stranger.get(path, headers=bearer).text for path in LISTS]
    pages += [stranger.get(placed["customer_status_url"]).text]
    return secrets, "".join(pages)
