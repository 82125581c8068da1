"""Every page of the console in a browser, with something on each: for everybody, at any width, in light and dark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.console.browser import PHONE, WIDE, Browser, Page
from tests.console.stage import MARKUP, at_work, furnish, served
from tests.services.api.console.conftest import PASSWORD


def opened(page: Page, path: str) -> None:
    page.opens(path)


def asked(page: Page, path: str, action: str) -> None:
    """What will happen, on the page before it does."""
    page.opens(path)
    page.clicks(action)
    page.comes_to("**/*confirm*")


def selected(page: Page, path: str, action: str) -> None:
    """The same for all that a page lists."""
    page.opens(path)
    page.do(["locator", "input[data-all]"], ["check"])
    page.clicks(action)
    page.comes_to("**/*confirm*")


def corrected(page: Page) -> None:
    """A parked message with its whole body."""
    page.opens("/parked")
    page.clicks("order.placed.v1", "link")
    page.clicks("Correct it")
    page.comes_to("**/parked/edit")


def hooked(page: Page) -> None:
    """A webhook with its deliveries."""
    page.opens("/staff")
    page.do(["locator", "main a[href^='/staff/webhooks/']"], ["first"], ["click"])
    page.comes_to("**/staff/webhooks/*")


PAGES: dict[str, Callable[[Page], None]] = {
    path: partial(opened, path=path)
    for path in (
        "/sign-in",
        "/",
        "/installs",
        "/installs?state=all",
        "/installs?cause=nothing",
        "/installs/order-1001-g1",
        "/installs/order-1005-g1",
        "/orders",
        "/orders/order-1004",
        "/orders/order-1005",
        "/letters",
        "/letters/order-1005-g1",
        "/letters/order-1006-g1",
        "/parked",
        "/activity",
        "/workers",
        "/settings",
        "/staff",
        "/account",
    )
} | {
    "retry a group": partial(asked, path="/", action="Retry all"),
    "cancel an order": partial(asked, path="/orders/order-1004", action="Cancel order"),
    "correct an address": partial(asked, path="/orders/order-1005", action="Correct name or address"),
    "re-install": partial(asked, path="/orders/order-1005", action="Re-install"),
    "send a letter elsewhere": partial(asked, path="/installs/order-1005-g1", action="Send to another address"),
    "pause": partial(asked, path="/workers", action="Pause"),
    "retry the selected": partial(selected, path="/installs", action="Retry"),
    "resolve the selected": partial(selected, path="/installs?state=failed", action="Mark as resolved"),
    "send the selected again": partial(selected, path="/letters", action="Send again"),
    "discard the selected": partial(selected, path="/parked", action="Discard"),
    "correct a message": corrected,
    "a webhook": hooked,
}


@contextmanager
def furnished(
    directory: Path, browser: Browser, furnish: Callable[..., None] = furnish, **options: Any
) -> Iterator[Page]:
    """The admin's browser, before a console with something on every page."""
    with served(directory) as (console, url):
        furnish(console)
        with browser.page(url, **options) as page:
            page.signs_in("eve", PASSWORD)
            yield page


def test_every_page_is_usable_by_everybody_at_any_width_in_light_and_dark(tmp_path: Path, browser: Browser) -> None:
    faults = []
    with furnished(tmp_path, browser) as page:
        for name, visit in PAGES.items():
            page.reshapes(WIDE, "light")
            visit(page)
            for width in (WIDE, PHONE):
                page.reshapes(width, "light")
                faults += [f"{name}, {width} px: {fault}" for fault in page.is_usable()]
                page.reshapes(width, "dark")
                faults += [f"{name}, {width} px, dark: {fault}" for fault in page.is_usable(only_contrast=True)]
    assert not faults, "\n".join(faults)


def test_whatever_can_be_clicked_is_reached_by_the_keyboard_and_shows_that_it_is(
    tmp_path: Path, browser: Browser
) -> None:
    with furnished(tmp_path, browser, axe=False) as page:
        for name in (
            "/",
            "/installs",
            "/installs/order-1001-g1",
            "/orders/order-1005",
            "/workers",
            "/settings",
            "re-install",
        ):
            PAGES[name](page)
            page.runs(NUMBERED)
            wanted, reached = set(range(page.count("[data-number]"))), {0}
            while (number := tabbed(page)) is not None and number not in reached:
                reached.add(number)
            assert reached == wanted, name


NUMBERED = """
    const all = document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary");
    all.forEach((element, number) => { element.dataset.number = number; });
    all[0].focus();
"""
"""Gives a number to everything that can be clicked, and goes to the first."""


def tabbed(page: Page) -> int | None:
    """Press Tab; return the number of what has the focus now, which must be seen. None beyond the last."""
    page.do(["keyboard"], ["press", "Tab"])
    number: Any = page.runs(
        "const it = document.activeElement, style = getComputedStyle(it);"
        "return it === document.body ? null : style.outlineStyle === 'none' ? 'unseen' : Number(it.dataset.number)"
    )
    assert number != "unseen"
    return None if number is None else int(number)


def test_a_failed_install_is_retried_without_a_mouse(tmp_path: Path, browser: Browser) -> None:
    with served(tmp_path) as (console, url), browser.page(url, axe=False) as page:
        furnish(console)
        with at_work(console):
            page.opens("/sign-in?back=/installs/order-1001-g1")
            for text in ("eve", PASSWORD):
                page.do(["keyboard"], ["type", text])
                page.do(["keyboard"], ["press", "Tab"])
            page.do(["keyboard"], ["press", "Enter"])
            page.sees_element("h1 .badge.failed")
            for _ in range(50):
                tabbed(page)
                if page.runs("return document.activeElement.innerText") == "Retry":
                    break
            page.do(["keyboard"], ["press", "Enter"])
            page.sees("1 asked: 1 staged")


def test_no_script_that_came_with_data_runs_on_any_page(tmp_path: Path, browser: Browser) -> None:
    """Even without the policy that would keep browsers from running it."""
    shown = 0
    with furnished(tmp_path, browser, partial(furnish, markup=MARKUP), axe=False, bypassCSP=True) as page:
        for name, visit in PAGES.items():
            visit(page)
            shown += page.reads("main").count(MARKUP)
            assert page.count("main :is(img, script, style, iframe:not([sandbox]), svg:not(.chart, .bar))") == 0, name
        assert shown > 20
        assert page.seen() == {"errors": [], "foreign": [], "ran": []}
        page.runs("document.querySelector('main').innerHTML = given", MARKUP)  # it would run
        page.sees_element("main img")
        assert "img" in page.seen()["ran"]
