"""Does what the customer does with the email: takes the login from it, and logs in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import httpx2

from foundation.errors import NotFound
from sitecrew.stack.servers.mailbox import read_message

_DASHBOARD = ('id="wpwrap"', 'id="adminmenu"')
_SECONDS = 60.0


@dataclass(frozen=True)
class Credentials:
    """An application's login, from the email."""

    username: str
    password: str = field(repr=False)


def read_credentials(eml: Path) -> Credentials:
    """The first `Username: ` and `Password: ` lines of the email's text part.

    Raises NotFound if there are none (sites without a login have none), OSError if the file cannot be read.
    """
    text = read_message(eml).get_body(("plain",))
    lines = text.get_content().split("\n") if text is not None else []
    username, password = _first(lines, "Username: "), _first(lines, "Password: ")
    if username is None or password is None:
        raise NotFound(f"there is no login in {eml.name}; is this the welcome email of a site that has one?")
    return Credentials(username, password)


def wordpress_login(login_url: str, site_url: str, credentials: Credentials, *, connect_to: str | None = None) -> bool:
    """Whether WordPress accepts these credentials, all the way to the dashboard.

    A wrong password is answered with 200 as well: only the final URL and the page itself tell. `connect_to` is a
    `host:port` to connect to instead of the URL's own, which is kept in the Host header (and, with https, verified
    in the certificate). Raises httpx2.HTTPError if the site cannot be reached.
    """
    dashboard = httpx2.URL(urljoin(f"{site_url.rstrip('/')}/", "wp-admin/"))
    form = {
        "log": credentials.username,
        "pwd": credentials.password,
        "wp-submit": "Log In",
        "redirect_to": str(dashboard),
        "testcookie": "1",
    }
    with (
        httpx2.HTTPTransport() as direct,
        httpx2.Client(transport=_by_way_of(connect_to, direct), follow_redirects=True, timeout=_SECONDS) as browser,
    ):
        browser.get(login_url)  # sets the cookie that WordPress requires for a login
        page = browser.post(login_url, data=form)
    arrived = (page.url.host, page.url.port, page.url.path) == (dashboard.host, dashboard.port, dashboard.path)
    return page.is_success and arrived and all(mark in page.text for mark in _DASHBOARD)


def _first(lines: Iterable[str], label: str) -> str | None:
    return next((line.rstrip("\r").removeprefix(label) for line in lines if line.startswith(label)), None)


def _by_way_of(connect_to: str | None, direct: httpx2.HTTPTransport) -> httpx2.BaseTransport:
    """Below redirects and cookies, so that those still see the site's own name."""
    if connect_to is None:
        return direct
    place = httpx2.URL(f"//{connect_to}")

    def send(request: httpx2.Request) -> httpx2.Response:
        elsewhere = httpx2.Request(
            request.method,
            request.url.copy_with(host=place.host, port=place.port),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return direct.handle_request(elsewhere)

    # "mock" by name only: it is httpx2's way to put a function in a transport's place
    return httpx2.MockTransport(send)
