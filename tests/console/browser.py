"""A browser for tests: Chromium, driven by Playwright in a Node.js process (`driver.mjs`)."""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

HERE = Path(__file__).parent
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
WIDE, PHONE = 1280, 375
"""Widths of windows, in pixels."""
Scheme = Literal["light", "dark"]

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_names = itertools.count(1)
_asked = itertools.count(1)


def chromium() -> str:
    """Return the browser's program. Without one the test is skipped; in CI it fails."""
    found = shutil.which("chromium")
    if found and AXE.exists():
        return found
    missing = "there is no browser: run script/bootstrap browser"
    if "CI" in os.environ:
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def running(program: str) -> Iterator["Browser"]:
    """Run a browser."""
    command = ["node", str(HERE / "driver.mjs"), program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Browser(process)
        finally:
            assert process.stdin
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


class Browser:
    """Opens pages."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **asked: Any) -> Any:
        """Have the driver do something; return its answer. Raises AssertionError if it fails."""
        assert self._process.stdin
        assert self._process.stdout
        id = next(_asked)
        self._process.stdin.write(json.dumps({"id": id, **asked}) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = {}
        while told.get("id") != id:
            line = self._process.stdout.readline()
            assert line, "the browser's driver has ended"
            told = json.loads(line)
        assert "error" not in told, told["error"]
        return told["value"]

    @contextmanager
    def page(
        self, url: str, *, width: int = WIDE, scheme: Scheme = "light", axe: bool = True, **options: Any
    ) -> Iterator["Page"]:
        """Open a page with cookies of its own. At the end it must have seen no error and asked no other host, and no
        script may have come from data."""
        name = f"page {next(_names)}"
        shape = {"viewport": {"width": width, "height": 900}, "colorScheme": scheme, "hasTouch": width == PHONE}
        self.ask(open=name, at=url, options={**shape, **options}, scripts=[str(AXE)] if axe else [])
        page = Page(self, name)
        try:
            try:
                yield page
            except BaseException as error:
                error.add_note(f"{page.do(['url'])} shows: {page.reads('main')[:2000]}")
                raise
            assert page.seen() == {"errors": [], "foreign": [], "ran": []}
        finally:
            self.ask(page=name, close=True)


class Page:
    """A page of the console, and what a person does there. Everything waits until it can be done."""

    def __init__(self, browser: Browser, name: str) -> None:
        self._browser = browser
        self._name = name

    def do(self, *chain: list[Any]) -> Any:
        """Call Playwright's methods, the first one on the page and each other one on what came before."""
        return self._browser.ask(page=self._name, do=chain)

    def seen(self) -> dict[str, list[str]]:
        """Return and forget what should not have happened."""
        found: dict[str, list[str]] = self._browser.ask(page=self._name, seen=True)
        return found

    def opens(self, path: str) -> None:
        self.do(["goto", path])

    def comes_to(self, address: str) -> None:
        """Wait until a page with such an address is there, with all that belongs to it."""
        self.do(["waitForURL", address])

    def signs_in(self, name: str, password: str) -> None:
        self.opens("/sign-in")
        self.writes("Name", name)
        self.writes("Password", password)
        self.clicks("Sign in")
        self.sees_element("nav.menu")

    def clicks(self, name: str, role: str = "button", within: str = "main") -> None:
        self.do(["locator", within], ["getByRole", role, {"name": name, "exact": True}], ["first"], ["click"])

    def writes(self, label: str, text: str) -> None:
        self.do(["getByLabel", label, {"exact": True}], ["fill", text])

    def chooses(self, label: str, option: str, within: str = "main") -> None:
        self.do(["locator", within], ["getByLabel", label], ["selectOption", option])

    def sees(self, text: str, within: str = "main") -> None:
        """Wait until a text is visible."""
        self.do(["locator", within], ["getByText", text], ["first"], ["waitFor"])

    def sees_element(self, selector: str) -> None:
        """Wait until an element is visible."""
        self.do(["locator", selector], ["first"], ["waitFor"])

    def sees_no(self, selector: str) -> None:
        """Wait until no such element is visible."""
        self.do(["locator", selector], ["first"], ["waitFor", {"state": "hidden"}])

    def reads(self, selector: str) -> str:
        """Return an element's words."""
        return " ".join(str(self.do(["locator", selector], ["first"], ["innerText"])).split())

    def count(self, selector: str) -> int:
        return int(self.do(["locator", selector], ["count"]))

    def runs(self, script: str, given: Any = None) -> Any:
        """Run a script of the test's in the page."""
        return self.do(["evaluate", f"((given) => {{ {script} }})({json.dumps(given)})"])

    def reshapes(self, width: int, scheme: Scheme) -> None:
        """Give the window another width, and the system another color scheme."""
        self.do(["setViewportSize", {"width": width, "height": 900}])
        self.do(["emulateMedia", {"colorScheme": scheme}])

    def is_usable(self, *, only_contrast: bool = False) -> list[str]:
        """Return what axe-core finds on the page as it is, and whether it is wider than the window."""
        self.do(["waitForLoadState"])
        at = self.do(["url"])
        rules = {"type": "rule", "values": ["color-contrast"]} if only_contrast else {"type": "tag", "values": _RULES}
        found = self.do(["evaluate", f"axe.run({{runOnly: {json.dumps(rules)}, resultTypes: ['violations']}})"])
        faults = [
            f"{at}: {one['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]
        overflow = self.do(["evaluate", "document.documentElement.scrollWidth - document.documentElement.clientWidth"])
        return [*faults, *([f"{at} is {overflow} px too wide"] if overflow > 0 else [])]
