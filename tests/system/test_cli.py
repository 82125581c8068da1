"""The command against real services on a real broker, as whoever runs a hosting company would use it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from foundation.broker import Message
from foundation.broker.delay import Ladder, destination
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING, UNROUTED
from foundation.config import queues as table
from foundation.config.keys import generate_keys
from foundation.config.queues import INSTALLER_DUE
from sitecrew.stack.ports import free_port
from sitecrew.stack.servers.mailbox import Mailbox
from sitecrew.stack.web import static
from tests.support.brokers import Brokers, eventually, gather, until
from tests.support.cli import Ran, sitecrew
from tests.support.postgres import Stores
from tests.support.watching import require_contract

UNIT_MS, LEVELS = 100, 18
SERVICES = ("order-intake", "installer", "mailer")
SECONDS = 60.0
"""How long to wait for what must come."""

PATIENT = ("--timeout", "60")
"""For commands that wait for the installer, on a machine that may be busy with other tests."""


@dataclass(frozen=True)
class Company:
    """A hosting company at work: three services, a web server, a mail server."""

    config: Path
    hosting: Path
    mailbox: Mailbox
    broker: RabbitBroker

    def sitecrew(self, *arguments: str, given: str = "") -> Ran:
        """Run a command in this process: to start another one takes a second of CPU."""
        return sitecrew("--config", str(self.config), *arguments, given=given)

    def at_a_shell(self, *arguments: str, given: str = "") -> Ran:
        """Run a command as a process of its own."""
        done = subprocess.run(
            self.command(*arguments),
            input=given,
            capture_output=True,
            check=False,
            text=True,
            timeout=90,
            env=environment(),
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "sitecrew", "--config", str(self.config), *arguments]

    def place(self, order_id: str, *options: str, site_type: str = "static") -> Ran:
        return self.sitecrew("order", "place", "-", *options, given=order(order_id, site_type))

    def install(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.sitecrew("install", "show", name, "--json").json
        return shown

    def letters_to(self, order_id: str) -> int:
        return sum(f"{order_id}@customer.example" in letter.recipients for letter in self.mailbox.messages())


def order(order_id: str, site_type: str = "static") -> str:
    customer = {"name": "Ann Smith", "email": f"{order_id}@customer.example"}
    domain = f"{order_id}.example"
    return json.dumps({"order_id": order_id, "site_type": site_type, "domain": domain, "customer": customer})


def environment() -> dict[str, str]:
    """Ours, without settings that would go before the file's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SITECREW_")}


@pytest.fixture(autouse=True)
def _settings_come_from_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(environment()):
        monkeypatch.delenv(name)


# Before any service runs


def test_a_message_that_its_workers_never_settle_is_parked_requeued_and_purged(
    brokers: Brokers, tmp_path: Path
) -> None:
    """It came through the delay ladder: the broker's first word about it is not the last."""
    queues = [
        replace(queue, arguments={**queue.arguments, "x-delivery-limit": 2}) if queue.name == INSTALLER_DUE else queue
        for queue in table.sitecrew(Ladder(UNIT_MS, LEVELS)).queues
    ]
    url = brokers.url()
    broker = brokers.broker(replace(table.sitecrew(Ladder(UNIT_MS, LEVELS)), queues=tuple(queues)), url)
    broker.declare()
    now = datetime.now(UTC)
    exchange, key = broker.topology.ladder.route(destination(INSTALLER_DUE), now + timedelta(milliseconds=300), now)
    broker.publisher().publish([Message(exchange, key, b'{"password": "canary"}', headers={"ce-id": "1"})])

    def hand_out_too_often() -> None:
        for _ in range(3):
            consumer = broker.consumer(INSTALLER_DUE, 1)
            gather(consumer, 1, SECONDS)
            consumer.close()
        eventually(lambda: broker.depth(PARKING), 1, SECONDS)

    hand_out_too_often()
    config = tmp_path / "sitecrew.toml"
    config.write_text(f'amqp_url = "{url}"\ndelay.unit_ms = {UNIT_MS}\ndelay.levels = {LEVELS}\n')
    cli = Company(config, tmp_path, Mailbox(tmp_path), broker)
    (row,) = cli.sitecrew("parked", "list", "--json").json
    assert (row["came_from"], row["code"], row["by"]) == (INSTALLER_DUE, "delivery_limit", "broker")
    assert datetime.fromisoformat(row["parked_at"]) - now < timedelta(seconds=60)
    assert row["id"].startswith("body-")
    shown = cli.sitecrew("parked", "show", row["id"])
    assert (shown.exit_code, "canary" in shown.stdout) == (0, False)

    requeued = cli.sitecrew("parked", "requeue", row["id"])
    assert (requeued.exit_code, requeued.stdout) == (0, f"{row['id']}  {INSTALLER_DUE}\n")
    eventually(lambda: broker.depth(PARKING), 0, SECONDS)
    (back,) = broker.browse(INSTALLER_DUE, 10)
    kept = {"ce-id", "first-parked-at", "times-parked"}
    assert (back.body, set(back.headers) - {"x-delivery-count"}) == (b'{"password": "canary"}', kept)

    until(lambda: broker.depth(INSTALLER_DUE) == 1, SECONDS)
    for _ in range(2):  # looking was the first time
        consumer = broker.consumer(INSTALLER_DUE, 1)
        gather(consumer, 1, SECONDS)
        consumer.close()
    eventually(lambda: broker.depth(PARKING), 1, SECONDS)
    assert cli.sitecrew("parked", "purge", "--all", "--yes").stdout == f"{row['id']}\n"
    eventually(lambda: broker.depth(PARKING), 0, SECONDS)


