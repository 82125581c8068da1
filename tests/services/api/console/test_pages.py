"""What the console's pages show and do, with real services behind them."""

import csv
import html
import io
import json
import re
import tracemalloc
from datetime import timedelta
from typing import Any

import pytest

from foundation.clock import utc_now
from foundation.errors import Failed
from foundation.handling.unit_of_work import new_id
from schemas.services import ServerStatus, ServiceHeartbeat
from schemas.values import CauseKind
from services.api.access.identity import Role
from services.api.console import activity_log
from services.api.console.activity_log import harmless
from services.api.finding.filters import ActivityFilter
from services.api.projection.activity import Line, write
from services.installer.states import State
from tests.services.api.console.conftest import Console
from tests.support.house import START, failure

PAGES = (
    "/",
    "/installs",
    "/installs?state=all",
    "/orders",
    "/letters",
    "/parked",
    "/activity",
    "/workers",
    "/settings",
    "/staff",
)
MARKUP = "<script>alert(1)</script>\"'&"


def failed(console: Console, *numbers: int, code: str = "db_down") -> None:
    """Have these orders' installs fail for good."""
    for number in numbers:
        console.house.installer.failures.append(failure(code, CauseKind.PERMANENT))
        console.house.order(number)
        console.house.settle()
        console.house.advance(400)
        console.house.tick()
    console.settle()


def installed(console: Console, number: int = 1, **changes: Any) -> None:
    console.house.order(number, **changes)
    console.house.advance_until(lambda: console.house.mailed(number))
    console.settle()


