"""The WHMCS modules against the real API with real services behind it. A harness stands for WHMCS."""

import json
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from foundation.clock import utc_now
from foundation.config.settings import load
from foundation.store import Store
from services.api.access import tokens
from services.api.access.identity import Scope
from sitecrew.stack.machine import Plan
from tests.support.brokers import eventually, until
from tests.support.receiver import Behaviour, receiver, status
from tests.support.watching import Watched, watched

HARNESS = Path(__file__).parent / "harness.php"
SECONDS = 60.0
_numbers = count(1)
PANEL = "https://panel.example:2083/"
SECRET = "whsec_" + b64encode(b"canary webhook secret 24").decode()


@pytest.fixture(scope="module")
def sitecrew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    settings = {
        "timer.every": "* * * * * *",
        "api.webhooks_to_private": "true",
        "servers.local.control_panel_url": PANEL,
    }
    with watched(Plan(tmp_path_factory.mktemp("whmcs"), ("static",), settings=settings)) as running:
        yield running


def answering(document: Any) -> Behaviour:
    return status(200, json.dumps(document).encode())


def new_token(sitecrew: Watched, source: str, *scopes: Scope) -> str:
    store = Store(load(sitecrew.running.config).api.store_url.get_secret_value())
    with store.transaction() as connection:
        made = tokens.create(connection, source.strip("/"), source, scopes, "test", utc_now())
    store.close()
    return made


@pytest.fixture(scope="module")
def token(sitecrew: Watched) -> str:
    return new_token(sitecrew, "/whmcs", Scope.ORDERS_READ, Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE)


@pytest.fixture(scope="module")
def admin(sitecrew: Watched) -> Iterator[httpx2.Client]:
    bearer = {"Authorization": f"Bearer {new_token(sitecrew, '/admin', Scope.ADMIN)}"}
    with httpx2.Client(base_url=f"http://127.0.0.1:{sitecrew.running.ports.console}/v1", headers=bearer) as client:
        yield client


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
        [row] = self.table("tblhosting")
        return row

    @property
    def orders_begin_with(self) -> str:
        """The instance in the addon's settings."""
        return next(str(row["value"]) for row in self.table("tbladdonmodules") if row["setting"] == "instance")

    @property
    def orders(self) -> list[dict[str, Any]]:
        return self.table("mod_sitecrew_orders")

    def table(self, name: str) -> list[dict[str, Any]]:
        """All rows; none if a module has not created the table yet."""
        there = self.execute("SELECT 1 FROM sqlite_master WHERE name = ?", name)
        return self.execute(f"SELECT * FROM {name}") if there else []

    def execute(self, sql: str, *values: str) -> list[dict[str, Any]]:
        """Look into WHMCS's database, or change it, as its own pages do."""
        with closing(sqlite3.connect(self.directory / "whmcs.db")) as database, database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql, values)]

    def follows(self, api: httpx2.Client, state: str) -> None:
        """Have the latest order followed once the API tells that it, or its install, is in this state."""

        def is_told() -> bool:
            order = api.get(f"/orders/{self.orders[-1]['order_id']}").json()
            return state in (order["state"], *(install["state"] for install in order["installs"]))

        until(is_told, 3 * SECONDS, pause=0.2)
        self.cron()
        assert self.orders[-1]["state"] == state

    def outcome(self) -> dict[str, Any]:
        """What WHMCS has of its service in the end."""
        service = self.service
        names = ("domainstatus", "dedicatedip")
        known = {name: service[name] for name in names} | {"has_username": bool(service["username"])}
        [order] = self.orders
        area = self.call("ClientArea")["vars"]
        return known | {name: order[name] for name in ("sent", "followed", "state")} | {"panel": area["panel"]}

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


