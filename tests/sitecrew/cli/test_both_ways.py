"""The command over the HTTP API: without settings, databases or broker it shows and does what it does with them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from schemas.services import ServerStatus, ServiceHeartbeat
from schemas.values import CauseKind
from services.api.access import tokens
from services.api.access.identity import Scope
from sitecrew.cli.client import session
from sitecrew.cli.listings import activity_rows
from tests.support.api import HouseWithApi
from tests.support.cli import Ran, settings_file
from tests.support.cli import sitecrew as run
from tests.support.house import START, at_work, failure
from tests.support.troubles import trouble_of_every_kind

Command = Callable[..., Ran]

UNKNOWN_OVER_HTTP = {
    *("due_at", "staged_at", "lease_until", "attempts_before", "tries_before", "login", "max_attempts"),
    *("source", "install_state", "headers", "bytes", "by", "message_id", "content_type"),
}
"""Fields of JSON that the events don't tell of, or not as exactly."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HouseWithApi]:
    made = HouseWithApi(tmp_path)
    monkeypatch.setattr(session, "now", made.clock.now)
    with made.behind_commands(monkeypatch, session):
        yield made


@pytest.fixture
def direct(house: HouseWithApi, tmp_path: Path) -> Command:
    """Runs a command line with the house's settings."""
    names = ("order_intake", "installer", "mailer", "api")
    urls = {f"{name}__store_url": f"sqlite:///{house.directory / name}.db" for name in names}
    config = settings_file(tmp_path, **urls)
    return lambda *arguments, **more: run("--config", config, *arguments, **more)


@pytest.fixture
def address(house: HouseWithApi) -> Iterator[str]:
    with house.served() as address:
        yield address


