"""Turns what is known about a finished install into the welcome letter, in the customer's language.

Pure: templates are read once, when `Letters` is made; the same input gives the same bytes. docs/letters.md tells
what templates know.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import idna

from foundation.config.settings import Mailer
from services.mailer.addresses import domain_of, sender_of, with_ascii_domain
from services.mailer.causes import MAIL_CAUSES
from services.mailer.letter.content import UNPRINTABLE, PanelLogin, Welcome, sample
from services.mailer.letter.envelope import Letter, content
from services.mailer.letter.inlining import inlined
from services.mailer.letter.templates import Stationery, broken

__all__ = ["Letters", "PanelLogin", "Welcome", "letters_of", "sample"]

_BIDI_CONTROLS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_URL = re.compile(r"(https?://)(?:\[.*?\]|[^/:?#]*)(:\d+)?.*")
"""Its scheme, and its port if there is one."""
_ENTITY = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
"""Billing systems hand out names as they stand in their web pages: `M&uuml;ller`."""


class _Chosen(NamedTuple):
    """The names of the templates that a letter is written on, and their language as HTML's `lang` expects it."""

    subject: str
    text: str
    html: str | None
    """None for a language that has a text only."""
    lang: str


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
        brand, support = _clean(brand), _clean(support or "")
        self._from = _mailbox("From", _clean(name) or brand, self._sender)
        self._locale = locale
        self._stationery = Stationery(templates)
        self._chosen = lru_cache(self._choose)
        self._house: dict[str, Any] = self._stationery.globals | {
            "brand": brand,
            "support": support,
            "support_link": _link(support),
            "nameservers": list(nameservers),
        }

    @property
    def languages(self) -> list[str]:
        """Those that there are templates for, besides the ones without a language."""
        return self._stationery.languages("welcome")

    def render(self, welcome: Welcome, date: datetime) -> Letter:
        """The letter, dated `date` (timezone-aware). Raises Failed: `template_broken` (configuration), or
        `recipient_refused` (permanent) if the customer's address is none."""
        chosen = self._chosen(welcome.site_type, welcome.locale or self._locale)
        values = self._values(welcome, chosen.lang, date)
        subject, text = (self._stationery.render(name, values) for name in (chosen.subject, chosen.text))
        html = self._html(chosen.html, values) if chosen.html else None
        recipient = _recipient(welcome.customer_email)
        message_id = f"<welcome.{welcome.name}@{domain_of(self._sender)}>"
        headers = {
            "From": self._from,
            "To": _mailbox("To", values["customer_name"], recipient),
            "Subject": _encoded("Subject", _clean(subject)),
            "Date": _dated(date.replace(microsecond=0)),
            "Message-ID": message_id,
            "Auto-Submitted": "auto-generated",
            "MIME-Version": "1.0",
            "Content-Language": chosen.lang,
        }
        while "\n\n\n" in text:
            text = text.replace("\n\n\n", "\n\n")
        written = content(headers, text.strip("\n"), html)
        return Letter(self._sender, [recipient], message_id, written, welcome.secrets)

    def _choose(self, site_type: str, locale: str) -> _Chosen:
        """The customer's language if there is a text in it, else the house's, else the one without a name."""
        ours, language = self._stationery, self._stationery.language("welcome", site_type, [locale, self._locale])
        subject, text = (ours.name("welcome", part, site_type, language) for part in ("subject", "txt"))
        only_text = language and not ours.has("welcome", "html", site_type, language)
        html = None if only_text else ours.name("welcome", "html", site_type, language)
        unnamed = "en" if ours.is_ours(text) else self._locale  # the operator's are in his own language
        return _Chosen(subject, text, html, (language or unnamed).replace("_", "-"))

    def _html(self, name: str, values: dict[str, Any]) -> str:
        html = self._stationery.render(name, values)
        try:
            return html if self._stationery.inlined else inlined(html)
        except ValueError:
            raise broken(f"{self._stationery.file(name)}: its style sheet cannot be parsed") from None

    def _values(self, welcome: Welcome, lang: str, date: datetime) -> dict[str, Any]:
        """What templates know. Names are cleaned: none of them can begin a line of its own."""
        domain, records = _readable(welcome.domain), welcome.records
        own = {
            "customer_name": _name(welcome.customer_name),
            "application": _clean(welcome.application),
            "domain": domain,
            "domain_url": _at(welcome.site_url, domain),
            "reinstalled": welcome.reinstalled,
            "records": records,
            "dns_name": welcome.domain,
            "dns_type": "AAAA" if ":" in welcome.address else "A",
            "dns_first": bool(records or self._house["nameservers"]) and not welcome.temporary,
            "lang": lang,
            "date": date,
        }
        return self._house | vars(welcome) | own


def letters_of(own: Mailer) -> Letters:
    """Letters as the settings want them. Raises as `Letters` does."""
    return Letters(own.templates, own.sender, own.brand, own.support, own.locale, own.nameservers)


def _clean(text: str) -> str:
    """One line: no line ends, no control characters, nothing that turns the direction of the writing around it."""
    if not text.isprintable():
        text = _BIDI_CONTROLS.sub("", UNPRINTABLE.sub(" ", text))
    return " ".join(text.split())


def _name(text: str) -> str:
    """A person's name, as people write it."""
    return _clean(_ENTITY.sub(lambda entity: unescape(entity[0]), text))


def _readable(domain: str) -> str:
    try:
        return idna.decode(domain) if "xn--" in domain else domain
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
    return _URL.sub(lambda now: f"{now[1]}{domain}{now[2] or ''}/", url)


def _recipient(address: str) -> str:
    try:
        return with_ascii_domain(address)
    except ValueError:
        detail = "the customer's e-mail address is not one that mail can be sent to"
        raise MAIL_CAUSES.failed("recipient_refused", detail) from None


def _mailbox(header: str, name: str, address: str) -> str:
    """`name <address>` for an address header: the name quoted if it is plain ASCII, else encoded (RFC 2047)."""
    if not name:
        return address
    if _is_plain(name):
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'  # never folded: that would cut the name at its commas
    return f"{_encoded(header, name)} <{address}>"


def _encoded(header: str, text: str) -> str:
    """Folded, and encoded (RFC 2047) unless it is plain ASCII."""
    if _is_plain(text) and len(header) + len(text) <= 70:
        return text
    charset = "us-ascii" if _is_plain(text) else "utf-8"
    return Header(text, charset, maxlinelen=75, header_name=header).encode(linesep="\r\n")


@lru_cache(maxsize=16)
def _dated(date: datetime) -> str:
    """Cached: most letters of a batch are of one second."""
    return format_datetime(date.astimezone(UTC))


def _is_plain(text: str) -> bool:
    """ASCII that nobody takes for encoded, and that fits on a line however it folds."""
    return text.isascii() and "=?" not in text and len(text) < 900
