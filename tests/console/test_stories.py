"""What staff do with the console, in a browser, with RabbitMQ and the real services behind it."""

import json
from collections.abc import Iterator

import pytest

from schemas.orders import OrderPlaced
from sitecrew.stack.machine import Plan
from tests.console.browser import PHONE, Browser, Page
from tests.console.crew import PASSWORD, SETTINGS, Crew

UNTOUCHED = "return Boolean(window.untouched)"


@pytest.fixture(scope="module")
def crew(browser: Browser, tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str]) -> Iterator[Crew]:
    plan = Plan(tmp_path_factory.mktemp("crew"), ("static",), amqp_url=next(vhosts), settings=SETTINGS)
    with Crew.at_work(plan, browser) as crew:
        yield crew


def stays(page: Page) -> None:
    """Mark the page: it is the same as long as nobody loads another one."""
    page.runs("window.untouched = true")


def log(page: Page, **wanted: str) -> list[str]:
    """Return the lines of the activity log that a filter finds, newest first."""
    page.opens("/activity?" + "&".join(f"{name}={value}" for name, value in wanted.items()))
    lines = page.runs("return [...document.querySelectorAll('tbody tr')].map((row) => row.innerText)")
    return [" ".join(line.split()) for line in lines]


def looks_at(page: Page, order: str) -> None:
    """Find an install in the list, which shows it as soon as the console knows of it, and open it."""
    domain = f"{order.replace('-', '')}.example"
    page.opens(f"/installs?state=all&search={domain}")
    page.clicks(domain, "link")


def test_a_failing_install_is_mended_from_its_cause_to_its_letter(crew: Crew) -> None:
    with crew.page("sue") as sue:
        sue.opens("/")
        stays(sue)
        with crew.web_server_down() as mend:
            order = crew.order()
            sue.sees("verify_failed")
            sue.sees("answered 503, expected 200; it says: Down for maintenance")
            sue.sees("Request the URL in the detail with that Host header")
            assert sue.runs(UNTOUCHED), "it appeared without loading the page again"
            assert sue.is_usable() == []
            sue.clicks(f"{order.replace('-', '')}.example", "link")
            sue.sees("it is tried again only when somebody retries it")
            assert sue.is_usable() == []
            mend()
        sue.clicks("Retry")
        sue.sees("1 asked: 1 staged")
        stays(sue)
        sue.sees_element("h1 .badge.installed")
        sue.sees_element(".badge.sent")
        assert sue.runs(UNTOUCHED), "it became installed without loading the page again"
        crew.house.until("mail.sent", order)
        assert len(crew.house.letters(order)) == 1
        lines = log(sue, order=order)
    for told, by in (("install failed", "-"), ("install retry", "sue"), ("mail sent", "")):
        assert any(told in line and by in line for line in lines), (told, lines)


def test_a_pending_install_is_removed_and_a_forged_form_refused(crew: Crew) -> None:
    with crew.timer_paused(), crew.page("sue", width=PHONE) as sue:
        removed, kept = crew.orders(2)
        crew.due(2)
        with crew.page("vic") as vic:
            looks_at(vic, kept)
            vic.sees("Begins")
            assert vic.count("main form") == 0
            vic.runs(FORGED, {"action": "remove", "id": f"{kept}-g1", "back": "/"})
            vic.sees("needs the role support or higher; yours is viewer")
            [refused] = vic.seen()["errors"]
            assert "403" in refused
        looks_at(sue, removed)
        sue.clicks("Remove")
        sue.sees("No email is sent.")
        assert sue.is_usable() == []
        sue.writes("Reason (optional)", "the customer changed his mind")
        sue.clicks("Remove")
        sue.sees("1 asked: 1 cancelled")
        [asked] = [line for line in log(sue, order=removed) if "install cancel " in line]
        assert "sue" in asked
        assert "the customer changed his mind" in asked
        refusals = log(sue, kind="staff.refused")
        assert any("vic" in line and "needs the role support" in line for line in refusals)
    crew.house.until("mail.sent", kept)
    assert crew.house.install(f"{removed}-g1").state == "cancelled"


FORGED = """
    const form = document.createElement("form");
    const token = document.querySelector("[name=form_token]").value;
    for (const [name, value] of Object.entries({ ...given, form_token: token })) {
        form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    Object.assign(form, { method: "post" }).setAttribute("action", "/ask");
    document.body.append(form);
    form.submit();
"""


def test_thirty_failed_installs_are_retried_after_their_summary(crew: Crew) -> None:
    with crew.page("oli", scheme="dark") as oli:
        with crew.web_server_down():
            orders = crew.orders(30)
            for order in orders:
                crew.house.until("install.failed", order)
        oli.opens("/")
        oli.sees("30 installs")
        oli.clicks("Retry all")
        oli.sees("30 installs", within="h1")
        oli.sees("Sitecrew will stage each install again, with all its attempts; it begins with the next batch.")
        assert [order for order in orders if f"{order}-g1 " not in oli.reads("main")] == []
        assert oli.is_usable() == []
        oli.clicks("Retry 30 installs")
        oli.sees("30 asked: 30 staged")
        for order in orders:
            crew.house.until("mail.sent", order)
        oli.opens("/")
        oli.sees_no(".group")
        assert len(log(oli, actor="oli", kind="install.retry")) == 30