@pytest.fixture
def remote(house: HouseWithApi, address: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line with nothing but the API's address and a token."""
    return over(address, house.token("/desk", Scope.ADMIN), monkeypatch)


def over(address: str, token: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    def ran(*arguments: str, **more: Any) -> Ran:
        with monkeypatch.context() as here:
            here.setenv("SITECREW_API_URL", address)
            here.setenv("SITECREW_API_TOKEN", token)
            for name in ("broker_of", "reading"):
                here.delattr(session, name)
            told = run(*arguments, **more)
        assert token not in told.stdout + told.stderr
        return told

    return ran


def many_orders(house: HouseWithApi) -> None:
    """Trouble of every kind, one order that is done, and one that is staged."""
    trouble_of_every_kind(house)
    house.order(5, customer={"name": "Ann Other", "email": "ann@customer.example"})
    house.settle()
    house.tick()
    house.pass_time(60)
    house.order(6)
    house.settle()
    beat(house, "installer", next_tick=house.install("order-6-g1").begins_at)
    house.hear()


def beat(house: HouseWithApi, service: str, **more: Any) -> None:
    """A service says that it is alive."""
    house.publish(ServiceHeartbeat(service=service, instance=f"host/{service}", version="1", started_at=START, **more))
    house.hear()


def comparable(value: Any) -> Any:
    """What both ways know; lists in an order of their own."""
    if isinstance(value, dict):
        return {name: comparable(one) for name, one in value.items() if name not in UNKNOWN_OVER_HTTP}
    if isinstance(value, list):  # lists of installs have no histories
        rows = [{**one, "history": None} if "install_id" in one else one for one in value]
        return sorted(map(comparable, rows), key=lambda one: json.dumps(one, sort_keys=True))
    return value


SHOWN = (
    "order list",
    "order list --state failed",
    "order list --customer ANN@ --site-type wordpress --server local",
    "order list --domain shop3 --since 10m",
    "order list --limit 2 --after order-4",
    "order show order-1",
    "order show order-2",
    "order show order-4",
    "order show order-5",
    "install list",
    "install list --state all",
    "install list --state failed --cause disk_full --server local",
    "install list --cause recipient_refused",
    "install list --order order-2",
    "install list --state all --limit 2",
    "install show order-2-g1",
    "install show order-5",
    "install show SHOP5.example",
    "install show ann@customer.example",
    "install retry --cause disk_full --dry-run",
    "mail list",
    "mail list --order order-5",
    "mail list --recipient Ann@customer.example",
    "mail list --state failed --cause recipient_refused --since 1d",
    "mail show order-4",
    "mail show order-5-g1",
    "mail resend --all-failed --dry-run",
    "parked list",
    "parked list --code not_json",
    "parked show 1",
    "parked requeue --code not_json --dry-run",
    "order retry --cause server_root_missing --server local --dry-run",
    "activity",
    "activity --order order-2",
    "activity --kind install.failed,mail.failed --limit 2",
    "activity --since 2m",
)


def test_what_is_shown_is_the_same(house: HouseWithApi, direct: Command, remote: Command) -> None:
    many_orders(house)
    for line in SHOWN:
        here, there = (way(*line.split(), "--json") for way in (direct, remote))
        assert (there.exit_code, here.exit_code) == (0, 0), line
        assert there.stderr == here.stderr, line
        assert here.json, line
        assert comparable(there.json) == comparable(here.json), line
        here, there = (way(*line.split()) for way in (direct, remote))
        assert (there.exit_code, there.stderr) == (0, here.stderr), line
        assert bool(there.stdout) == bool(here.stdout), line


def test_the_state_of_everything_is_the_same(house: HouseWithApi, direct: Command, remote: Command) -> None:
    many_orders(house)
    for name in ("order-intake", "mailer"):
        beat(house, name)
    house.api.look_for_alerts()
    house.settle()
    here, there = (way("status", "--timeout", "0", "--json").json for way in (direct, remote))
    assert here["needs"] == there["needs"]
    assert here["alerts"] == there["alerts"]
    assert "1 email failed: recipient_refused" in [alert["headline"] for alert in there["alerts"]]
    assert all("1 email failed: recipient_refused (2m ago)" in way("status").stdout for way in (direct, remote))
    assert {need["kind"] for need in there["needs"]} == {"account", "install", "email", "parked message"}
    assert all(there[of] == here[of] for of in ("orders", "installs", "mails", "parked"))
    assert there["services"]["mailer"]["instance"] == "host/mailer"
    assert there["next_batch_at"] == "2026-01-01T12:05:00Z"
    assert "running since" in remote("status").stdout
    timers = [way("timer", "show", "--timeout", "0", "--json").json for way in (direct, remote)]
    assert timers[0]["ticks"] == timers[1]["ticks"]
    assert (timers[1]["next_tick"], timers[1]["installer"]) == ("2026-01-01T12:05:00Z", "host/installer")
    house.pass_time(60)
    lost = remote("status")
    assert "  1 service, mailer: sitecrew run mailer\n" in lost.stdout, "it has been silent for too long"


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("install cancel order-6-g1 --reason changed-her-mind", 0, "order-6-g1  cancelled  changed-her-mind"),
        ("install retry order-2-g1", 0, "order-2-g1  staged  due now"),
        ("install retry order-1-g1", 5, ""),
        ("install cancel order-5-g1", 6, ""),
        ("install resolve order-2-g1 --note by-hand", 0, "order-2-g1  resolved  by-hand"),
        ("install retry --cause disk_full", 0, "order-3-g1  staged  due now"),
        ("mail resend order-4", 0, "order-4-g1  sent  to jo4@customer.example"),
        ("mail resend order-5 --to new@customer.example --keep", 0, "order-5-g1  sent  to new@customer.example"),
        ("order cancel order-6 --reason payment-failed", 0, "order-6  withdrawn  payment-failed"),
        ("order cancel order-5", 6, ""),
        ("order cancel 9999", 5, ""),
        ("order cancel 9999 order-6", 5, "order-6  withdrawn  cancelled by staff"),
        ("order reinstall order-5 --yes", 0, "order-5  staged  order-5-g2, due "),
        ("order amend order-5 --name Anna", 0, "order-5  amended  Anna <ann@customer.example>; later emails go there"),
        ("timer pause --reason moving", 0, "timer  paused  since "),
        ("timer resume", 0, "timer  resumed  batches begin again, at the next tick"),
        ("site set wordpress --stage off", 0, "installer     at once, by staff  yes"),
        ("site set joomla --stage off", 5, ""),
    ],
)
@pytest.mark.parametrize("way", ["direct", "remote"])
def test_what_is_asked_for_ends_in_the_same_way(
    house: HouseWithApi, request: pytest.FixtureRequest, way: str, line: str, code: int, told: str
) -> None:
    many_orders(house)
    with at_work(house):
        ran = request.getfixturevalue(way)(*line.split(), "--timeout", "60")
    assert ran.exit_code == code, ran
    assert told in ran.stdout
    if code:
        assert ran.stderr.startswith("error: ")


