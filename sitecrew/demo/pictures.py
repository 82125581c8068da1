"""Looks at the console and at a customer's site in a browser, and keeps pictures of them."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from foundation.errors import ConfigurationError, SitecrewError

_DRIVER = Path(__file__).parents[2] / "tests" / "console" / "driver.mjs"
"""What drives the browser of the console's tests drives this one."""
_DESKTOP, _PHONE = {"width": 1280, "height": 800}, {"width": 375, "height": 780}


def require_browser() -> str:
    """Return the browser's program. Raises ConfigurationError if it, or what drives it, is missing."""
    browser = shutil.which("chromium")
    if browser is None or not (_DRIVER.parent / "node_modules").is_dir():
        raise ConfigurationError("there is no browser for pictures: run script/bootstrap browser")
    return browser


class Camera:
    """A window of a browser, of which pictures are kept."""

    def __init__(self, driver: subprocess.Popen[str], url: str, folder: Path) -> None:
        self._driver = driver
        self._folder = folder
        self.pictures: list[Path] = []
        self._ask(open="page", at=url, options={"viewport": _DESKTOP}, scripts=[])

    def sign_in(self, name: str, password: str) -> None:
        """Sign in to the console, and keep a picture of how."""
        self.look("/sign-in", "sign-in")
        self._do("fill", "#name", name)
        self._do("fill", "#password", password)
        self._do("press", "#password", "Enter")
        self._do("waitForSelector", "nav.menu")

    def look_at_all(self, order_id: str, site_url: str) -> None:
        """Look at an order that is done on the console's pages, and at its site."""
        order, done = f"/orders/{order_id}", (".badge.installed", ".badge.sent")
        self.look("/", "needs-you")
        self.look("/installs?state=all", "installs", done[0])
        self.look(order, "order", *done)
        self.look("/letters", "letters", done[1])
        self.look("/activity", "activity")
        self.look(site_url, "site")
        self._do("setViewportSize", _PHONE)
        self.look("/installs?state=all", "installs-on-a-phone", done[0])
        self.look(order, "order-on-a-phone", *done)

    def look(self, address: str, name: str, *expected: str) -> None:
        """Open a page, wait for the elements that are expected there, and keep a picture."""
        self._do("goto", address)
        for selector in expected:
            self._do("waitForSelector", selector)
        path = self._folder / f"{len(self.pictures) + 1}-{name}.png"
        self._do("screenshot", {"path": str(path), "fullPage": True, "animations": "disabled"})
        self.pictures.append(path)

    def _do(self, method: str, *given: Any) -> None:
        self._ask(page="page", do=[[method, *given]])

    def _ask(self, **asked: Any) -> None:
        if self._driver.stdin is None or self._driver.stdout is None:
            raise ValueError("it was started without pipes")
        self._driver.stdin.write(f"{json.dumps(asked)}\n")
        self._driver.stdin.flush()
        line = self._driver.stdout.readline()
        told: Mapping[str, Any] = json.loads(line) if line else {"error": "it has ended"}
        if "error" in told:
            raise SitecrewError(f"the browser does not see what it should: {told['error']}")


@contextmanager
def camera(url: str, folder: Path) -> Iterator[Camera]:
    """Open a window of a browser without a screen; relative addresses begin at `url`. Raises SitecrewError whenever
    something does not appear there within half a minute."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = ["node", str(_DRIVER), require_browser()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:  # noqa: S603 - ours
        try:
            yield Camera(driver, url, folder)
        finally:
            if driver.stdin:
                driver.stdin.close()  # it ends with its input