def test_an_order_ends_with_an_active_service_and_a_letter(
    sitecrew: Watched, whmcs: Whmcs, admin: httpx2.Client
) -> None:
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
    whmcs.follows(admin, "installed")
    assert not whmcs.orders[0]["followed"]
    fields = whmcs.call("AdminServicesTabFields")
    assert (fields["Account"], fields["Letter"]) == ("created", "sent")
    assert "order.placed whmcs" in fields["Activity"]
    assert "mail.sent" in fields["Activity"]
    area = whmcs.call("ClientArea")["vars"]
    assert (area["state"], area["url"].startswith("http://")) == ("installed", True)
    assert (area["panel"], area["statusUrl"]) == (PANEL, whmcs.orders[0]["status_url"])
    assert "/status/" in area["statusUrl"]
    assert area["statusUrl"] not in (whmcs.directory / "log.jsonl").read_text()


def test_webhooks_alone_bring_a_service_to_its_end(sitecrew: Watched, whmcs: Whmcs, admin: httpx2.Client) -> None:
    with receiver() as there:

        def whmcs_receives(request: BaseHTTPRequestHandler) -> None:
            got = there.received[-1]
            status = whmcs.run("webhook", body=got.body.decode(), headers=got.headers, now=int(utc_now().timestamp()))
            request.send_response(status)
            request.end_headers()

        there.behaviours["/"] = whmcs_receives
        webhook = {"url": there.url(), "types": ["account.*", "install.*", "order.*"], "source": "/whmcs"}
        made = admin.post("/webhooks", json=webhook).json()
        whmcs.execute("UPDATE tbladdonmodules SET value = ? WHERE setting = 'webhook_secret'", made["secret"])
        assert whmcs.call("CreateAccount") == "success"
        sitecrew.until("mail.sent", whmcs.orders[0]["order_id"])
        eventually(lambda: whmcs.orders[0]["state"], "installed", SECONDS)
        assert not whmcs.orders[0]["followed"]
        assert admin.post(f"/webhooks/{made['id']}/disable").status_code == 200


def test_creating_twice_is_one_order_and_a_lost_answer_changes_nothing(sitecrew: Watched, whmcs: Whmcs) -> None:
    assert [whmcs.call("CreateAccount") for _ in range(2)] == ["success", "success"]
    [order] = whmcs.orders
    sitecrew.until("mail.sent", order["order_id"])
    accepted = [event for event in sitecrew.events if event.type == "sitecrew.order.accepted.v1"]
    assert len([event for event in accepted if event.subject == order["order_id"]]) == 1


def test_the_api_away_in_between_changes_nothing_in_the_outcome(
    sitecrew: Watched, whmcs: Whmcs, admin: httpx2.Client, token: str, tmp_path: Path
) -> None:
    assert whmcs.call("CreateAccount") == "success"
    sitecrew.until("mail.sent", whmcs.orders[0]["order_id"])
    whmcs.follows(admin, "installed")
    api = sitecrew.running.services["api"]
    away = whmcs_at(tmp_path / "away", sitecrew.running.ports.console, token, "away")
    api.stop()
    assert away.call("CreateAccount") == "success"
    away.cron()
    assert (away.service["username"], away.orders[0]["sent"]) == (None, 0)
    assert "does not answer" in away.call("TestConnection")["error"]
    api.start()
    until(lambda: away.call("TestConnection")["success"], SECONDS)
    away.cron()
    assert (away.orders[0]["sent"], bool(away.service["username"])) == (1, True)
    api.stop()
    sitecrew.until("mail.sent", away.orders[0]["order_id"])
    before = away.orders
    away.cron()
    assert away.call("ClientArea")["vars"]["state"] == before[0]["state"]
    assert "does not answer" in away.call("AdminServicesTabFields")["Cause"]
    api.start()
    until(lambda: away.call("TestConnection")["success"], SECONDS)
    away.follows(admin, "installed")
    assert away.outcome() == whmcs.outcome()
    assert [len(sitecrew.letters(one.orders[0]["order_id"])) for one in (away, whmcs)] == [1, 1]