def test_the_log_says_who_asked_over_the_api_and_why(house: HouseWithApi, direct: Command, remote: Command) -> None:
    many_orders(house)
    with at_work(house):
        remote("install", "cancel", "order-6-g1", "--reason", "changed her mind", "--timeout", "60")
    [line] = remote("activity", "--by", "desk", "--kind", "install.cancel", "--json").json
    assert (line["install_id"], line["detail"], line["actor_type"]) == (
        "order-6-g1",
        "reason: changed her mind",
        "service_account",
    )
    for way in (direct, remote):
        assert "install.cancel order-6-g1 by desk: reason: changed her mind" in way("order", "show", "order-6").stdout
        assert "cancelled by desk: changed her mind" in way("install", "show", "order-6").stdout


def test_failed_accounts_are_retried_and_parked_messages_corrected(house: HouseWithApi, remote: Command) -> None:
    many_orders(house)
    retried = remote("order", "retry", "--all-failed", "--no-wait")
    assert (retried.exit_code, retried.lines[0].split()[:2]) == (0, ["order-1", "published"])
    house.settle()
    house.hear()
    assert remote("order", "show", "order-1", "--json").json["order"]["state"] == "created"
    [broken] = remote("parked", "list", "--json").json
    wrong = remote("parked", "edit", broken["id"], "--file", "-", given="{}")
    assert (wrong.exit_code, "the message stays parked as it was" in wrong.stderr) == (2, True)
    assert remote("parked", "purge", "1", "--yes").lines == [broken["id"]]
    house.hear()
    assert remote("parked", "list").stderr == "0 in parking\n"
    assert house.parked() == []


# Orders

ORDER = "--order-id 7 --domain shop7.example --site-type wordpress --name Jo --email jo7@customer.example"


def ticking(house: HouseWithApi) -> AbstractContextManager[None]:
    """Run the services, with batches, while a command waits for them."""

    def work() -> None:
        # Less than a claim on the outbox: else what a request is about to hand over is swept meanwhile, and told twice.
        house.pass_time(10)
        house.api_relay.sweep()
        house.tick()

    return at_work(house, work)


@pytest.mark.parametrize("way", ["direct", "remote"])
def test_an_order_is_followed_to_its_email_and_the_same_again_ends_at_once(
    house: HouseWithApi, request: pytest.FixtureRequest, way: str
) -> None:
    sitecrew = request.getfixturevalue(way)
    with ticking(house):
        first = sitecrew("order", "place", *ORDER.split(), "--wait", "--timeout", "100", "--json")
        again = sitecrew("order", "place", *ORDER.split(), "--wait", "--timeout", "100")
    assert first.exit_code == 0, first.stderr
    [done] = first.json
    assert (done["order_id"], done["state"], done["install_id"]) == ("7", "mailed", "7-g1")
    assert done["url"] == "http://shop7.example/"
    assert (again.exit_code, again.stdout) == (0, "7\n")
    assert "7 was already placed at 2026-01-01T12:" in again.stderr
    assert "is installed; nothing was changed" in again.stderr


