"""The WHMCS modules against the real API with real services behind it. A harness stands for WHMCS."""

import json
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from foundation.clock import utc_now
from foundation.config.settings import load
from foundation.store import Store
from services.api.access import tokens
from services.api.access.identity import Scope
from sitecrew.stack.machine import Plan
from tests.support.brokers import eventually, until
from tests.support.watching import Watched, watched

HARNESS = Path(__file__).parent / "harness.php"
SECONDS = 60.0
_numbers = count(1)
SECRET = "whsec_" + b64encode(b"canary webhook secret 24").decode()


@pytest.fixture(scope="module")
def sitecrew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    plan = Plan(tmp_path_factory.mktemp("whmcs"), ("static",), settings={"timer.every": "* * * * * *"})
    with watched(plan) as running:
        yield running


@pytest.fixture(scope="module")
def token(sitecrew: Watched) -> str:
    store = Store(load(sitecrew.running.config).api.store_url.get_secret_value())
    scopes = (Scope.ORDERS_READ, Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE)
    with store.transaction() as connection:
        made = tokens.create(connection, "whmcs", "/whmcs", scopes, "test", utc_now())
    store.close()
    return made


@dataclass(frozen=True)
class Whmcs:
    """One WHMCS with one service, 1."""

    directory: Path

    def run(self, *words: str, **given: Any) -> Any:
        command = ["php", str(HARNESS), str(self.directory), *words, *([json.dumps(given)] if given else [])]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    def call(self, function: str, **more: Any) -> Any:
        return self.run("module", function, **more)

    def cron(self) -> None:
        self.run("hook", "AfterCronJob")

    @property
    def service(self) -> dict[str, Any]:
        [row] = self.run("tables")["tblhosting"]
        return dict(row)

    @property
    def orders(self) -> list[dict[str, Any]]:
        return list(self.run("tables")["mod_sitecrew_orders"])

    def logged(self, kind: str) -> list[Any]:
        lines = map(json.loads, (self.directory / "log.jsonl").read_text().splitlines())
        return [said for found, said in lines if found == kind]

    def deliver(self, body: str, at: Any, *, id: str = "d1", signature: str | None = None) -> int:
        signed = signature or Webhook(SECRET).sign(id, at, body)
        headers = {"webhook-id": id, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signed}
        return int(self.run("webhook", body=body, headers=headers, now=int(utc_now().timestamp())))


def whmcs_at(directory: Path, port: int, token: str, name: str) -> Whmcs:
    """Return a WHMCS whose server is the API on this port."""
    directory.mkdir()
    whmcs = Whmcs(directory)
    whmcs.run(
        "setup",
        server={"hostname": "127.0.0.1", "port": str(port), "secure": "", "accesshash": token},
        client={
            "firstname": "Zoë",
            "lastname": 'O\'Hara "Zo"',
            "email": f"{name}@customer.example",
            "language": "german",
        },
        service={"domain": f"{name}.example"},
        addon={"instance": name, "webhook_secret": SECRET},
    )
    return whmcs


@pytest.fixture
def whmcs(sitecrew: Watched, token: str, tmp_path: Path) -> Whmcs:
    return whmcs_at(tmp_path / "whmcs", sitecrew.running.ports.console, token, f"whmcs{next(_numbers)}")


def test_an_order_ends_with_an_active_service_and_a_letter(sitecrew: Watched, whmcs: Whmcs) -> None:
    assert whmcs.call("TestConnection") == {"success": True, "error": ""}
    assert whmcs.call("CreateAccount") == "success"
    service = whmcs.service
    assert service["domainstatus"] == "Active"
    assert service["username"]
    assert service["dedicatedip"] == "127.0.0.1"
    assert whmcs.logged("email") == ["aborted"]
    [order] = whmcs.orders
    sitecrew.until("mail.sent", order["order_id"])
    assert len(sitecrew.letters(order["order_id"])) == 1

    def is_followed_to_the_end() -> bool:
        whmcs.cron()
        return bool(whmcs.orders[0]["state"] == "installed")

    until(is_followed_to_the_end, SECONDS)
    assert not whmcs.orders[0]["followed"]
    fields = whmcs.call("AdminServicesTabFields")
    assert (fields["Account"], fields["Letter"]) == ("created", "sent")
    area = whmcs.call("ClientArea")["vars"]
    assert (area["state"], area["url"].startswith("http://")) == ("installed", True)


