"""The console's pages about emails: how one looks, and who may see it."""

import re

import pytest
from sqlalchemy import select

from services.api.access.identity import Role
from services.api.projection.previews import previews
from tests.services.api.console.conftest import Console
from tests.services.api.console.test_pages import MARKUP, installed, text


def shown(console: Console, role: Role = Role.SUPPORT) -> tuple[str, str]:
    """Return the page of an email, and its frame, after somebody has asked how it looks."""
    ann = console.browser("ann", role)
    answer = ann.post("/ask", action="preview", id="order-1-g1", back="/letters/order-1-g1")
    console.settle()
    return ann.follow(answer), ann.get("/letters/order-1-g1/html").text


def test_an_email_is_shown_as_it_looks_with_its_passwords_masked(console: Console) -> None:
    installed(console)
    page, frame = shown(console)
    for seen in (text(page), text(frame)):
        assert "shop1.example" in seen
        assert "********" in seen
        assert console.house.installer.password not in seen
    assert "Subject: " in text(page)
    assert 'sandbox src="/letters/order-1-g1/html"' in page
    assert "1 asked" not in text(page)
    assert len(console.house.smtp.sent) == 1
    assert "mail preview" in text(console.browser("eve").get("/activity?actor=ann").text)


def test_a_viewer_does_not_see_what_an_email_says(console: Console) -> None:
    installed(console)
    shown(console)
    joe = console.browser("joe", Role.VIEWER)
    page = joe.get("/letters/order-1-g1")
    assert "Only support and higher roles see what emails say." in text(page.text)
    assert "********" not in page.text
    assert joe.get("/letters/order-1-g1/html").status_code == 403
    assert joe.post("/ask", action="preview", id="order-1-g1").status_code == 403


def test_the_frame_of_an_email_can_do_nothing_but_be_seen(console: Console) -> None:
    installed(console, customer={"name": f"Jo {MARKUP}", "email": "jo@customer.example"})
    ann = console.browser("ann", Role.SUPPORT)
    assert ann.get("/letters/order-1-g1/html").status_code == 404
    ann.post("/ask", action="preview", id="order-1-g1")
    console.settle()
    answer = ann.get("/letters/order-1-g1/html")
    policy = answer.headers["content-security-policy"]
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(policy.split("; "))
    assert "script-src" not in policy
    assert "<script>alert" not in answer.text + ann.get("/letters/order-1-g1").text


def test_while_the_mailer_has_not_answered_the_page_looks_again(console: Console) -> None:
    installed(console)
    ann = console.browser("ann", Role.SUPPORT)
    answer = ann.post("/ask", action="preview", id="order-1-g1", back="/letters/order-1-g1")
    waiting = ann.follow(answer)
    assert "1 not answered yet" in text(waiting)
    assert re.search(r'id="preview" hx-get="/letters/order-1-g1" hx-trigger="every 2s"', waiting)


def test_previews_are_forgotten_after_an_hour(console: Console) -> None:
    installed(console)
    shown(console)
    console.house.clock.moment += console.house.clock.moment.resolution * 3_601_000_000
    console.service._forget_old()
    with console.desk.reading() as connection:
        assert connection.execute(select(previews)).all() == []


@pytest.mark.parametrize("cause", ["smtp_auth", ""])
def test_emails_are_filtered_by_cause(console: Console, cause: str) -> None:
    installed(console)
    page = console.browser("eve").get(f"/letters?cause={cause}").text
    assert ("Nothing matches the filter." in page) == bool(cause)