@pytest.mark.parametrize("way", ["direct", "remote"])
def test_orders_that_end_badly_are_told_with_cause_and_exit_code(
    house: HouseWithApi, request: pytest.FixtureRequest, way: str
) -> None:
    sitecrew = request.getfixturevalue(way)
    house.server.failures += [failure("server_root_missing", CauseKind.CONFIGURATION) for _ in range(20)]
    with ticking(house):
        failed = sitecrew("order", "place", *ORDER.split(), "--wait", "--timeout", "100", "--json")
    house.server.failures.clear()
    house.settle()  # an event may be told twice, and a second wait must not take the first order's end for its own
    with ticking(house):
        other = sitecrew("order", "place", *ORDER.replace("wordpress", "static").split(), "--wait", "--timeout", "100")
        gone = sitecrew("order", "reinstall", "9999", "--yes", "--wait", "--timeout", "100")
    assert (failed.exit_code, failed.json[0]["state"]) == (1, "account failed")
    assert failed.json[0]["cause"]["code"] == "server_root_missing"
    assert (other.exit_code, "order_conflict" in other.stderr) == (6, True), other.stderr
    assert (gone.exit_code, "9999" in gone.stderr) == (5, True)


@pytest.mark.usefixtures("quiet")  # the services work in this process
def test_a_site_is_installed_again_and_followed(house: HouseWithApi, remote: Command) -> None:
    many_orders(house)
    with ticking(house):
        ran = remote("order", "reinstall", "order-5", "--yes", "--wait", "--timeout", "100", "--json")
    assert (ran.exit_code, ran.json[0]["state"], ran.json[0]["install_id"]) == (0, "mailed", "order-5-g2")


def test_a_table_of_orders_is_placed_and_one_that_is_refused_holds_up_no_other(
    house: HouseWithApi, remote: Command, tmp_path: Path
) -> None:
    table = tmp_path / "pending.csv"
    rows = [f"{number},shop{number}.example,wordpress,Jo,jo@customer.example" for number in (1, 2, 3)]
    table.write_text("\n".join(["order_id,domain,site_type,name,email", *rows]))
    assert remote("order", "import", str(table)).lines == ["1", "2", "3"]
    house.settle()
    table.write_text("\n".join(["order_id,domain,site_type,name,email", rows[0].replace("Jo,", "Al,"), *rows[1:]]))
    again = remote("order", "import", str(table))
    assert (again.exit_code, again.lines) == (1, ["2", "3"])
    assert "1 of 3 orders were not accepted; 1: Order 1 was placed with other content." in again.stderr


def test_an_order_that_does_not_end_in_time_goes_on(house: HouseWithApi, remote: Command) -> None:
    ran = remote("order", "place", *ORDER.split(), "--wait", "--timeout", "1")
    assert (ran.exit_code, "not finished after 1 seconds: 7" in ran.stderr) == (1, True)
    house.settle()
    assert remote("order", "show", "7").exit_code == 0


# Following


