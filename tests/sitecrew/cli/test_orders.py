"""One order number is enough: `order list`, `order show`, and what staff do about an order."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.installs import InstallCancel
from schemas.orders import OrderPlaced
from schemas.values import CauseKind
from services.installer.states import State
from sitecrew.cli import everywhere
from sitecrew.cli.client import sending
from tests.support.cli import Ran, settings_file
from tests.support.cli import sitecrew as run
from tests.support.house import House, at_work, failure

Command = Callable[..., Ran]


def with_a_failed_account(house: House, number: int = 1) -> None:
    house.server.failures.append(failure("server_root_missing", CauseKind.CONFIGURATION))
    house.order(number)
    house.settle()


def test_an_order_whose_account_failed_is_found_with_cause_and_what_to_do(house: House, sitecrew: Command) -> None:
    with_a_failed_account(house)
    shown = sitecrew("order", "show", "order-1")
    assert shown.exit_code == 0
    for piece in (
        "account failed",
        "server_root_missing (configuration)",
        "Jo Miller <jo1@customer.example>",
        "`sitecrew order retry order-1`",
    ):
        assert piece in shown.stdout
    [row] = sitecrew("order", "list", "--state", "failed", "--json").json
    assert (row["order_id"], row["cause"]["code"]) == ("order-1", "server_root_missing")
    assert row["source"].startswith("/test")


def test_installs_show_says_why_an_order_has_no_install_instead_of_denying_it(house: House, sitecrew: Command) -> None:
    with_a_failed_account(house)
    ran = sitecrew("install", "show", "order-1")
    assert (ran.exit_code, ran.stdout) == (5, "")
    assert "order order-1 has no install yet: its account has failed: server_root_missing" in ran.stderr
    assert "`sitecrew order show order-1`" in ran.stderr


def test_an_order_whose_account_is_being_tried_again_is_seen_meanwhile(house: House, sitecrew: Command) -> None:
    house.server.failures.append(failure("disk_full", CauseKind.CAPACITY))
    house.order(1, priority="low")
    house.settle()
    [row] = sitecrew("order", "list", "--json").json
    assert (row["state"], row["cause"]["code"], row["priority"]) == ("accepted", "disk_full", "low")
    assert "automatically" in row["next"]


def test_all_generations_and_the_letter_are_in_one_page(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    house.installer.failures.append(failure("db_down"))
    house.advance_until(lambda: house.mailed(1))
    shown = sitecrew("order", "show", "order-1").stdout
    for piece in (
        "order-1-g1",
        "attempt failed (attempt 1): db_down",
        "sent to jo1@customer.example",
        "everything is done",
    ):
        assert piece in shown
    whole = sitecrew("order", "show", "order-1", "--json").json
    assert [install["install_id"] for install in whole["installs"]] == ["order-1-g1"]
    assert whole["mails"][0]["state"] == "sent"
    assert "sealed" not in str(whole)


def test_an_order_whose_letter_is_tried_again_says_why(house: House, sitecrew: Command) -> None:
    house.smtp.failures.append(failure("smtp_unreachable"))
    house.order(1)
    house.settle()
    house.tick()
    shown = sitecrew("order", "show", "order-1").stdout
    for piece in (
        "waiting to jo1@customer.example",
        "smtp_unreachable on purpose",
        "the letter goes out automatically",
    ):
        assert piece in shown
    house.advance_until(lambda: house.mailed(1))
    assert "smtp_unreachable" not in sitecrew("order", "show", "order-1").stdout


def test_a_store_that_is_not_there_is_told_and_hides_nothing_of_the_others(house: House, tmp_path: Path) -> None:
    house.order(1)
    house.settle()
    config = settings_file(
        tmp_path,
        order_intake__store_url=f"sqlite:///{tmp_path / 'nowhere.db'}",
        installer__store_url=f"sqlite:///{house.directory / 'installer'}.db",
        mailer__store_url=f"sqlite:///{tmp_path / 'nowhere-either.db'}",
    )
    ran = run("--config", config, "order", "show", "order-1")
    assert ran.exit_code == 0
    assert "order-1-g1" in ran.stdout
    assert ran.stderr.count("warning: there is no database") == 2
    none = settings_file(
        tmp_path, **{f"{name}__store_url": "sqlite:////none.db" for name in ("order_intake", "installer", "mailer")}
    )
    assert run("--config", none, "order", "show", "order-1").exit_code == 4


def test_an_unknown_order_is_not_found(sitecrew: Command) -> None:
    ran = sitecrew("order", "show", "9999")
    assert (ran.exit_code, ran.stdout) == (5, "")
    assert "there is no order 9999" in ran.stderr


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--customer", "JO2@"), ["order-2"]),
        (("--customer", "order"), []),
        (("--domain", "shop3"), ["order-3"]),
        (("--site-type", "static"), ["order-3"]),
        (("--server", "elsewhere"), []),
        (("--cause", "disk_full,db_down"), ["order-4"]),
        (("--since", "10m"), ["order-4"]),
        (("--limit", "2"), ["order-4", "order-3"]),
        (("--limit", "2", "--after", "order-3"), ["order-2", "order-1"]),
    ],
)
def test_orders_are_found_by_what_is_known_of_them(
    house: House, sitecrew: Command, options: tuple[str, ...], found: list[str]
) -> None:
    for number, changes in ((1, {}), (2, {}), (3, {"site_type": "static"})):
        house.order(number, **changes)
        house.settle()
        house.pass_time(1200)
    house.server.failures.append(failure("disk_full", CauseKind.CAPACITY))
    house.order(4)
    house.settle()
    assert [row["order_id"] for row in sitecrew("order", "list", "--json", *options).json] == found


@pytest.mark.parametrize("name", ["order-2-g1", "order-2", "shop2.example", "SHOP2.example", "Jo2@customer.example"])
def test_an_install_is_found_by_whatever_the_customer_says_on_the_phone(
    house: House, sitecrew: Command, name: str
) -> None:
    for number in (1, 2):
        house.order(number)
    house.settle()
    assert sitecrew("install", "show", name, "--json").json["install_id"] == "order-2-g1"


def test_a_name_that_means_several_installs_is_refused_with_their_ids(house: House, sitecrew: Command) -> None:
    for number in (1, 2):
        house.order(number, customer={"name": "Ann", "email": "ann@example.org"})
    house.settle()
    ran = sitecrew("install", "show", "ann@example.org")
    assert ran.exit_code == 6
    assert "order-1-g1, order-2-g1" in ran.stderr


def test_who_cancelled_an_install_and_why_is_shown(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    house.publish(InstallCancel(install_id="order-1-g1", reason="changed his mind"), authtype="user", authid="maria")
    house.settle()
    shown = sitecrew("install", "show", "order-1-g1").stdout
    assert "cancelled because  changed his mind" in shown
    assert "cancelled by maria: changed his mind" in shown
    assert sitecrew("install", "show", "order-1-g1", "--json").json["reason"] == "changed his mind"


# Bulk


def three_failures(house: House) -> None:
    for number, code in ((1, "db_down"), (2, "db_down"), (3, "disk_full")):
        house.order(number)
        house.settle()
        house.installer.failures += [failure(code, CauseKind.CONFIGURATION)]
        house.tick()
        assert house.is_in(State.FAILED, f"order-{number}-g1")


def test_failures_of_one_cause_are_told_once_and_tried_again_by_one_line(house: House, sitecrew: Command) -> None:
    three_failures(house)
    listed = sitecrew("install", "list")
    assert "2 x db_down (local): sitecrew install retry --cause db_down" in listed.stderr
    dry = sitecrew("install", "retry", "--cause", "db_down", "--dry-run", "--json")
    assert [row["install_id"] for row in dry.json] == ["order-1-g1", "order-2-g1"]
    assert "would retry 2 installs; nothing was done" in dry.stderr
    sitecrew("install", "retry", "--cause", "db_down", "--timeout", "0")
    house.settle()
    states = [house.install(f"order-{number}-g1").state for number in (1, 2, 3)]
    assert states == [State.STAGED, State.STAGED, State.FAILED]


def test_cancelling_a_whole_choice_needs_a_yes(house: House, sitecrew: Command) -> None:
    three_failures(house)
    ran = sitecrew("install", "cancel", "--cause", "db_down")
    assert ran.exit_code == 2
    assert "--yes" in ran.stderr
    sitecrew("install", "cancel", "--cause", "db_down", "--yes", "--timeout", "0")
    house.settle()
    assert house.is_in(State.CANCELLED, "order-2-g1")
    assert house.is_in(State.FAILED, "order-3-g1")


def test_the_limit_shown_is_the_installers_not_that_of_who_looks(house: House, tmp_path: Path) -> None:
    house.order(1)
    house.settle()
    config = settings_file(
        tmp_path,
        installer__max_attempts=2,
        installer__store_url=f"sqlite:///{house.directory / 'installer'}.db",
        timer__every="0 3 * * *",
    )
    ran = run("--config", config, "install", "list")
    assert "1 of 6" in ran.stdout
    shown = run("--config", config, "install", "show", "order-1", "--json").json
    assert shown["next_attempt_at"] == house.install().begins_at.isoformat().replace("+00:00", "Z")


# What destroys asks


def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everywhere, "may_ask", lambda _: True)


def test_a_reinstall_shows_what_goes_and_has_the_domain_typed(
    house: House, sitecrew: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.order(1)
    house.settle()
    house.advance_until(lambda: house.mailed(1))
    house.pass_time(7300)
    asked(monkeypatch)
    for typed, code in (("yes", 1), ("shop1.example", 0)):
        ran = sitecrew("order", "reinstall", "order-1", "--no-wait", given=f"{typed}\n")
        assert ran.exit_code == code, ran.stderr
        for piece in ("shop1.example, of Jo Miller", "installed 2h ago", "Type shop1.example"):
            assert piece in " ".join(ran.stderr.split())


def test_a_reinstall_of_an_unknown_order_asks_nothing(sitecrew: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(monkeypatch)
    ran = sitecrew("order", "reinstall", "9999")
    assert (ran.exit_code, ran.stdout) == (5, "")
    assert "there is no order 9999" in ran.stderr
    assert "Type" not in ran.stderr


def test_a_reinstall_by_a_script_says_yes_or_is_refused(sitecrew: Command) -> None:
    ran = sitecrew("order", "reinstall", "order-1")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "--yes" in ran.stderr


ORDER = (
    '{"order_id": "1", "site_type": "%s", "domain": "a.example", "customer": {"name": "J", "email": "j@example.org"}}'
)

# Staff's commands, answered by order intake


def answers(ran: Ran) -> list[str]:
    """What the command says; the services of the house log onto the same stdout."""
    return [line for line in ran.lines if line.startswith("order-")]


def test_an_unknown_order_is_not_found_at_once_and_leaves_nothing_behind(house: House, sitecrew: Command) -> None:
    with at_work(house):
        for line in (("cancel", "9999"), ("reinstall", "9999", "--yes"), ("amend", "9999", "--email", "a@example.org")):
            ran = sitecrew("order", *line)
            assert (ran.exit_code, answers(ran)) == (5, []), ran.stderr
            assert "9999: there is no such order" in ran.stderr
    assert house.parked() == []


def test_cancelling_waits_for_what_comes_of_it(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.order(2)
    house.settle()
    with at_work(house):
        ran = sitecrew("order", "cancel", "order-1", "order-2", "--reason", "not paid", "--as", "maria")
    assert (ran.exit_code, answers(ran)) == (0, ["order-1  withdrawn  not paid", "order-2  withdrawn  not paid"])
    house.settle()
    shown = sitecrew("order", "show", "order-1").stdout
    assert "cancelled because  not paid" in shown
    assert "cancelled by maria: not paid" in shown


def test_an_installed_order_is_refused_with_the_reason(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    house.advance_until(lambda: house.mailed(1))
    with at_work(house):
        ran = sitecrew("order", "cancel", "order-1")
    assert (ran.exit_code, answers(ran)) == (6, [])
    assert "it is already installed" in ran.stderr
    assert house.parked() == []


def test_an_account_that_failed_is_tried_again_and_one_that_did_not_is_left(house: House, sitecrew: Command) -> None:
    house.server.failures = [failure("server_root_missing", CauseKind.CONFIGURATION)]
    house.order(1)
    house.settle()
    with at_work(house):
        ran = sitecrew("order", "retry", "order-1")
        again = sitecrew("order", "retry", "order-1")
    assert (ran.exit_code, answers(ran)) == (0, ["order-1  accepted  its account is tried again on local"])
    assert again.exit_code == 6
    assert "its account is" in again.stderr


def test_accounts_that_failed_for_one_cause_are_tried_again_by_one_line(house: House, sitecrew: Command) -> None:
    with_a_failed_account(house, 1)
    with_a_failed_account(house, 2)
    house.server.failures.append(failure("domain_taken", CauseKind.CONFLICT))
    house.order(3)
    house.settle()
    again = ("order", "retry", "--cause", "server_root_missing", "--server", "local")
    assert f"  2 accounts, server_root_missing (local): sitecrew {' '.join(again)}\n" in sitecrew("status").stdout
    dry = sitecrew(*again, "--dry-run", "--json")
    assert sorted(row["order_id"] for row in dry.json) == ["order-1", "order-2"]
    assert "would retry 2 orders; nothing was done" in dry.stderr
    assert "would retry 1 order;" in sitecrew("order", "retry", "order-3", "order-9", "--dry-run").stderr
    assert "no account has failed" in sitecrew("order", "retry", "--cause", "disk_full").stderr
    assert sitecrew("order", "retry").exit_code == sitecrew("order", "retry", "order-1", "--all-failed").exit_code == 2
    sitecrew(*again, "--no-wait")
    house.settle()
    rows = sitecrew("order", "list", "--state", "created,failed", "--json").json
    assert {row["order_id"]: row["state"] for row in rows} == {
        "order-1": "created",
        "order-2": "created",
        "order-3": "failed",
    }


def test_a_corrected_address_is_answered_with_what_it_is_now(house: House, sitecrew: Command) -> None:
    house.order(1)
    house.settle()
    with at_work(house):
        ran = sitecrew("order", "amend", "order-1", "--email", "new@example.org")
        again = sitecrew("order", "reinstall", "order-1", "--yes")
    assert answers(ran) == ["order-1  amended  Jo Miller <new@example.org>; later emails go there"]
    assert (again.exit_code, answers(again)) == (0, ["order-1  staged  order-1-g2, due now"])
    assert house.install("order-1-g2").staged.customer.email == "new@example.org"


@pytest.mark.parametrize("line", [("order", "cancel", "order-1"), ("order", "reinstall", "order-1", "--yes")])
def test_without_an_answer_it_says_which_service_to_look_for(
    house: House, sitecrew: Command, line: tuple[str, ...]
) -> None:
    house.order(1)
    house.settle()
    ran = sitecrew(*line, "--timeout", "0")
    assert (ran.exit_code, ran.stdout) == (1, "order-1  unanswered  no answer yet\n")
    assert "sitecrew run order-intake" in ran.stderr
    assert "intake.commands" in ran.stderr


@pytest.mark.parametrize("installed", [True, False])
def test_an_order_that_is_known_ends_the_wait_at_once(house: House, sitecrew: Command, installed: bool) -> None:
    placed = OrderPlaced(
        order_id="shop-1",
        site_type="wordpress",
        domain="shop1.example",
        customer={"name": "Jo", "email": "jo@example.org"},
    )
    data = placed.model_dump_json(exclude_none=True)
    sitecrew("order", "place", "-", given=data)
    house.settle()
    if installed:
        house.advance_until(lambda: house.is_in(State.INSTALLED, "shop-1-g1"))
        house.settle()
    else:
        house.publish(InstallCancel(install_id="shop-1-g1"))
        house.settle()
    with at_work(house):
        ran = sitecrew("order", "place", "-", "--wait", "--timeout", "20", given=data)
    assert "shop-1 was already placed at 2026-01-01T12:00:00Z" in ran.stderr
    assert "nothing was changed" in ran.stderr
    assert ran.exit_code == (0 if installed else 6)


def test_ctrl_c_says_that_it_goes_on_and_how_to_see_it(sitecrew: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(sending, "incoming", interrupted)
    order = ORDER % "static"
    ran = sitecrew("order", "place", "-", "--wait", given=order)
    assert ran.exit_code == 130
    assert "still in progress: 1; follow with `sitecrew order show 1`" in ran.stderr
    cancelled = sitecrew("order", "cancel", "1")
    assert cancelled.exit_code == 130
    assert "already sent" in cancelled.stderr


def test_placing_says_so_and_what_to_type_next(sitecrew: Command) -> None:
    order = ORDER % "wordpres"
    ran = sitecrew("order", "place", "-", given=order)
    assert ran.stdout == "1\n"
    assert "did you mean wordpress?" in ran.stderr
    assert "placed 1 order; follow with `sitecrew order show 1`" in ran.stderr
    assert '"timestamp"' not in ran.stderr, "no JSON that nobody asked for"


def test_the_very_same_event_again_ends_the_wait_at_once(house: House, sitecrew: Command) -> None:
    """As the examples have it: with an id of its own, by which order intake knows the repetition."""
    example = (Path(__file__).parents[3] / "examples" / "orders" / "static.json").read_text()
    assert sitecrew("order", "place", "-", given=example).exit_code == 0
    house.settle()
    house.advance_until(lambda: house.is_in(State.INSTALLED, "shop-1002-g1"))
    house.settle()
    with at_work(house):
        ran = sitecrew("order", "place", "-", "--wait", "--timeout", "20", given=example)
    assert ran.exit_code == 0, ran.stderr
    assert "shop-1002 was already placed at " in ran.stderr
    assert "installed; nothing was changed" in ran.stderr
    assert len(house.static.installed) == 1
