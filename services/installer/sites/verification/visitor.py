"""An HTTP client for which a site's name already leads to the server's own web server, whatever the DNS says."""

import html
import re
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx2

from foundation.addresses import SCHEME_PORTS, HostPort
from foundation.hosting.web import BROWSER, WebFront
from foundation.passwords import without
from services.installer.sites.causes import failed

_TRUSTED = 600.0  # seconds for which the machine's CAs are taken for unchanged
_TIMEOUT = 10.0  # seconds for one answer
_PATIENCE = 5.0  # seconds during which a refused or cut connection is tried again: a web server may be reloading
_PAUSE = 0.2
_LARGEST = 2 * 1024 * 1024  # bytes read of an answer; the title stands near the top
_HOPS = 5  # redirects that are followed
_WORDS = 300  # letters repeated of an answer that was not expected


@dataclass(frozen=True)
class Answer:
    """The answer for a page, after redirects within the same site."""

    asked: str
    """What was requested where, for messages."""
    status: int
    location: str | None
    body: str = field(repr=False)
    """The body as received: a header's value that is not a secret, such as `en`, may be part of an expected text."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that `words` masks."""

    @property
    def words(self) -> str:
        """The beginning of the text that a person would see, for messages."""
        body = without(self.secrets, self.body)
        text = re.sub(r"(?is)<(script|style|head)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", " ", body)
        shown = "".join(letter if letter.isprintable() else " " for letter in html.unescape(text))
        return without(self.secrets, " ".join(shown.split()))[:_WORDS]


class Visitor:
    """Requests pages until `deadline`. Raises `Failed`: web_down if nothing takes connections at the server's own
    address, web_silent if nothing answers there, verify_failed if there is no answer for another reason.

    `secrets` are masked where an answer is quoted.
    """

    def __init__(self, front: WebFront, deadline: datetime, secrets: Iterable[str] = ()) -> None:
        self._front = front
        self._deadline = deadline
        self._secrets = (*secrets, *front.headers.values())
        self._client = httpx2.Client(trust_env=False, follow_redirects=False, verify=_trust(front))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._client.close()

    def visit(self, url: str, status: int = 200) -> Answer:
        """The answer at a URL. Redirects to the same page of the same site (to https, and between a bare name and its
        `www.`) are followed, unless that is what is expected; any other redirect is the answer."""
        here, seen = url, {url}
        while True:
            answer = self._ask(urlsplit(here), urlsplit(url))
            there = urljoin(here, answer.location or "")
            if answer.status == status or not answer.location or not _same_page(urlsplit(here), urlsplit(there)):
                return answer
            if there in seen or len(seen) > _HOPS:
                raise failed("verify_failed", f"{answer.asked} redirects in a loop: {' -> '.join(sorted(seen))}")
            seen.add(there)
            here = there

    def _ask(self, url: SplitResult, first: SplitResult) -> Answer:
        scheme, place = self._place(url, first)
        path = f"{url.path or '/'}{'?' * bool(url.query)}{url.query}"
        address = f"{scheme}://{place}{path}"
        asked = f"{address} with Host: {url.netloc}"
        if scheme == "https" and first.scheme == "http":
            setting = self._front.setting
            asked += f' (where http redirects; {setting}.scheme = "https" would ask {setting}.web_address itself)'
        try:
            return self._patiently(asked, address, url)
        except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as error:
            code = _code(error) if place == HostPort.parse(self._front.address) else "verify_failed"
            if isinstance(error, httpx2.TimeoutException):
                raise failed(code, f"{asked} did not answer in time") from None
            told = f"{type(error).__name__}: {error}"
            raise failed(code, f"{asked} did not answer: {told}{self._advice(told)}") from None

    def _place(self, url: SplitResult, first: SplitResult) -> tuple[str, HostPort]:
        """The server's own address; after a redirect from http to https, that host's port there."""
        own = HostPort.parse(self._front.address)
        if (url.scheme, url.port) == (first.scheme, first.port):
            return self._front.spoken or url.scheme, own
        return url.scheme, HostPort(own.host, url.port or SCHEME_PORTS[url.scheme])

    def _advice(self, told: str) -> str:
        setting = self._front.setting
        if "CERTIFICATE_VERIFY_FAILED" in told:
            return f" (set {setting}.web_ca_file to its CA, or turn {setting}.web_check_certificates off)"
        if "WRONG_VERSION_NUMBER" in told or "record layer" in told:
            return f" (it does not speak TLS there: correct {setting}.web_address or {setting}.web_scheme)"
        return ""

    def _patiently(self, asked: str, address: str, url: SplitResult) -> Answer:
        """The answer, with retries while there is no connection; the deadline bounds everything."""
        give_up = time.monotonic() + min(_PATIENCE, self._seconds_left())
        while True:
            try:
                return self._get(asked, address, url)
            except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
                if time.monotonic() >= give_up or "SSL" in str(error):
                    raise
                time.sleep(_PAUSE)

    def _get(self, asked: str, address: str, url: SplitResult) -> Answer:
        timeout = max(0.1, min(_TIMEOUT, self._seconds_left()))
        latest = time.monotonic() + timeout
        body = bytearray()
        headers = {"User-Agent": BROWSER, "Accept": "text/html,*/*", **self._front.headers, "Host": url.netloc}
        if not address.startswith(f"{url.scheme}:"):  # as the proxy that we are asking behind
            headers["X-Forwarded-Proto"] = url.scheme
        named = {"sni_hostname": url.hostname or ""}
        with self._client.stream("GET", address, headers=headers, timeout=timeout, extensions=named) as response:
            for piece in response.iter_bytes():
                body += piece
                # A server that drips a byte a second never runs into a read timeout.
                if time.monotonic() > latest:
                    raise httpx2.ReadTimeout("the answer did not end in time")
                if len(body) > _LARGEST:
                    break
            text = body.decode(response.encoding or "utf-8", errors="replace")
            return Answer(asked, response.status_code, response.headers.get("location"), text, self._secrets)

    def _seconds_left(self) -> float:
        return (self._deadline - datetime.now(UTC)).total_seconds()