@pytest.mark.parametrize("way", ["direct", "remote"])
def test_the_log_is_followed_as_it_is_written(
    house: HouseWithApi, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    follow = activity_rows.follow

    def until_the_email(lines: Iterator[Any], *, json: bool) -> None:
        def some() -> Iterator[Any]:
            for line in lines:
                yield line
                if line.kind == "mail.sent":
                    return

        order = threading.Timer(0.5, house.order, [7])
        order.start()
        follow(some(), json=json)
        order.join()

    monkeypatch.setattr(activity_rows, "follow", until_the_email)
    with ticking(house):
        there = request.getfixturevalue(way)("activity", "--follow", "--order", "order-7", "--json")
    kinds = [json.loads(line)["kind"] for line in there.lines]
    assert [kind for kind in kinds if kind.startswith(("account", "mail"))] == ["account.created", "mail.sent"]


# What goes wrong


def test_a_token_without_the_scope_is_told_which(
    house: HouseWithApi, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_orders(house)
    shop = over(address, house.token("/shop", Scope.ORDERS_READ), monkeypatch)
    ran = shop("install", "retry", "order-2-g1")
    assert (ran.exit_code, "The token shop lacks the scope installs:write." in ran.stderr) == (6, True)
    assert shop("order", "list").exit_code == 0, "without the sums, which it may not see"
    assert shop("order", "show", "order-2").exit_code == 5, "another's"


def test_a_token_that_is_unknown_disabled_or_missing_is_told(
    house: HouseWithApi, address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unknown = over(address, "sct_canary", monkeypatch)("status")
    assert (unknown.exit_code, "An admin creates tokens in the console" in unknown.stderr) == (2, True)
    token = house.token("/desk", Scope.ADMIN)
    with house.api.desk.writing() as uow:
        tokens.disable(uow.connection, "desk")
    assert "unknown or disabled" in over(address, token, monkeypatch)("status").stderr
    monkeypatch.setenv("SITECREW_API_URL", address)
    missing = run("status")
    assert (missing.exit_code, "SITECREW_API_TOKEN_FILE" in missing.stderr) == (2, True)
    (tmp_path / "token").write_text(house.token("/other", Scope.ADMIN) + "\n")
    monkeypatch.setenv("SITECREW_API_TOKEN_FILE", str(tmp_path / "token"))
    assert run("status").exit_code == 0
    monkeypatch.setenv("SITECREW_API_TOKEN_FILE", str(tmp_path / "none"))
    assert "names a file that cannot be read" in run("status").stderr


@pytest.mark.parametrize(
    ("address", "code", "told"),
    [
        ("http://127.0.0.1:1", 3, "cannot reach the API at http://127.0.0.1:1"),
        ("https://{address}", 3, "no secure connection to the API"),
        ("ftp://somewhere", 2, "must begin with https://"),
        ("http://{address}/status", 2, "is not the API of Sitecrew"),
    ],
)
def test_an_address_that_is_wrong_is_told(
    house: HouseWithApi, monkeypatch: pytest.MonkeyPatch, address: str, code: int, told: str
) -> None:
    with house.served() as served:
        ran = over(address.format(address=served.partition("//")[2]), "sct_canary", monkeypatch)("order", "list")
    assert (ran.exit_code, told in ran.stderr) == (code, True), ran


def test_the_api_s_limit_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = HouseWithApi(tmp_path, api={"address": "127.0.0.1:0", "requests_per_minute": 3})
    waited: list[float] = []
    with house.behind_commands(monkeypatch, session), house.served() as address:
        remote = over(address, house.token("/desk", Scope.ADMIN), monkeypatch)

        def pause(seconds: float) -> None:
            waited.append(seconds)
            house.pass_time(seconds)

        monkeypatch.setattr("sitecrew.cli.office.calls.sleep", pause)
        assert [remote("timer", "show").exit_code for _ in range(5)] == [0] * 5
    assert waited == [20, 20]


def test_servers_are_paused_listed_and_resumed_in_both_ways(
    house: HouseWithApi, direct: Command, remote: Command
) -> None:
    with at_work(house):
        paused = remote("server", "pause", "local", "--reason", "a new disk", "--timeout", "60")
    beat(house, "installer", servers=(ServerStatus(name="local", state="paused", since=START),))
    tables = [way("server", "list").lines for way in (direct, remote)]
    with at_work(house):
        resumed = remote("server", "resume", "local", "--timeout", "60").lines
    assert paused.lines == ["local  paused  since 2026-01-01T12:00:00Z (now): a new disk"]
    assert [table[1].split()[:1] + table[1].split()[5:8] for table in tables] == [["local", "none", "paused", "0"]] * 2
    assert resumed == ["local  resumed  installs begin there again"]


@pytest.mark.parametrize("line", ["store migrate", "topology show", "run mailer", "server show local", "mail preview"])
def test_what_cannot_work_over_the_api_says_so(remote: Command, line: str) -> None:
    ran = remote(*line.split())
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "not over the API: run it where they are" in ran.stderr


def test_a_named_settings_file_and_a_named_actor_are_not_mixed_with_the_api(
    direct: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITECREW_API_URL", "http://127.0.0.1:1")
    assert direct("order", "list").exit_code == 0, "--config is about this line alone"
    monkeypatch.setenv("SITECREW_API_TOKEN", "sct_canary")
    ran = run("--as", "maria", "order", "list")
    assert (ran.exit_code, "the token says who is acting" in ran.stderr) == (2, True)


def test_the_log_needs_an_api_that_has_run(tmp_path: Path) -> None:
    ran = run("--config", settings_file(tmp_path, api__store_url=f"sqlite:///{tmp_path}/none.db"), "activity")
    assert (ran.exit_code, "api has run before" in ran.stderr) == (4, True)