# With all services at work


@pytest.fixture(scope="module")
def company(vhosts: Iterator[str], tmp_path_factory: pytest.TempPathFactory, stores: Stores) -> Iterator[Company]:
    """Services started with `sitecrew run`; the timer ticks every second."""
    directory = tmp_path_factory.mktemp("company")
    hosting = directory / "hosting"
    hosting.mkdir()
    url = next(vhosts)
    with ExitStack() as opened:
        broker = RabbitBroker([url], table.sitecrew(Ladder(UNIT_MS, LEVELS)))
        opened.callback(broker.close)
        mailbox = opened.enter_context(Mailbox(directory / "letters"))
        web = static.serve(hosting, "127.0.0.1", free_port())
        opened.callback(web.server_close)
        opened.callback(web.shutdown)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        config = write_settings(directory, url, web.server_address[1], mailbox.port, stores)
        made = Company(config, hosting, mailbox, broker)
        for service in SERVICES:
            opened.callback(stop, start(made, service, directory / f"{service}.log"))
        for service in SERVICES:
            log = directory / f"{service}.log"
            until(lambda log=log: '"service.started"' in log.read_text(), 3 * SECONDS)  # type: ignore[misc]
        yield made
    lines = (line for log in directory.glob("*.log") for line in log.read_text().splitlines())
    require_contract(lines, SERVICES)


def write_settings(directory: Path, amqp_url: str, web_port: object, smtp_port: int, stores: Stores) -> Path:
    public, private = generate_keys()
    settings: dict[str, object] = {
        "amqp_url": amqp_url,
        "delay.unit_ms": UNIT_MS,
        "delay.levels": LEVELS,
        "keys.public": public,
        "keys.private": private,
        "servers.local.root": str(directory / "hosting"),
        "servers.local.web_address": f"127.0.0.1:{web_port}",
        "servers.local.public_port": web_port,
        "mailer.smtp.host": "127.0.0.1",
        "mailer.smtp.port": smtp_port,
        "timer.every": "* * * * * *",
        "timer.jitter_seconds": 0,
        "sites.static.address": "temporary",
        "sites.later.settle_seconds": 3600,
        **{f"{name}.store_url": f"sqlite:///{directory}/{name}.db" for name in ("order_intake", "installer", "mailer")},
        **stores.settings(),
        **{f"{name}.listen": "127.0.0.1:0" for name in ("order_intake", "installer", "mailer")},
    }
    path = directory / "sitecrew.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    path.chmod(0o600)
    return path


