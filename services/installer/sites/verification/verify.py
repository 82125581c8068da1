"""The proof of an installed site: it answers over HTTP, at the server's own address and under its own names."""

import html
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlsplit

from foundation.addresses import HostPort, bracketed
from foundation.errors import Failed
from foundation.hosting import Server
from foundation.hosting.web import WebFront
from services.installer.sites.causes import failed
from services.installer.sites.verification.visitor import Answer, Visitor

_QUOTES = "\"'`\u00b4\u00ab\u00bb" + "".join(map(chr, (*range(0x2018, 0x2020), 0x2032, 0x2033, 0x2039, 0x203A)))
_TYPOGRAPHY = str.maketrans({**dict.fromkeys(_QUOTES), "\u2026": "...", "\u00d7": "x", "\u2122": "(tm)"})
_DASHES = re.compile("[-\u2010-\u2015\u2212]+")
_AT_ONCE = 2  # pages; the web server has others to serve
_SHUT = {401: "wants a login", 403: "denies access to strangers", 407: "wants a login", 429: "limits the rate of"}


@dataclass(frozen=True)
class Page:
    """A URL of the site, and what its answer must be."""

    url: str
    wanted: tuple[str, ...]
    """Texts that the answer must contain."""
    unwanted: tuple[str, ...] = ()
    """Texts that it must not contain."""
    status: int = 200
    hint: str = ""
    """Further advice if it fails."""

    def at(self, host: str) -> "Page":
        """The same page under another name of the site."""
        parts = urlsplit(self.url)
        netloc = bracketed(host) if parts.port is None else str(HostPort(host, parts.port))
        hint = f"; {host} is the site's second name; sites.*.www = false disables it"
        return replace(self, url=parts._replace(netloc=netloc).geturl(), hint=hint)


def front_of(server: Server) -> WebFront:
    """How to reach a server's sites; by HTTP at its address if its driver does not say."""
    front = getattr(server, "web", None)
    return front if isinstance(front, WebFront) else WebFront(address=server.web_address)


def verify(front: WebFront, pages: Iterable[Page], deadline: datetime, secrets: Iterable[str] = ()) -> None:
    """Request each page at the server's own address, with the host name from its URL; DNS need not be ready. The first
    is requested by itself, the others then at the same time.

    Raises `Failed` (verify_failed, web_down, web_silent) unless each answers with its status, all expected and no
    forbidden texts.
    """
    with Visitor(front, deadline, secrets) as visitor, ThreadPoolExecutor(_AT_ONCE) as pool:

        def look(page: Page) -> None:
            try:
                _verify(visitor.visit(page.url, page.status), page, front.setting)
            except Failed as failure:
                raise failed(failure.cause.code, f"{failure.cause.detail}{page.hint}") from None

        first, *others = pages
        look(first)
        for _ in pool.map(look, others):
            pass


def shows(page: str, wanted: str) -> bool:
    """Whether HTML shows a text, ignoring case, spacing and typography: applications beautify quotes and dashes. The
    text is what a person reads: `&amp;` in it means these five characters."""
    shown, looked_for = html.unescape(page), _plain(wanted)
    return looked_for in _plain(shown) if looked_for else wanted in shown


def _plain(text: str) -> str:
    text = _DASHES.sub("-", text.translate(_TYPOGRAPHY))
    return " ".join(text.split()).casefold()


def _verify(answer: Answer, page: Page, setting: str) -> None:
    if answer.status != page.status:
        raise failed("verify_failed", f"{answer.asked} answered {unexpected(answer, page.status, setting)}")
    for text in page.wanted:
        if not shows(answer.body, text):
            detail = f"answered {answer.status} without the expected text {text!r}{_said(answer)}"
            raise failed("verify_failed", f"{answer.asked} {detail}")
    for text in page.unwanted:
        if shows(answer.body, text):
            detail = f"answered {answer.status} with the text {text!r}, a sign of failure{_said(answer)}"
            raise failed("verify_failed", f"{answer.asked} {detail}")


def unexpected(answer: Answer, expected: int, setting: str) -> str:
    """An answer with an unexpected status, in words: where it redirects, what it says, which setting may help."""
    if answer.location:
        elsewhere = f"{answer.status} towards {answer.location}, expected {expected}: that is another page or site"
        return f"{elsewhere}; if all sites are served from there, correct {setting}.scheme or {setting}.public_port"
    if answer.status in _SHUT:
        why = f"something in front of the sites {_SHUT[answer.status]}; {setting}.web_headers can identify us"
        return f"{answer.status}, expected {expected}: {why}{_said(answer)}"
    return f"{answer.status}, expected {expected}{_said(answer)}"


def _said(answer: Answer) -> str:
    return f"; it says: {answer.words}" if answer.words else "; it says nothing"