def _code(error: Exception) -> str:
    """The cause if the server's own address does not answer. A TLS handshake that fails may be a site's own matter."""
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) and "SSL" not in str(error):
        return "web_down"
    return "web_silent" if isinstance(error, httpx2.TimeoutException) else "verify_failed"


def _trust(front: WebFront) -> ssl.SSLContext | bool:
    if not front.check_certificates:
        return False
    if front.ca_file is None:
        return _machines_trust(int(time.monotonic() / _TRUSTED))
    try:
        return _trusting(front.ca_file, front.ca_file.stat().st_mtime_ns)
    except OSError as error:
        reason = error.strerror or str(error)
        raise failed("verify_failed", f"{front.setting}.web_ca_file: cannot use {front.ca_file}: {reason}") from None


@lru_cache(maxsize=8)
def _trusting(ca_file: Path, _changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


@lru_cache(maxsize=1)
def _machines_trust(_while: int) -> ssl.SSLContext:
    """What the machine trusts: reading its CAs takes as long as a small site's page."""
    return httpx2.create_ssl_context(trust_env=False)


def _same_page(here: SplitResult, there: SplitResult) -> bool:
    """Whether a redirect stays on the page: on its host or its `www.`, without going back from https."""
    try:
        ports = [url.port or SCHEME_PORTS[url.scheme] for url in (here, there)]
    except (KeyError, ValueError):
        return False
    names = [(url.hostname or "").removeprefix("www.") for url in (here, there)]
    pages = [(url.path or "/", url.query) for url in (here, there)]
    upgraded = (here.scheme, there.scheme) == ("http", "https")
    if there.username is not None or names[0] != names[1] or pages[0] != pages[1]:
        return False
    return upgraded or (here.scheme == there.scheme and ports[0] == ports[1])