def test_what_is_imported_from_another_module_is_followed_and_not_ordered_again(
    sitecrew: Watched, whmcs: Whmcs, tmp_path: Path
) -> None:
    instance = whmcs.orders_begin_with
    table = tmp_path / "pending.csv"
    table.write_text(
        "Service ID;Domain;Application;First Name;Last Name;Email;Status\n"
        f"1;{instance}.example;static;Zoë;O'Hara;{instance}@customer.example;Pending\n"
    )
    words = ("order", "import", str(table), "--prefix", f"{instance}.")
    command = [sys.executable, "-m", "sitecrew", "--config", str(sitecrew.running.config), *words]
    assert "press Create" in whmcs.call("refresh")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"{instance}.1\n"), ran.stderr
    sitecrew.until("mail.sent", f"{instance}.1")
    body = json.dumps({"type": "sitecrew.mail.sent.v1", "data": {"order_id": f"{instance}.1"}})
    eventually(
        lambda: whmcs.deliver(body, utc_now(), id="news") == 200 and whmcs.orders[0]["state"], "installed", SECONDS
    )
    assert [whmcs.call(function) for function in ("refresh", "CreateAccount")] == ["success"] * 2
    assert whmcs.service["username"]
    assert [order["order_id"] for order in whmcs.orders] == [f"{instance}.1"]


def test_the_next_order_of_a_terminated_service_is_a_new_one(sitecrew: Watched, whmcs: Whmcs) -> None:
    installer = sitecrew.running.services["installer"]
    installer.stop()
    assert [whmcs.call(function) for function in ("CreateAccount", "TerminateAccount")] == ["success"] * 2
    first, instance = whmcs.orders[0], whmcs.orders_begin_with
    assert (first["order_id"], first["terminated"], first["followed"]) == (f"{instance}.1.1", 1, 0)
    assert whmcs.call("CreateAccount", domain=f"{instance}-again.example") == "success"
    installer.start()
    assert whmcs.orders[1]["order_id"] == f"{instance}.1.2"
    sitecrew.until("mail.sent", f"{instance}.1.2")
    assert "already installed" in whmcs.call("TerminateAccount")
    assert [whmcs.call(function) for function in ("resend", "reinstall")] == ["success"] * 2
    sitecrew.until("mail.sent", f"{instance}.1.2", count=3)


def test_a_rejected_order_says_every_field_and_leaves_no_order(whmcs: Whmcs) -> None:
    answer = whmcs.call("CreateAccount", domain="no domain", configoption1="castle")
    assert "data.domain" in answer
    assert whmcs.orders == []
    assert "must be one of" in whmcs.call("CreateAccount", configoption1="castle")  # as only order intake knows
    assert whmcs.orders == []
    assert whmcs.call("CreateAccount") == "success"


def test_an_account_that_could_not_be_created_is_told_and_tried_again_by_the_next_create(tmp_path: Path) -> None:
    cause = {"code": "disk_full", "kind": "capacity", "detail": "no room for <b>it</b>", "remedy": "make room"}
    with receiver() as api:
        whmcs = whmcs_at(tmp_path / "whmcs", api.port, "sct_token", "failing")
        api.behaviours["/v1/orders"] = answering({"state": "failed", "cause": cause})
        api.behaviours["/v1/orders/failing.1.1/retry"] = answering({"outcome": "done"})
        assert whmcs.call("CreateAccount") == "no room for <b>it</b>. make room. (disk_full)"
        assert (whmcs.service["domainstatus"], whmcs.orders[0]["followed"]) == ("Pending", 0)
        api.behaviours["/v1/orders"] = answering({"state": "created", "username": "fail1"})
        assert whmcs.call("CreateAccount") == "success"
        assert [one.path for one in api.received] == ["/v1/orders", "/v1/orders/failing.1.1/retry", "/v1/orders"]
        assert (whmcs.service["username"], whmcs.orders[0]["followed"]) == ("fail1", 1)


