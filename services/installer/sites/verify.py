"""The only proof of an installed site: it answers over HTTP, at the server's own address and under its own name."""

import html
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx2

from services.installer.sites.causes import failed

_TIMEOUT = 10.0  # seconds for one answer
_PATIENCE = 5.0  # seconds during which a refused or cut connection is tried again: a web server may be reloading
_PAUSE = 0.2
_LARGEST = 2 * 1024 * 1024  # bytes read of an answer; the title stands near the top


@dataclass(frozen=True)
class Page:
    """An address of the site, and what its answer must be."""

    url: str
    wanted: tuple[str, ...]
    """Texts that the answer must contain."""
    unwanted: tuple[str, ...] = ()
    """Texts that it must not contain."""
    status: int = httpx2.codes.OK


@dataclass(frozen=True)
class _Answer:
    status: int
    location: str | None
    body: str


def verify(web_address: str, pages: tuple[Page, ...], deadline: datetime) -> None:
    """Ask `web_address` (host:port) for each page with the Host header of its URL; DNS need not be ready.

    Raises `Failed` (verify_failed) unless each answers with its status, what is wanted, and nothing unwanted.
    """
    with httpx2.Client(trust_env=False, follow_redirects=False) as client:
        for page in pages:
            _verify(client, web_address, page, deadline)


def shows(page: str, wanted: str) -> bool:
    """Whether HTML shows a text, whatever is escaped in either, in whatever case and spacing."""
    return _plain(wanted) in _plain(page)


def _plain(text: str) -> str:
    return " ".join(html.unescape(text).split()).casefold()


def _verify(client: httpx2.Client, web_address: str, page: Page, deadline: datetime) -> None:
    parts = urlsplit(page.url)
    query = f"?{parts.query}" if parts.query else ""
    address = f"http://{web_address}{parts.path or '/'}{query}"
    asked = f"{address} with Host: {parts.netloc}"
    try:
        answer = _patiently(client, address, parts.netloc, deadline)
    except httpx2.TimeoutException:
        raise failed("verify_failed", f"{asked} did not answer in time") from None
    except httpx2.HTTPError as error:
        raise failed("verify_failed", f"{asked} did not answer: {type(error).__name__}: {error}") from None
    if answer.status != page.status:
        towards = f" towards {answer.location}" if answer.location else ""
        raise failed("verify_failed", f"{asked} answered {answer.status}{towards}, expected {page.status}")
    for text in page.wanted:
        if not shows(answer.body, text):
            raise failed("verify_failed", f"{asked} answered {answer.status} without the expected text {text!r}")
    for text in page.unwanted:
        if shows(answer.body, text):
            raise failed("verify_failed", f"{asked} answered {answer.status} with the text {text!r}, a sign of failure")


def _patiently(client: httpx2.Client, address: str, host: str, deadline: datetime) -> _Answer:
    """The answer, after further tries while there is no connection; the deadline bounds everything."""
    give_up = time.monotonic() + min(_PATIENCE, _seconds_until(deadline))
    while True:
        try:
            return _ask(client, address, host, deadline)
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            if time.monotonic() >= give_up:
                raise
            time.sleep(_PAUSE)


def _ask(client: httpx2.Client, address: str, host: str, deadline: datetime) -> _Answer:
    timeout = max(0.1, min(_TIMEOUT, _seconds_until(deadline)))
    latest = time.monotonic() + timeout
    body = bytearray()
    with client.stream("GET", address, headers={"Host": host}, timeout=timeout) as response:
        for piece in response.iter_bytes():
            body += piece
            # A server that drips a byte a second never runs into a read timeout.
            if time.monotonic() > latest:
                raise httpx2.ReadTimeout("the answer did not end in time")
            if len(body) > _LARGEST:
                break
        text = body.decode(response.encoding or "utf-8", errors="replace")
        return _Answer(response.status_code, response.headers.get("location"), text)


def _seconds_until(deadline: datetime) -> float:
    return (deadline - datetime.now(UTC)).total_seconds()