def start(company: Company, service: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(company.command("run", service), stdout=output, stderr=output, env=environment())


def stop(service: subprocess.Popen[bytes]) -> None:
    service.terminate()
    assert service.wait(SECONDS) == 0


def test_an_order_is_followed_until_its_letter_is_sent(company: Company) -> None:
    ran = company.at_a_shell("order", "place", "-", "--wait", "--json", given=order("first"))
    assert (ran.exit_code, [life["state"] for life in ran.json]) == (0, ["mailed"])
    told = [json.loads(line)["state"] for line in ran.stderr.splitlines()]
    assert told == ["accepted", "account created", "staged", "installing", "installed", "mailed"]
    eventually(lambda: company.install("first")["mail"]["state"], "sent", SECONDS)
    install = company.install("first")
    assert install["state"] == "installed"
    assert httpx2.get(install["url"], timeout=SECONDS).status_code == 200
    assert company.letters_to("first") == 1
    again = company.place("first", "--wait")
    assert (again.exit_code, again.stdout) == (0, "first\n")
    assert "first was already placed at " in again.stderr
    assert "installed; nothing was changed" in again.stderr


def test_several_orders_are_followed_together(company: Company) -> None:
    orders = [order(f"many{number}") for number in range(20)]
    ran = company.sitecrew("order", "place", "-", "--wait", "--json", given="\n".join(orders))
    assert ran.exit_code == 0, ran.stderr
    assert {life["state"] for life in ran.json} == {"mailed"}
    assert [life["install_id"] for life in ran.json] == [f"many{number}-g1" for number in range(20)]


def test_an_order_that_intake_rejects_is_exit_code_6_and_parked_with_the_reason(company: Company) -> None:
    ran = company.at_a_shell("order", "place", "-", "--wait", "--json", given=order("wrong", "whmcs"))
    (life,) = ran.json
    assert (ran.exit_code, life["state"], life["cause"]["code"]) == (6, "rejected", "invalid_order")
    (row,) = [row for row in parked(company) if row["message_id"] == life["event_id"]]
    assert (row["came_from"], row["code"]) == ("intake.orders", "invalid_order")
    assert company.sitecrew("parked", "purge", row["id"], "--yes").exit_code == 0


def parked(company: Company) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = company.sitecrew("parked", "list", "--json").json
    return rows


def test_a_failed_account_is_made_once_the_trouble_is_mended_and_its_order_retried(company: Company) -> None:
    (company.hosting / "vhosts").mkdir(exist_ok=True)
    (company.hosting / "accounts" / "somebody" / "www").mkdir(parents=True)
    somebody = company.hosting / "vhosts" / "taken.example"
    somebody.symlink_to("../accounts/somebody/www")
    ran = company.place("taken", "--wait", "--json")
    assert (ran.exit_code, ran.json[0]["state"]) == (1, "account failed"), ran.stderr
    assert ran.json[0]["cause"]["code"] == "domain_taken"
    assert ran.json[0]["event_id"] not in [row["message_id"] for row in parked(company)]
    somebody.unlink()
    assert company.sitecrew("order", "retry", "taken", *PATIENT).exit_code == 0
    company.mailbox.wait_for(lambda _: company.letters_to("taken") == 1, SECONDS)
    eventually(lambda: company.install("taken")["mail"]["state"], "sent", SECONDS)


def test_a_reinstall_is_followed_as_a_generation_of_its_own(company: Company) -> None:
    assert company.place("again", "--wait").exit_code == 0
    ran = company.sitecrew("order", "reinstall", "again", "--blog-name", "Second try", "--yes", "--wait", "--json")
    (life,) = ran.json
    assert (ran.exit_code, life["state"], life["install_id"]) == (0, "mailed", "again-g2")
    assert "Second try" in httpx2.get(life["url"], timeout=SECONDS).text
    assert company.letters_to("again") == 2


def test_a_pending_install_is_cancelled_and_then_neither_cancelled_nor_retried_again(company: Company) -> None:
    assert company.place("pending", site_type="later").exit_code == 0
    until(lambda: company.sitecrew("install", "show", "pending").exit_code == 0, SECONDS)
    listed = company.sitecrew("install", "list", "--state", "pending", "--order", "pending")
    assert "staged" in listed.stdout
    assert re.search(r" in (60|5\d)m ", listed.stdout)
    ran = company.sitecrew("install", "cancel", "pending", "--reason", "by mistake", *PATIENT)
    assert (ran.exit_code, ran.stdout) == (0, "pending-g1  cancelled  by mistake\n")
    for verb in ("cancel", "retry"):
        refused = company.sitecrew("install", verb, "pending-g1", *PATIENT)
        assert (refused.exit_code, "it is cancelled" in refused.stderr) == (6, True)


def test_a_failed_install_shows_its_cause_and_can_be_retried(company: Company) -> None:
    assert company.place("failing", site_type="later").exit_code == 0
    until(lambda: company.sitecrew("install", "show", "failing").exit_code == 0, SECONDS)
    ran = company.sitecrew("install", "retry", "failing-g1", *PATIENT)  # due at once; and there is no installer for it
    assert (ran.exit_code, ran.stdout) == (0, "failing-g1  staged  due now\n")
    eventually(lambda: company.install("failing")["state"], "failed", SECONDS)
    row = company.sitecrew("install", "list", "--state", "failed", "--order", "failing").stdout.splitlines()[1]
    assert "not_configured: sites.later.installer: unknown plug-in 'later'" in row
    assert "Correct the setting" in row
    again = company.sitecrew("install", "retry", "--all-failed", "--json", *PATIENT)
    assert (again.exit_code, [answer["outcome"] for answer in again.json]) == (0, ["staged"])
    eventually(lambda: company.install("failing")["state"], "failed", SECONDS)
    assert company.sitecrew("order", "cancel", "failing").exit_code == 0
    eventually(lambda: company.install("failing")["state"], "cancelled", SECONDS)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts the tests in the background has them ignore Ctrl-C, and so would what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_watching_gives_an_event_a_line_until_it_is_interrupted(company: Company) -> None:
    command = company.command("install", "watch", "--json")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stderr is not None
            assert watching.stderr.readline().startswith("watching")
            assert company.place("watched").exit_code == 0
            seen = told = kinds_about("watched", watching.stdout)
            numbers = count(2)
            while "install.progress.v1" not in told:  # published only now and then until somebody watches
                name = f"watched-{next(numbers)}"
                assert company.place(name).exit_code == 0
                told = kinds_about(name, watching.stdout)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(SECONDS) == 0
        finally:
            watching.kill()
    install = [f"install.{verb}.v1" for verb in ("staged", "started", "completed")]
    events = [type for type in seen if type != "install.progress.v1"]
    assert events == ["order.accepted.v1", "account.created.v1", *install, "mail.sent.v1"]


def kinds_about(order_id: str, lines: Iterable[str]) -> list[str]:
    """The kinds of an order's events, up to its letter."""
    seen: list[str] = []
    for line in lines:
        event = json.loads(line)
        if event["subject"] == order_id:
            seen.append(event["type"].removeprefix("sitecrew."))
        if seen[-1:] == ["mail.sent.v1"]:
            break
    return seen


def test_the_topology_is_checked_and_mended(company: Company) -> None:
    assert company.sitecrew("topology", "check").exit_code == 0
    with company.broker._channel() as channel:
        channel.queue_delete(UNROUTED)
    ran = company.sitecrew("topology", "check")
    assert (ran.exit_code, ran.stdout) == (1, "queue unrouted is missing; create it with `sitecrew topology declare`\n")
    assert company.sitecrew("topology", "check", "--json").json == {"differences": ran.stdout.splitlines()}
    assert company.sitecrew("topology", "declare").exit_code == 0
    assert company.sitecrew("topology", "check").exit_code == 0


def test_the_doctor_finds_what_is_not_well_and_nothing_else(company: Company) -> None:
    ran = company.sitecrew("doctor", "--json")
    ill = [finding["name"] for finding in ran.json if not finding["ok"]]
    assert (ran.exit_code, ill) == (1, ["wordpress on local", "later on local"])
    (broker,) = [finding for finding in ran.json if finding["name"] == "broker"]
    assert broker["detail"].startswith("RabbitMQ ")
    services = {finding["name"]: finding for finding in ran.json if finding["name"].startswith("service ")}
    assert [(name, found["result"]) for name, found in services.items()] == [
        ("service order-intake", "ok"),
        ("service installer", "ok"),
        ("service mailer", "ok"),
    ], services


def test_a_batch_can_be_called_for(company: Company) -> None:
    ran = company.sitecrew("install", "run-now", "--json")
    assert (ran.exit_code, list(ran.json)) == (0, ["command_id"])
