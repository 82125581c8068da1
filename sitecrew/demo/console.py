"""Looks at the console as staff do, and at the HTTP API as the shop does that placed the orders."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep

import httpx2

from foundation.errors import SitecrewError

_PATIENCE = 30.0
"""Seconds that the console may be behind what has happened."""
_PAUSE = 0.1
_SECONDS = 30.0
"""Seconds that one page may take."""


@dataclass(frozen=True)
class Shown:
    """Which state an install and its email are shown in; None where nothing is shown."""

    install: str | None = None
    email: str | None = None

    def __str__(self) -> str:
        return f"its install as {self.install or 'unknown'} and its email as {self.email or 'unknown'}"


DONE = Shown("installed", "sent")


@contextmanager
def signed_in(url: str, name: str, password: str) -> Iterator["Visit"]:
    """Sign in by the console's form, and out at the end. Raises SitecrewError if it does not answer, or not as it
    should."""
    with httpx2.Client(base_url=url, timeout=_SECONDS) as browser:
        try:
            visit = Visit(browser)
            visit.sign_in(name, password)
            yield visit
            visit.send("/sign-out")
        except httpx2.HTTPError as error:
            raise SitecrewError(f"the console at {url} does not answer: {error}") from None


class Visit:
    """A visit to the console, with what a browser keeps of it: a cookie, and what every form must bear."""

    def __init__(self, browser: httpx2.Client) -> None:
        self._browser = browser
        self._form_token = ""

    @property
    def _place(self) -> str:
        return str(self._browser.base_url).rstrip("/")

    def sign_in(self, name: str, password: str) -> None:
        """Raises SitecrewError if the console lets nobody in."""
        self._browser.get("/sign-in").raise_for_status()
        answer = self._browser.post("/sign-in", data={"name": name, "password": password})
        inside = self._browser.get("/account")
        found = re.search(r'name="form_token" value="(\w+)"', inside.text)
        if found is None:
            raise SitecrewError(
                f"{name} cannot sign in to the console at {self._place}: it answers {answer.status_code}"
            )
        self._form_token = found[1]

    def send(self, path: str, **fields: str) -> str:
        """Send a form; return the page that comes back."""
        answer = self._browser.post(path, data={"form_token": self._form_token, **fields})
        if answer.is_error:
            raise SitecrewError(f"the console at {self._place} refuses {path}: it answers {answer.status_code}")
        return answer.text

    def until_done(self, order_id: str, install_id: str) -> Shown:
        """Wait until an order's page shows the install as installed and its email as sent; the console may be a
        little behind. Raises SitecrewError if that takes too long."""
        ends = monotonic() + _PATIENCE
        while (shown := self._order(order_id, install_id)) != DONE:
            if monotonic() > ends:
                raise SitecrewError(
                    f"the email of order {order_id} has arrived, but {_PATIENCE:g} s later the console at "
                    f"{self._place} shows {shown}: see the api's log"
                )
            sleep(_PAUSE)  # the page is not told when the projection is up to date
        return shown

    def _order(self, order_id: str, install_id: str) -> Shown:
        page = self._browser.get(f"/orders/{order_id}").text
        section = re.search(rf'href="/installs/{re.escape(install_id)}">.*?</section>', page, re.DOTALL)
        return Shown(*re.findall(r'class="badge (\w+)"', section[0])[:2]) if section else Shown()

    def new_token(self, name: str, source: str) -> str:
        """Have the console create a token for the HTTP API, which may see what that source has placed."""
        page = self.send("/staff/tokens/add", name=name, source=source, scopes="orders:read")
        found = re.search(r'class="secret">([^<]+)<', page)
        if found is None:
            raise SitecrewError(f"the console at {self._place} shows no new token")
        return found[1]

    def told(self, order_id: str, token: str) -> Shown:
        """Return what the HTTP API tells of an order. Raises SitecrewError if it does not know it."""
        answer = self._browser.get(f"/v1/orders/{order_id}", headers={"Authorization": f"Bearer {token}"})
        if answer.is_error:
            raise SitecrewError(f"{answer.url} answers {answer.status_code}")
        order = answer.json()
        return Shown(order.get("install_state"), (order.get("letter") or {}).get("state"))