def test_a_site_is_re_installed_without_waiting_for_the_timer(crew: Crew) -> None:
    order = crew.order()
    domain = f"{order.replace('-', '')}.example"
    crew.house.until("mail.sent", order)
    with crew.timer_paused(), crew.page("oli") as oli:
        looks_at(oli, order)
        oli.clicks("Re-install")
        oli.sees("Everything that the customer has put there is deleted")
        oli.writes(f"Type the domain to confirm: {domain}", "other.example")
        oli.clicks("Re-install")
        oli.sees(f"must be {domain}: type it exactly")
        assert "422" in oli.seen()["errors"][0]
        assert oli.is_usable() == []
        oli.writes(f"Type the domain to confirm: {domain}", domain)
        oli.clicks("Re-install")
        oli.sees("1 asked: 1 staged")
        crew.due(1)
        oli.opens("/installs")
        oli.sees(domain)
        oli.clicks("Run now")
        oli.sees("1 asked: 1 sent to an installer")
        oli.sees_no(f"text={domain}")
        oli.opens(f"/installs/{order}-g2")
        oli.sees_element("h1 .badge.installed")
        crew.house.until("mail.sent", order, 2)
        assert len(crew.house.letters(order)) == 2
        assert "oli" in log(oli, order=order, kind="order.reinstall")[0]


def test_staging_is_switched_off_and_the_next_order_installed_at_once(crew: Crew) -> None:
    with crew.timer_paused(), crew.page("eve", width=PHONE, scheme="dark") as eve:
        switched(eve, "Stage installs", "Off")
        order = crew.order()
        crew.house.until("mail.sent", order)
        looks_at(eve, order)
        eve.sees_element("h1 .badge.installed")
        switched(eve, "Stage installs", "On")
        waiting = crew.order()
        crew.due(1)
        looks_at(eve, waiting)
        eve.sees_element("h1 .badge.staged")
        assert "eve" in log(eve, kind="site_type.configure")[0]
    crew.house.until("mail.sent", waiting)


def switched(page: Page, switch: str, to: str) -> None:
    """Turn a switch of static sites."""
    page.opens("/settings")
    page.chooses(switch, to, within=STATIC)
    page.clicks("Save", within=STATIC)
    page.sees("1 asked: 1 in force")
    page.sees(f"{to.lower()} set by staff", within=STATIC)


STATIC = "section:has(h2:text-is('static'))"


def test_the_welcome_email_is_switched_off_and_no_customer_gets_one(crew: Crew) -> None:
    with crew.page("eve", width=PHONE) as eve:
        switched(eve, "Send the welcome email", "Off")
        order = crew.order()
        crew.house.until("mail.suppressed", order)
        looks_at(eve, order)
        eve.sees_element("h1 .badge.installed")
        eve.sees_element(".badge.suppressed")
        assert crew.house.letters(order) == []  # the mailbox has none to this customer
        switched(eve, "Send the welcome email", "On")
        crew.house.until("mail.sent", crew.order())


def test_the_timer_is_paused_and_begins_no_batch_until_it_is_resumed(crew: Crew) -> None:
    with crew.page("oli") as oli:
        oli.opens("/workers")
        oli.clicks("Pause")
        oli.sees("begin no batch until somebody resumes the timer")
        assert oli.is_usable() == []
        oli.writes("Reason (optional)", "moving a server")
        oli.clicks("Pause")
        oli.sees("1 asked: 1 paused")
        oli.sees("no batch begins")
        crew.batch_over()
        order = crew.order()
        crew.due(1)
        crew.batch_over()
        crew.batch_over()
        looks_at(oli, order)
        oli.sees("when the timer is resumed")
        oli.opens("/")
        oli.sees("The timer is paused")
        oli.clicks("Resume it on the page Workers", "link")
        oli.clicks("Resume")
        oli.sees("1 asked: 1 resumed")
        oli.sees_no("text=no batch begins")
        oli.opens(f"/installs/{order}-g1")
        oli.sees_element("h1 .badge.installed")
        assert "moving a server" in log(oli, actor="oli", kind="timer.pause")[0]


def test_a_parked_message_is_corrected_and_its_order_is_carried_out(crew: Crew) -> None:
    with crew.page("oli") as oli:
        oli.opens("/parked")
        stays(oli)
        customer = {"name": "Jo Miller", "email": "jo@customer.example"}
        crew.house.publish(
            OrderPlaced(order_id="mistyped", site_type="statik", domain="mistyped.example", customer=customer)
        )
        oli.sees("mistyped", within="tbody")
        assert oli.runs(UNTOUCHED), "it appeared without loading the page again"
        oli.clicks("order.placed.v1", "link")
        oli.sees("statik")
        assert oli.is_usable() == []
        oli.clicks("Correct it")
        label = "The whole body; it may contain secrets"
        body = str(oli.do(["getByLabel", label], ["inputValue"]))
        assert json.loads(body)["data"]["site_type"] == "statik"
        assert oli.is_usable() == []
        oli.writes(label, body.replace("statik", "static"))
        oli.clicks("Requeue it corrected")
        oli.sees("1 back in their queues")
        oli.sees("No message is parked.")
        crew.house.until("mail.sent", "mistyped")
        assert "oli" in log(oli, kind="message.requeued")[0]


def test_signing_out_everywhere_ends_the_sessions_in_all_browsers(crew: Crew) -> None:
    with crew.page("vic") as office, crew.page("vic", width=PHONE, scheme="dark") as phone:
        office.opens("/installs")
        phone.opens("/account")
        phone.clicks("Sign out everywhere")
        phone.sees("Sign in to Sitecrew")
        office.sees("Sign in to Sitecrew")  # the page notices by itself
        office.seen()  # among it the answer 401 by which it does
        office.opens("/")
        office.sees("Sign in to Sitecrew")
        phone.signs_in("vic", PASSWORD)
        assert any("vic" in line for line in log(phone, kind="staff.signed_out_everywhere"))
