"""Turns what is known about a finished install into the welcome letter, in the customer's language.

Pure: templates are read once, when `Letters` is made; the same input gives the same bytes. docs/letters.md tells
what templates know.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import css_inline
import idna

from foundation.config.settings import Mailer
from services.mailer.addresses import domain_of, sender_of, with_ascii_domain
from services.mailer.causes import CAUSES
from services.mailer.content import UNPRINTABLE, PanelLogin, Welcome, sample
from services.mailer.stationery import Stationery, broken

__all__ = ["Letters", "PanelLogin", "Welcome", "letters_of", "sample"]

# Python's own folding of a long display name drops its quotes: "A, b@evil.example, ..." would become further
# recipients (seen on 3.11.7). Address headers are therefore written here, and never folded again.
_POLICY = EmailPolicy(refold_source="none")

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
"""Billing systems hand out names as they stand in their web pages: `M&uuml;ller`."""


class Letters:
    """The letters of one hosting company.

    `templates` is the operator's directory (see `Stationery`), `sender` is `Name <addr>`, `brand` the company's
    name, `support` an e-mail address or a URL, `locale` the language of letters to customers of no known one, and
    `nameservers` those that a customer may have his domain use. Raises ConfigurationError for a sender or a
    directory that cannot be used, and Failed (`template_broken`) for a template that cannot be read.
    """

    def __init__(
        self,
        templates: Path | None,
        sender: str,
        brand: str,
        support: str | None = None,
        locale: str = "en",
        nameservers: Sequence[str] = (),
    ) -> None:
        name, self._sender = sender_of(sender)
        self._brand = _clean(brand)
        self._from = _mailbox("From", _clean(name) or self._brand, self._sender)
        self._support = _clean(support or "")
        self._locale = locale
        self._nameservers = list(nameservers)
        self._stationery = Stationery(templates)
        self._inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)

    @property
    def languages(self) -> list[str]:
        """Those that there are templates for, besides the ones without a language."""
        return self._stationery.languages("welcome")

    def render(self, welcome: Welcome, date: datetime) -> EmailMessage:
        """The letter, dated `date` (timezone-aware). Raises Failed: `template_broken` (configuration), or
        `recipient_refused` (permanent) if the customer's address is none."""
        wanted = [welcome.locale or self._locale, self._locale]
        language = self._stationery.language("welcome", welcome.site_type, wanted)
        values = self._values(welcome, language or self._unnamed(welcome.site_type), date)
        subject, text = (self._part(part, welcome.site_type, language, values) for part in ("subject", "txt"))
        html = self._html(welcome.site_type, language, values)
        recipient = _recipient(welcome.customer_email)
        message = EmailMessage(_POLICY.clone(utf8=not recipient.isascii()))
        message.set_raw("From", self._from)
        message.set_raw("To", _mailbox("To", _name(welcome.customer_name), recipient))
        message["Subject"] = _clean(subject)
        message["Date"] = date.astimezone(UTC)
        message["Message-ID"] = f"<welcome.{welcome.name}@{domain_of(self._sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        _fill(message, re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n", html)
        message["Content-Language"] = values["lang"]  # last: what begins with Content- moves into the first part
        return message

    def _unnamed(self, site_type: str) -> str:
        """The language of templates that name none: ours are English, the operator's are in his own."""
        name = self._stationery.name("welcome", "txt", site_type)
        return "en" if self._stationery.is_ours(name) else self._locale

    def _part(self, part: str, site_type: str, language: str, values: dict[str, Any]) -> str:
        return self._stationery.render(self._stationery.name("welcome", part, site_type, language), values)

    def _html(self, site_type: str, language: str, values: dict[str, Any]) -> str | None:
        """None for a language that has a text only."""
        if language and not self._stationery.has("welcome", "html", site_type, language):
            return None
        try:
            return self._inliner.inline(self._part("html", site_type, language, values))
        except ValueError:
            file = self._stationery.file(self._stationery.name("welcome", "html", site_type, language))
            raise broken(f"{file}: its style sheet cannot be understood") from None

    def _values(self, welcome: Welcome, language: str, date: datetime) -> dict[str, Any]:
        """What templates know. Names are cleaned: none of them can begin a line of its own."""
        support = self._support
        records = welcome.records
        return {entry.name: getattr(welcome, entry.name) for entry in fields(welcome)} | {
            "customer_name": _name(welcome.customer_name),
            "application": _clean(welcome.application),
            "domain": _readable(welcome.domain),
            "domain_url": _at(welcome.site_url, _readable(welcome.domain)),
            "reinstalled": welcome.reinstalled,
            "records": records,
            "nameservers": self._nameservers,
            "dns_name": welcome.domain,
            "dns_type": "AAAA" if ":" in welcome.address else "A",
            "dns_first": bool(records or self._nameservers) and not welcome.temporary,
            "lang": language.replace("_", "-"),
            "date": date,
            "brand": self._brand,
            "support": support,
            "support_link": _link(support),
        }


def letters_of(own: Mailer) -> Letters:
    """Letters as the settings want them. Raises as `Letters` does."""
    return Letters(own.templates, own.sender, own.brand, own.support, own.locale, own.nameservers)


def _fill(message: EmailMessage, text: str, html: str | None) -> None:
    message.set_content(text, cte=_encoding(text))
    if html is not None:
        message.add_alternative(html, subtype="html", cte=_encoding(html))
        message.set_boundary("=_" + hashlib.sha256(f"{text}\0{html}".encode()).hexdigest()[:40])


def _clean(text: str) -> str:
    """One line: no line ends, no control characters, nothing that turns the direction of the writing around it."""
    printable = (" " if unicodedata.category(letter) in UNPRINTABLE else letter for letter in text)
    return " ".join("".join(letter for letter in printable if letter not in _BIDI_CONTROLS).split())


def _name(text: str) -> str:
    """A person's name, as people write it."""
    return _clean(_ENTITY.sub(lambda entity: unescape(entity[0]), text))


def _readable(domain: str) -> str:
    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


def _link(support: str) -> str:
    """A web page as it is; an address for mail programs, which not all know domains beyond ASCII."""
    if "://" in support or not support:
        return support
    try:
        return f"mailto:{with_ascii_domain(support)}"
    except ValueError:
        return f"mailto:{support}"


def _at(url: str, domain: str) -> str:
    """Where a site answers once the domain leads to the server that it answers at now."""
    now = urlsplit(url)
    return f"{now.scheme}://{domain}{f':{now.port}' if now.port else ''}/"


def _recipient(address: str) -> str:
    try:
        return with_ascii_domain(address)
    except ValueError:
        detail = "the customer's e-mail address is not one that mail can be sent to"
        raise CAUSES.failed("recipient_refused", detail) from None


def _mailbox(header: str, name: str, address: str) -> str:
    """`name <address>` for an address header: quoted if it is ASCII, else encoded and folded (RFC 2047)."""
    if not name:
        return address
    if name.isascii() and "=?" not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{Header(name, 'utf-8', maxlinelen=75, header_name=header).encode()} <{address}>"


def _encoding(text: str) -> str:
    """As readable as every server accepts: RFC 5322 allows 998 bytes a line."""
    short = all(len(line) <= 998 for line in text.split("\n"))
    return "7bit" if text.isascii() and short else "quoted-printable"