def text(page: str) -> str:
    """Return the words of a page."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def forms(page: str) -> list[dict[str, list[str]]]:
    """Return the fields of each form of a page."""
    found = []
    for form in re.findall(r"<form.*?</form>", page, re.DOTALL):
        fields: dict[str, list[str]] = {}
        for name, value in re.findall(r'name="([^"]+)"(?: value="([^"]*)")?', form):
            fields.setdefault(name, []).append(html.unescape(value))
        found.append(fields)
    return found


def test_every_page_says_what_would_be_there(console: Console) -> None:
    eve = console.browser("eve")
    for path in PAGES:
        answer = eve.get(path)
        assert answer.status_code == 200, path
        assert "<h1>" in answer.text
    assert "Nothing needs you." in eve.get("/").text
    assert "No install is pending or failed." in eve.get("/installs").text
    for path in ("/installs/no-g1", "/orders/no", "/nothing"):
        assert eve.get(path).status_code == 404


def test_no_page_has_a_script_or_a_style_in_it_or_loads_from_elsewhere(console: Console) -> None:
    failed(console, 1)
    installed(console, 2)
    eve = console.browser("eve")
    for path in (*PAGES, "/sign-in", "/account", "/installs/order-1-g1", "/orders/order-2"):
        page = eve.get(path).text
        assert not re.search(r"<script(?! src=\"/static/)", page), path
        assert not re.search(r"<style| style=| on[a-z]+=", page), path
        assert not re.search(r'(?:src|href|action)="(?![/#])', page), path


def test_alerts_that_are_no_failures_are_shown_with_what_to_do_until_they_have_recovered(console: Console) -> None:
    house, ann = console.house, console.browser("ann", Role.VIEWER)
    headline = "No installs begin on local, which fails again and again: db_down"
    for state, shown in (("open", "raised"), ("closed", "recovered")):
        stands = ServerStatus(name="local", state=state, since=START, cause=failure("db_down").cause)
        beat = ServiceHeartbeat(
            service="installer", instance="web1/1", version="1", started_at=START, servers=(stands,)
        )
        house.publish(beat)
        console.settle()
        console.service.look_for_alerts()
        page = text(ann.get("/").text)
        assert f"{shown} {headline}" in page
        assert ("What to do: nothing, this is a test" in page) == (shown == "raised")
        assert ("Nothing needs you." in page) == (shown == "recovered")


def test_failures_are_grouped_by_cause_with_what_to_do(console: Console) -> None:
    failed(console, 1, 2, 3)
    failed(console, 4, code="disk_full")
    page = text(console.browser("eve").get("/").text)
    assert "3 installs db_down on local" in page
    assert "1 install disk_full on local" in page
    assert page.index("db_down on local") < page.index("disk_full on local")
    assert "What to do: nothing, this is a test" in page


def test_a_whole_group_is_retried_after_a_page_that_says_what_will_happen(console: Console) -> None:
    failed(console, 1, 2, 3)
    failed(console, 4, code="disk_full")
    eve = console.browser("eve", Role.OPERATOR)
    said = eve.post("/confirm-group", action="retry", of="install", code="db_down", server="local").text
    assert "3 installs" in text(said)
    assert "begins with the next batch" in text(said)
    (asked,) = [form for form in forms(said) if "action" in form]
    assert asked["id"] == ["order-1-g1", "order-2-g1", "order-3-g1"]
    answer = eve.post("/ask", action="retry", id=asked["id"], back="/")
    assert "3 not answered yet" in text(eve.follow(answer))
    console.settle()
    assert "3 asked: 3 staged" in text(eve.follow(answer))
    assert "Nothing" not in text(eve.get("/").text)
    assert "db_down" not in text(eve.get("/").text).replace("3 asked", "")


def test_what_is_asked_while_the_broker_is_away_is_said_to_be_kept(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(console, 1)
    monkeypatch.setattr(console.house.broker, "lost_for", lambda: 10.0)
    eve = console.browser("eve", Role.OPERATOR)
    answer = eve.post("/ask", action="retry", id=["order-1-g1"], back="/")
    assert "1 not answered yet: the broker does not answer. It is stored, and is carried out" in text(
        eve.follow(answer)
    )
    console.settle()
    assert "1 asked: 1 staged" in text(eve.follow(answer))


def test_the_outcome_is_what_the_services_answered(console: Console) -> None:
    failed(console, 1, 2)
    installed(console, 3)
    eve = console.browser("eve", Role.OPERATOR)
    answer = eve.post("/ask", action="retry", id=["order-1-g1", "order-2-g1", "order-3-g1"], back="/installs?state=all")
    console.settle()
    page = text(eve.follow(answer))
    assert "3 asked: 2 staged, 1 refused" in page
    assert "order-3-g1:" in page
    assert answer.headers["location"].startswith("/installs?state=all&asked=")


def test_whoever_asked_is_in_the_activity_log(console: Console) -> None:
    failed(console, 1)
    eve = console.browser("eve", Role.SUPPORT)
    eve.post("/ask", action="remove", id="order-1-g1", reason="the customer changed his mind", back="/installs")
    console.settle()
    page = text(eve.get("/activity?actor=eve").text)
    assert "install cancelled" in page
    assert "the customer changed his mind" in page
    assert "cancelled" in text(eve.get("/installs/order-1-g1").text)


@pytest.mark.parametrize(
    ("role", "action", "allowed"),
    [
        (Role.VIEWER, "retry", False),
        (Role.SUPPORT, "retry", True),
        (Role.SUPPORT, "reinstall", False),
        (Role.SUPPORT, "resend-to", False),
        (Role.SUPPORT, "pause", False),
        (Role.OPERATOR, "pause", True),
    ],
)
def test_what_a_role_may_not_do_is_refused_and_logged(console: Console, role: Role, action: str, allowed: bool) -> None:
    failed(console, 1)
    browser = console.browser("ann", role)
    for path in ("/confirm", "/ask"):
        answer = browser.post(path, action=action, id="order-1-g1")
        assert (answer.status_code == 403) != allowed, path
    page = text(console.browser("eve").get("/activity?kind=staff.refused").text)
    assert ("ann" in page) != allowed


def test_several_at_once_need_an_operator(console: Console) -> None:
    failed(console, 1, 2)
    browser = console.browser("ann", Role.SUPPORT)
    assert browser.post("/ask", action="retry", id=["order-1-g1", "order-2-g1"]).status_code == 403
    assert 'type="checkbox"' not in browser.get("/installs").text


def test_only_an_admin_sees_and_changes_staff_and_settings(console: Console) -> None:
    browser = console.browser("ann", Role.OPERATOR)
    assert browser.get("/staff").status_code == 403
    for path, fields in (
        ("/staff/add", {"name": "mallory", "role": "admin"}),
        ("/staff/role", {"name": "ann", "role": "admin"}),
        ("/staff/password", {"name": "ann"}),
        ("/staff/disable", {"name": "ann", "disabled": "true"}),
        ("/staff/tokens/add", {"name": "x", "scopes": "admin"}),
        ("/staff/tokens/rotate", {"name": "x"}),
        ("/staff/tokens/disable", {"name": "x"}),
        ("/settings/site-type", {"site_type": "wordpress", "stage": "off"}),
    ):
        assert browser.post(path, **fields).status_code == 403, path
        assert browser.client.post(path, data=fields).status_code == 403, path


def test_re_installing_asks_for_the_domain(console: Console) -> None:
    installed(console)
    eve = console.browser("eve", Role.OPERATOR)
    said = eve.post("/confirm", action="reinstall", id="order-1", back="/orders/order-1").text
    assert "Everything that the customer has put there is deleted" in said
    wrong = eve.post("/ask", action="reinstall", id="order-1", domain="shop2.example")
    assert (wrong.status_code, "must be shop1.example" in wrong.text) == (422, True)
    answer = eve.post("/ask", action="reinstall", id="order-1", domain="shop1.example", back="/orders/order-1")
    console.settle()
    page = text(eve.follow(answer))
    assert "1 asked: 1 staged" in page
    assert "Install 2 staged" in page


def test_an_order_is_told_as_a_story(console: Console) -> None:
    installed(console)
    eve = console.browser("eve")
    eve.post("/orders/order-1/note", text="called the customer")
    page = text(eve.get("/orders/order-1").text)
    for told in ("Jo Miller", "jo1@customer.example", "installed", "sent", "mail sent", "called the customer", "/test"):
        assert told in page, told
    assert eve.get("/orders?search=order-1").headers["location"] == "/orders/order-1"


def test_a_correction_is_kept_for_later_emails(console: Console) -> None:
    installed(console)
    eve = console.browser("eve", Role.OPERATOR)
    assert eve.post("/ask", action="amend", id="order-1", email="no address").status_code == 422
    assert eve.post("/ask", action="amend", id="order-1").status_code == 422
    answer = eve.post("/ask", action="amend", id="order-1", email="new@customer.example", back="/orders/order-1")
    console.settle()
    assert "1 corrected" in text(eve.follow(answer))
    assert "new@customer.example" in eve.get("/orders/order-1").text


def test_an_email_is_sent_again_to_the_customer_or_to_another_address(console: Console) -> None:
    installed(console)
    eve = console.browser("eve", Role.OPERATOR)
    for fields in ({"action": "resend"}, {"action": "resend-to", "recipient": "other@customer.example"}):
        answer = eve.post("/ask", id="order-1-g1", back="/letters", **fields)
        console.settle()
        assert "1 on the way" in text(eve.follow(answer))
    assert [message["To"] for message in console.house.smtp.sent][1:] == [
        "Jo Miller <jo1@customer.example>",
        "Jo Miller <other@customer.example>",
    ]


def test_no_page_shows_a_secret(console: Console) -> None:
    installed(console)
    eve = console.browser("eve")
    pages = [*PAGES, "/orders/order-1", "/installs/order-1-g1", "/activity.csv", "/activity.json"]
    shown = "".join(eve.get(path).text for path in pages)
    assert console.house.installer.password not in shown
    assert console.house.settings.keys.private.get_secret_value() not in shown
    assert "sealed" not in shown


def test_markup_in_names_and_causes_is_shown_as_text_and_does_nothing(console: Console) -> None:
    told = Failed.because("db_down", CauseKind.PERMANENT, f"detail {MARKUP}", f"remedy {MARKUP}")
    console.house.installer.failures.append(told)
    customer = {"name": f"Jo {MARKUP}", "email": "jo@customer.example"}
    console.house.order(1, blog_name=f"Shop {MARKUP}", customer=customer)
    console.house.advance_until(lambda: console.house.is_in(State.FAILED))
    console.settle()
    eve = console.browser("eve")
    eve.post("/orders/order-1/note", text=f"=note {MARKUP}")
    eve.post("/ask", action="remove", id="order-1-g1", reason=f"reason {MARKUP}")
    console.settle()
    shown = 0
    for path in (
        *PAGES,
        "/orders/order-1",
        "/installs/order-1-g1",
        f"/installs?search={MARKUP}",
        f"/orders?search={MARKUP}",
    ):
        page = eve.get(path).text
        assert "<script>alert" not in page, path
        assert f'="{MARKUP}"' not in page, path
        shown += page.count("&lt;script&gt;alert(1)&lt;/script&gt;")
    assert shown > 5
    stranger = console.browser()
    assert "<script>alert" not in stranger.sign_in(MARKUP, "x", back=f"/{MARKUP}").text


def test_an_export_is_harmless_in_a_spreadsheet(console: Console) -> None:
    installed(console)
    eve = console.browser("eve")
    for note in ("=1+1", "+1", "-1", "@SUM(A1)", "plain, with a comma"):
        eve.post("/orders/order-1/note", text=note)
    answer = eve.get("/activity.csv?order=order-1")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    notes = [row["detail"] for row in rows if row["kind"] == "order.noted"]
    assert sorted(notes) == sorted(["'=1+1", "'+1", "'-1", "'@SUM(A1)", "plain, with a comma"])
    lines = [json.loads(line) for line in eve.get("/activity.json?order=order-1").text.splitlines()]
    assert len(lines) == len(rows)
    assert [line["detail"] for line in lines if line["kind"] == "order.noted"][-1] == "=1+1"
    assert console.browser().get("/activity.csv").status_code == 303


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("a=1", "a=1"),
        ("a;=1; @x;b", "a;'=1;' @x;b"),
        ("", ""),
    ],
)
def test_no_cell_begins_like_a_formula(cell: str, shown: str) -> None:
    assert harmless(cell) == shown


@pytest.mark.parametrize("form", [activity_log._csv, activity_log._jsonl])
def test_an_export_has_every_line_and_a_page_of_them_in_memory(console: Console, form: Any) -> None:
    many, now = 5000, console.desk.now()
    with console.desk.writing() as uow:
        write(uow.connection, [Line(f"{n}", now, "order.noted", detail=f"{n} {'x' * 390}") for n in range(many)])
    tracemalloc.start()
    size = sum(len(page) for page in form(console.desk, ActivityFilter()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > many * 400 > 2 * peak / 3
    lines = b"".join(page.encode() if isinstance(page, str) else page for page in form(console.desk, ActivityFilter()))
    assert lines.count(b"order.noted") == many


def test_the_log_is_found_by_day_and_pages_on(console: Console) -> None:
    eve = console.browser("eve")
    with console.desk.writing() as uow:
        for number in range(60):
            console.desk.note(
                uow.connection, Line(new_id().replace("-", ""), console.desk.now(), "x", detail=f"<{number}>")
            )
    first = eve.get("/activity?kind=x").text
    following = re.search(r'href="([^"]+)" rel="next"', first)
    assert following
    second = eve.get(html.unescape(following[1])).text
    assert first.count("&lt;") + second.count("&lt;") == 60
    assert "Nothing matches" in eve.get("/activity?since=2027-01-01").text
    assert eve.get("/activity?since=tomorrow").status_code == 409
    assert eve.get("/activity?after=nonsense").status_code == 400


def test_installs_are_filtered_and_found(console: Console) -> None:
    failed(console, 1, 2)
    installed(console, 3)
    eve = console.browser("eve")
    assert eve.get("/installs").text.count('type="checkbox" name="id"') == 2
    assert eve.get("/installs?state=installed").text.count('type="checkbox" name="id"') == 1
    assert eve.get("/installs?state=all&search=shop2").text.count('type="checkbox" name="id"') == 1
    assert eve.get("/installs?cause=db_down").text.count('type="checkbox" name="id"') == 2
    assert "Nothing matches the filter." in eve.get("/installs?cause=other").text


def test_processes_are_shown_and_lost_after_thirty_seconds(console: Console) -> None:
    eve = console.browser("eve", Role.OPERATOR)
    told = ServiceHeartbeat(
        service="installer",
        instance="host/1",
        version="1.2.3",
        started_at=utc_now(),
        working_on=("order-1-g1",),
        next_tick=console.desk.now(),
    )
    console.house.publish(told)
    console.settle()
    page = text(eve.get("/workers").text)
    assert "installer host/1 alive order-1-g1" in page
    console.house.clock.moment += console.house.clock.moment.resolution * 31_000_000
    assert "installer host/1 lost" in text(eve.get("/workers").text)
    assert "has been silent since" in text(eve.get("/").text)


def test_a_server_is_paused_and_resumed(console: Console) -> None:
    standing = (ServerStatus(name="local", concurrency=4, running=3, waiting=2),)
    beat = {"service": "installer", "instance": "host/1", "version": "1", "started_at": utc_now()}
    console.house.publish(ServiceHeartbeat(**beat, servers=standing))
    console.settle()
    eve = console.browser("eve")
    assert "local closed 3 of 4 2" in text(eve.get("/workers").text)
    assert (
        "begin no install and create no account on the server"
        in eve.post("/confirm", action="pause-server", id="local", back="/workers").text
    )
    for action, shown in (
        ("pause-server", "local paused a new disk 3 of 4 2"),
        ("resume-server", "local closed 3 of 4 2"),
    ):
        asked = eve.post("/ask", action=action, id="local", back="/workers", reason="a new disk")
        console.settle()
        assert shown in text(eve.follow(asked)), "without waiting for the next heartbeat"


def test_the_timer_is_paused_and_resumed(console: Console) -> None:
    told = ServiceHeartbeat(service="installer", instance="host/1", version="1", started_at=utc_now())
    console.house.publish(told.model_copy(update={"next_tick": console.desk.now()}))
    eve = console.browser("eve", Role.OPERATOR)
    said = eve.post("/confirm", action="pause", back="/workers").text
    assert "begin no batch until somebody resumes the timer" in text(said)
    for action, outcome in (("pause", "1 paused"), ("resume", "1 resumed"), ("run-now", "1 sent to an installer")):
        answer = eve.post("/ask", action=action, back="/workers")
        console.settle()
        page = text(eve.follow(answer))
        assert outcome in page
        assert ("no batch begins" in page) == (action == "pause"), "without waiting for the next heartbeat"
    assert console.house.is_called_to_tick


def test_staging_is_switched_off_and_the_next_order_is_installed_at_once(console: Console) -> None:
    eve = console.browser("eve")
    answer = eve.post("/settings/site-type", site_type="wordpress", stage="off")
    console.settle()
    assert "1 in force" in text(eve.follow(answer))
    assert "off set by staff" in text(eve.get("/settings").text)
    console.house.order(1)
    console.settle()
    assert "installed" in text(eve.get("/installs/order-1-g1").text)
    assert eve.post("/settings/site-type", site_type="wordpress", stage="maybe").status_code == 409
    assert eve.post("/settings/site-type", site_type="nothing", stage="on").status_code == 409


def test_an_admin_adds_somebody_who_signs_in(console: Console) -> None:
    eve = console.browser("eve")
    added = eve.post("/staff/add", name="ann", role="support")
    shown = re.search(r'<code class="secret">([^<]+)</code>', added.text)
    assert shown
    ann = console.browser()
    assert ann.sign_in("ann", html.unescape(shown[1])).status_code == 303
    assert shown[1] not in eve.get("/staff").text
    eve.post("/staff/role", name="ann", role="viewer")
    assert ann.get("/").status_code == 303
    ann.sign_in("ann", html.unescape(shown[1]))
    assert "viewer" in ann.get("/").text
    eve.post("/staff/disable", name="ann", disabled="true")
    assert ann.get("/").status_code == 303
    assert eve.post("/staff/add", name="ann", role="support").status_code == 409
    assert eve.post("/staff/disable", name="eve", disabled="true").status_code == 409
    log = text(eve.get("/activity").text)
    for kind in ("staff added", "staff role changed", "staff disabled"):
        assert kind in log


def test_a_token_is_shown_once_and_works_until_it_is_disabled(console: Console) -> None:
    eve = console.browser("eve")

    def token(answer: Any) -> str:
        found = re.search(r'<code class="secret">(sct_[^<]+)</code>', answer.text)
        assert found
        return found[1]

    def status(token: str) -> int:
        answer = console.browser().get("/v1/me", headers={"Authorization": f"Bearer {token}"})
        return int(answer.status_code)

    first = token(eve.post("/staff/tokens/add", name="billing", scopes=["orders:write", "orders:read"]))
    assert status(first) == 200
    assert first not in eve.get("/staff").text + eve.get("/activity").text
    for source in ("/sitecrew", "/sitecrew/api"):
        assert eve.post("/staff/tokens/add", name="x", source=source, scopes=["admin"]).status_code == 409
    second = token(eve.post("/staff/tokens/rotate", name="billing"))
    assert (status(first), status(second)) == (401, 200)
    eve.post("/staff/tokens/disable", name="billing")
    assert status(second) == 401
    assert eve.post("/staff/tokens/add", name="billing", scopes="orders:read").status_code == 409
    assert eve.post("/staff/tokens/add", name="other").status_code == 409


def parked(console: Console, *numbers: int) -> None:
    """Have these orders be parked, because nobody sells what they are for."""
    for number in numbers:
        console.house.order(number, site_type="unknown", blog_name=f"<i>{number}")
    console.settle()


def test_parked_messages_are_shown_with_their_reason_and_put_back_corrected(console: Console) -> None:
    parked(console, 1)
    eve = console.browser("eve", Role.OPERATOR)
    assert "1 parked message" in text(eve.get("/").text)
    page = eve.get("/parked").text
    assert "order-1" in page
    link = re.search(r'href="(/parked/message[^"]+)"', page)
    assert link
    shown = eve.get(html.unescape(link[1])).text
    assert "unknown" in shown
    assert "<i>" not in shown
    (named,) = [form for form in forms(shown) if "queue" in form]
    which = {"queue": named["queue"][0], "id": named["id"][0]}
    body = re.search(r"<textarea[^>]*>(.*)</textarea>", eve.post("/parked/edit", **which).text, re.DOTALL)
    assert body
    wrong = eve.post("/parked/correct", **which, body="no event")
    assert (wrong.status_code, "no event" in wrong.text) == (422, True)
    right = html.unescape(body[1]).replace("unknown", "wordpress")
    assert "1 back in their queues" in text(eve.follow(eve.post("/parked/correct", **which, body=right)))
    console.settle()
    assert "No message is parked." in eve.get("/parked").text
    assert "order-1" in eve.get("/orders").text


def test_several_parked_messages_are_discarded_after_a_page_that_says_so(console: Console) -> None:
    parked(console, 1, 2)
    eve = console.browser("eve", Role.OPERATOR)
    ids = re.findall(r'type="checkbox" name="id" value="([^"]+)"', eve.get("/parked").text)
    assert len(ids) == 2
    said = eve.post("/parked/confirm", action="discard", id=ids)
    assert "delete each message for good" in said.text
    assert "2 discarded" in text(eve.follow(eve.post("/parked/act", action="discard", id=ids)))
    console.settle()
    assert "No message is parked." in eve.get("/parked").text
    assert not console.house.parked()
    assert "message purged" in text(eve.get("/activity?actor=eve").text)


def test_parked_messages_stay_while_the_broker_is_away(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    parked(console, 1)
    eve = console.browser("eve", Role.OPERATOR)
    (id,) = re.findall(r'type="checkbox" name="id" value="([^"]+)"', eve.get("/parked").text)
    monkeypatch.setattr(console.house.broker, "lost_for", lambda: 10.0)
    answer = eve.post("/parked/act", action="discard", id=id)
    assert answer.status_code == 503
    assert "The broker does not answer" in text(answer.text)
    assert len(console.house.parked()) == 1


def test_parked_messages_are_for_operators_to_handle(console: Console) -> None:
    parked(console, 1)
    ann = console.browser("ann", Role.SUPPORT)
    assert 'name="id"' not in ann.get("/parked").text
    for path in ("/parked/edit", "/parked/correct", "/parked/confirm", "/parked/act"):
        assert ann.post(path, action="discard", id="parking|x", queue="parking").status_code == 403
    assert len(console.house.parked()) == 1


def test_a_webhook_is_added_with_a_secret_that_is_shown_once(console: Console) -> None:
    eve, ann = console.browser("eve"), console.browser("ann", Role.OPERATOR)
    fields = {"url": "https://hooks.example/in", "types": "install.* mail.sent"}
    assert ann.post("/staff/webhooks/add", **fields).status_code == 403
    assert eve.post("/staff/webhooks/add", url="ftp://x").status_code == 409
    shown = re.search(r'<code class="secret">([^<]+)</code>', eve.post("/staff/webhooks/add", **fields).text)
    assert shown
    page = eve.get("/staff").text
    assert "https://hooks.example/in" in page
    assert shown[1] not in page
    named = re.search(r'href="/staff/webhooks/([^"]+)"', page)
    assert named
    assert "disabled by eve" in eve.follow(eve.post("/staff/webhooks/disable", name=named[1], disabled="true"))


@pytest.mark.parametrize(("age", "found"), [("over-hour", 1), ("over-day", 0), ("within-hour", 1), ("nonsense", 2)])
def test_installs_are_filtered_by_age(console: Console, age: str, found: int) -> None:
    failed(console, 1)
    console.house.clock.moment += timedelta(hours=2)
    failed(console, 2)
    page = console.browser("eve").get(f"/installs?age={age}").text
    assert page.count('type="checkbox" name="id"') == found


def failed_account(console: Console, number: int = 1) -> None:
    console.house.server.failures.append(failure("server_down", CauseKind.PERMANENT))
    console.house.order(number)
    console.settle()


def test_a_failed_account_is_tried_again_from_its_order(console: Console) -> None:
    failed_account(console)
    eve = console.browser("eve", Role.SUPPORT)
    assert "parked message" not in eve.get("/").text
    page = eve.get("/orders/order-1").text
    assert "it is tried again only when somebody retries it" in text(page)
    (form,) = [form for form in forms(page) if form.get("action") == ["retry-order"]]
    answer = eve.post("/ask", action="retry-order", id=form["id"], back="/orders/order-1")
    console.settle()
    assert "1 asked: 1 accepted again" in text(eve.follow(answer))
    assert "order retry" in text(eve.get("/activity?actor=eve").text)
    assert console.house.parked() == []
    assert "Nothing needs you." in eve.get("/").text
    refused = eve.post("/ask", action="retry-order", id="order-1", back="/orders/order-1")
    console.settle()
    assert "1 refused: order-1: its account is created" in text(eve.follow(refused))


def test_failed_accounts_are_retried_as_a_group_by_operators(console: Console) -> None:
    failed_account(console, 1)
    failed_account(console, 2)
    ann, eve = console.browser("ann", Role.SUPPORT), console.browser("eve", Role.OPERATOR)
    assert "Retry all" not in ann.get("/").text
    assert "Retry all" in eve.get("/").text
    said = eve.post("/confirm-group", action="retry-order", of="order", code="server_down", server="local").text
    (asked,) = [form for form in forms(said) if "action" in form]
    answer = eve.post("/ask", action="retry-order", id=asked["id"])
    console.settle()
    assert "2 asked: 2 accepted again" in text(eve.follow(answer))


def test_an_install_shows_what_to_do_about_each_failure_and_its_trace(console: Console) -> None:
    failed(console, 1)
    page = text(console.browser("eve").get("/installs/order-1-g1").text)
    assert re.search(r"Trace [0-9a-f]{32}", page)
    assert page.count("What to do: nothing, this is a test") == 2


def test_a_batch_is_run_at_once_from_the_page_of_a_staged_install(console: Console) -> None:
    console.house.order(1)
    console.settle()
    eve = console.browser("eve", Role.OPERATOR)
    assert "Run the batch now" in eve.get("/installs/order-1-g1").text
    assert "Run the batch now" not in console.browser("ann", Role.SUPPORT).get("/installs/order-1-g1").text


def test_an_order_that_is_installed_offers_no_cancel(console: Console) -> None:
    console.house.order(1)
    console.settle()
    eve = console.browser("eve")
    assert "Cancel order" in eve.get("/orders/order-1").text
    console.house.advance_until(console.house.mailed)
    console.settle()
    assert "Cancel order" not in eve.get("/orders/order-1").text


def test_settings_that_were_given_come_before_those_as_by_default(console: Console) -> None:
    page = text(console.browser("eve").get("/settings").text)
    assert re.search(r"Settings in force .* [0-9]+ settings as by default", page)


def test_markup_in_names_of_tokens_and_addresses_of_webhooks_does_nothing(console: Console) -> None:
    eve = console.browser("eve")
    for name, source in ((MARKUP, MARKUP), ('" autofocus onfocus="alert(1)', "javascript:alert(1)")):
        assert eve.post("/staff/tokens/add", name=name, source=source, scopes=["admin"]).status_code == 200
    assert eve.post("/staff/webhooks/add", url=f"https://shop.example/{MARKUP}", source=MARKUP).status_code == 200
    for url in ("javascript:alert(1)", "data:text/html,x", f"https://{MARKUP}/"):
        assert eve.post("/staff/webhooks/add", url=url).status_code == 409
    assert eve.post("/staff/add", name=MARKUP).status_code == 409
    for path in ("/staff", "/activity"):
        page = eve.get(path, headers={"User-Agent": MARKUP, "Referer": MARKUP}).text
        assert "<script>alert" not in page
        assert not re.search(r"<[^>]*\son\w+=[\"']?alert", page)
        assert not re.search(r"(?:href|action|src)=\"(?:javascript|data):", page)