@pytest.mark.parametrize(("answer", "waits"), [((500,), True), ((429,), True), ((302,), False), ((200, b"<p>"), False)])
def test_what_does_not_come_from_the_api_loses_no_order(answer: tuple[Any, ...], waits: bool, tmp_path: Path) -> None:
    with receiver() as api:
        whmcs = whmcs_at(tmp_path / "whmcs", api.port, "sct_token", "unclear")
        api.behaviours["/v1/orders"] = status(*answer)
        told = whmcs.call("CreateAccount")
        assert (told, whmcs.orders[0]["sent"]) == ("success", 0) if waits else "not Sitecrew's API" in told


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
    assert not whmcs.table("mod_sitecrew_webhooks")
    eventually(lambda: whmcs.deliver(body, now, id="news") == 200 and whmcs.orders[0]["state"], "installed", SECONDS)
    assert [row["id"] for row in whmcs.table("mod_sitecrew_webhooks")] == ["news"]


def test_the_page_shows_what_is_pending_and_acts_by_post_with_whmcs_own_token_only(whmcs: Whmcs) -> None:
    assert "Run the batch now" in whmcs.run("page")
    assert whmcs.run("page", what="run", install="") == "Invalid token"
    asked = whmcs.run("page", what="run", install="", token="harness-token")
    assert "Done." in asked
    assert "unknown action" in whmcs.run("page", what="burn", install="", token="harness-token")


def test_markup_in_whatever_the_api_tells_is_shown_as_text(tmp_path: Path) -> None:
    cause = {"code": "x", "kind": "permanent", "detail": "<script>alert(1)</script>", "remedy": "<b>\"'"}
    install = {"install_id": '"><i>', "order_id": "<i>", "state": "failed", "domain": "<u>", "cause": cause}
    line = {"at": "<i>", "kind": "<i>", "actor": "<u>", "detail": "<b>"}
    order = {"state": "<i>", "installs": [install], "letter": {"state": "<u>"}, "username": "<b>"}
    with receiver() as api:
        whmcs = whmcs_at(tmp_path / "whmcs", api.port, "sct_token", "markup")
        told = {"/v1/orders": order, "/v1/installs": {"items": [install]}, "/v1/activity": {"items": [line]}}
        told["/v1/orders/markup.1.1"] = order
        api.behaviours |= {path: answering(document) for path, document in told.items()}
        assert whmcs.call("CreateAccount") == "success"
        fields = whmcs.call("AdminServicesTabFields")
        assert fields["Cause"] == "&lt;script&gt;alert(1)&lt;/script&gt;"
        shown = "".join(fields.values()).replace("<br>", "") + whmcs.run("page")
        assert not [tag for tag in ("<script", "<i>", "<u>", "<b>") if tag in shown]


def test_what_sitecrew_cannot_do_is_said_in_one_line(whmcs: Whmcs) -> None:
    for function in ("SuspendAccount", "UnsuspendAccount", "ChangePackage", "ChangePassword"):
        assert whmcs.call(function).endswith("do it on the hosting server.")


def test_an_order_that_is_rejected_after_it_was_taken_makes_its_service_pending_again(
    sitecrew: Watched, admin: httpx2.Client, token: str, tmp_path: Path
) -> None:
    """The broker is away meanwhile. The last test: its own watcher is not told what happens then."""
    port = sitecrew.running.ports.console
    good, bad = (whmcs_at(tmp_path / name, port, token, name) for name in ("good", "bad"))
    bad.call("MetaData")
    broker = sitecrew.running.servers["RabbitMQ"]
    broker.stop()
    with ThreadPoolExecutor(2) as staff:  # each waits until the API gives up waiting for order intake
        asked = [
            staff.submit(bad.call, "CreateAccount", configoption1="castle"),
            staff.submit(good.call, "CreateAccount"),
        ]
    assert [one.result() for one in asked] == ["success"] * 2
    assert [(one.service["domainstatus"], one.orders[0]["sent"]) for one in (good, bad)] == [("Active", 1)] * 2
    broker.start()
    good.follows(admin, "installed")
    assert good.service["domainstatus"] == "Active"
    bad.follows(admin, "rejected")
    assert bad.service["domainstatus"] == "Pending"
    assert "must be one of" in bad.logged("activity")[-1]
    assert bad.call("CreateAccount") == "success"
    assert [order["number"] for order in bad.orders] == [1, 2]