def test_creating_twice_is_one_order_and_a_lost_answer_changes_nothing(sitecrew: Watched, whmcs: Whmcs) -> None:
    assert [whmcs.call("CreateAccount") for _ in range(2)] == ["success", "success"]
    [order] = whmcs.orders
    sitecrew.until("mail.sent", order["order_id"])
    accepted = [event for event in sitecrew.events if event.type == "sitecrew.order.accepted.v1"]
    assert len([event for event in accepted if event.subject == order["order_id"]]) == 1


def test_while_the_api_is_away_orders_wait_and_are_sent_by_the_cron_job(
    sitecrew: Watched, token: str, tmp_path: Path
) -> None:
    away = whmcs_at(tmp_path / "away", 9, token, "away")
    assert away.call("CreateAccount") == "success"
    assert (away.service["username"], away.orders[0]["sent"]) == (None, 0)
    port = sitecrew.running.ports.console
    with_api = whmcs_at(tmp_path / "back", port, token, "back")
    # The same WHMCS, and its server answers again.
    (with_api.directory / "whmcs.db").write_bytes((away.directory / "whmcs.db").read_bytes())
    subprocess.run(
        [
            "php",
            "-r",
            f"(new PDO('sqlite:{with_api.directory}/whmcs.db'))->exec('UPDATE tblservers SET port = {port}');",
        ],
        check=True,
    )
    with_api.cron()
    assert with_api.orders[0]["sent"] == 1
    assert with_api.service["username"]
    sitecrew.until("mail.sent", with_api.orders[0]["order_id"])


def test_a_rejected_order_says_every_field_and_leaves_no_order(whmcs: Whmcs) -> None:
    answer = whmcs.call("CreateAccount", domain="no domain", configoption1="castle")
    assert "data.domain" in answer
    assert whmcs.orders == []
    assert whmcs.call("CreateAccount") == "success"


def test_a_wrong_token_is_refused_and_no_log_shows_it(sitecrew: Watched, tmp_path: Path) -> None:
    wrong = whmcs_at(tmp_path / "wrong", sitecrew.running.ports.console, "sct_canary-wrong-token", "wrong")
    assert "unknown or disabled" in wrong.call("TestConnection")["error"]
    assert "unknown or disabled" in wrong.call("CreateAccount")
    assert "canary" not in (wrong.directory / "log.jsonl").read_text()


def test_a_signed_webhook_brings_the_news_once_and_no_other_does(sitecrew: Watched, whmcs: Whmcs) -> None:
    assert whmcs.call("CreateAccount") == "success"
    [order] = whmcs.orders
    sitecrew.until("install.completed", order["order_id"])
    body = json.dumps({"type": "sitecrew.install.completed.v1", "data": {"order_id": order["order_id"]}})
    now = utc_now()
    assert whmcs.deliver(body, now, signature="v1,bm90IHRoaXM=") == 401
    assert whmcs.deliver(body, now.replace(year=now.year - 1)) == 400
    assert not whmcs.run("tables").get("mod_sitecrew_webhooks")
    eventually(lambda: whmcs.deliver(body, now, id="news") == 200 and whmcs.orders[0]["state"], "installed", SECONDS)
    assert [row["id"] for row in whmcs.run("tables")["mod_sitecrew_webhooks"]] == ["news"]


def test_the_page_shows_what_is_pending_and_acts_by_post_with_whmcs_own_token_only(whmcs: Whmcs) -> None:
    assert "Run the batch now" in whmcs.run("page")
    assert whmcs.run("page", what="run", install="") == "Invalid token"
    asked = whmcs.run("page", what="run", install="", token="harness-token")
    assert "Asked (command " in asked
    assert "unknown action" in whmcs.run("page", what="burn", install="", token="harness-token")


def test_what_sitecrew_cannot_do_is_said_in_one_line(whmcs: Whmcs) -> None:
    for function in ("SuspendAccount", "UnsuspendAccount", "ChangePackage", "ChangePassword"):
        assert whmcs.call(function).endswith("do it on the hosting server.")
