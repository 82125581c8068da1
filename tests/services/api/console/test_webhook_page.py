"""The console's page of one webhook."""

import re
from typing import Any

from services.api.access.identity import Role
from services.api.webhooks import deliveries
from services.api.webhooks.posting import Result
from tests.services.api.console.conftest import Browser, Console
from tests.services.api.console.test_pages import installed, text


def added(eve: Browser) -> str:
    """Add a webhook; return its id."""
    eve.post("/staff/webhooks/add", url="https://hooks.example/in", types="install.*")
    named = re.search(r'href="/staff/webhooks/([^"]+)"', eve.get("/staff").text)
    assert named
    return named[1]


def posted(console: Console, hook: str, **result: Any) -> None:
    """Have everything that waits for a webhook be posted, with this result."""
    with console.desk.writing() as uow:
        for delivery in deliveries.claim(uow.connection, hook, 100, uow.now):
            deliveries.record(uow.connection, delivery, Result(**result), uow.now)


def test_a_webhook_shows_its_last_deliveries_with_answer_tries_and_next_try(console: Console) -> None:
    eve = console.browser("eve")
    hook = added(eve)
    assert "Nothing was posted yet." in eve.get(f"/staff/webhooks/{hook}").text
    installed(console)
    posted(console, hook, status=500, answer="<b>out of order</b>")
    page = eve.get(f"/staff/webhooks/{hook}").text
    assert "install.completed" in text(page)
    assert re.search(r"waiting 500 <b>out of order</b> 1 20\S+ \S+ UTC until", text(page))
    assert "<b>out" not in page
    assert "Deliver again" not in text(page)


def test_what_was_delivered_is_delivered_again_with_the_same_id(console: Console) -> None:
    eve = console.browser("eve")
    hook = added(eve)
    installed(console)
    posted(console, hook, status=200, answer="")
    page = eve.get(f"/staff/webhooks/{hook}").text
    ids = re.findall(r'redeliver">.*?name="name" value="([^"]+)"', page)
    assert len(ids) == 3
    again = eve.follow(eve.post("/staff/webhooks/redeliver", name=ids[0]))
    assert text(again).count("waiting") == 1
    assert eve.post("/staff/webhooks/redeliver", name=ids[0]).status_code == 409
    assert "webhook redelivered" in text(eve.get("/activity?actor=eve").text)


def test_a_test_is_sent_and_a_secret_replaced_from_its_page(console: Console) -> None:
    eve = console.browser("eve")
    hook = added(eve)
    assert "webhook.test" in text(eve.follow(eve.post("/staff/webhooks/test", name=hook)))
    shown = re.search(r'<code class="secret">([^<]+)</code>', eve.post("/staff/webhooks/rotate", name=hook).text)
    assert shown
    page = eve.get(f"/staff/webhooks/{hook}").text
    assert shown[1] not in page
    assert "Old secret valid until" in text(page)


def test_only_an_admin_sees_and_changes_a_webhook(console: Console) -> None:
    hook = added(console.browser("eve"))
    ann = console.browser("ann", Role.OPERATOR)
    assert ann.get(f"/staff/webhooks/{hook}").status_code == 403
    for what in ("test", "rotate", "redeliver", "disable"):
        assert ann.post(f"/staff/webhooks/{what}", name=hook, disabled="true").status_code == 403
    assert console.browser("eva").get("/staff/webhooks/none").status_code == 404
