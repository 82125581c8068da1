"""Turns what is known about a finished install into the welcome letter.

Pure: templates are read once, when `Letters` is made; the same input gives the same bytes. Templates know the
fields of `Welcome`, and `reinstalled`, `brand`, `support`, `support_link`, `dns_name` (the domain in ASCII) and
`dns_type` (`A` or `AAAA`).
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import EmailPolicy
from pathlib import Path
from typing import Any

import css_inline
import idna

from services.mailer.addresses import domain_of, sender_of, with_ascii_domain
from services.mailer.causes import CAUSES
from services.mailer.stationery import Stationery, broken

# Python's own folding of a long display name drops its quotes: "A, b@evil.example, ..." would become further
# recipients (seen on 3.11.7). Address headers are therefore written here, and never folded again.
_POLICY = EmailPolicy(refold_source="none")

_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_VERBATIM = ("url", "site_url", "login_url", "address", "domain", "username", "password")


@dataclass(frozen=True)
class PanelLogin:
    """Access to the hosting account's control panel, in the clear."""

    url: str
    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True)
class Welcome:
    """What one welcome letter is made from. Passwords are in the clear here, and nowhere before.

    Raises ValueError, naming the field and never its value, if a login or a URL cannot stand on one line, or a
    URL is not an http(s) one. The names of people and things are not refused but cleaned when rendered.
    """

    install_id: str
    order_id: str
    generation: int
    customer_name: str
    customer_email: str
    domain: str
    site_type: str
    application: str
    """What was installed, as people call it: `WordPress`."""
    site_url: str
    address: str
    """The server's external IP address, for the customer's DNS records."""
    login_url: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    resends: int = 0
    """How often staff had the letter sent again: another letter to mail programs, which hide what they know."""
    temporary: bool = False
    """`site_url` is the server's temporary address, because the domain may not point here yet."""
    control_panel: PanelLogin | None = None

    def __post_init__(self) -> None:
        _check(self)

    @property
    def name(self) -> str:
        """What no other letter is called."""
        return f"{self.install_id}.{self.resends}" if self.resends else self.install_id

    @property
    def reinstalled(self) -> bool:
        """This letter is about a further install of the same order."""
        return self.generation > 1


class Letters:
    """The letters of one hosting company.

    `templates` is the operator's directory (see `Stationery`), `sender` is `Name <addr>`, `brand` the company's
    name, `support` an e-mail address or a URL. Raises ConfigurationError for a sender or a directory that cannot
    be used, and Failed (`template_broken`) for a template that cannot be read.
    """

    def __init__(self, templates: Path | None, sender: str, brand: str, support: str | None = None) -> None:
        name, self._sender = sender_of(sender)
        self._brand = _clean(brand)
        self._from = _mailbox("From", _clean(name) or self._brand, self._sender)
        self._support = _clean(support or "")
        self._stationery = Stationery(templates)
        self._inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)

    def render(self, welcome: Welcome, date: datetime) -> EmailMessage:
        """The letter, dated `date` (timezone-aware). Raises Failed: `template_broken` (configuration), or
        `recipient_refused` (permanent) if the customer's address is none."""
        subject, text, html = self._parts(welcome)
        recipient = _recipient(welcome.customer_email)
        message = EmailMessage(_POLICY.clone(utf8=not recipient.isascii()))
        message.set_raw("From", self._from)
        message.set_raw("To", _mailbox("To", _clean(welcome.customer_name), recipient))
        message["Subject"] = subject
        message["Date"] = date.astimezone(UTC)
        message["Message-ID"] = f"<welcome.{welcome.name}@{domain_of(self._sender)}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text, cte=_encoding(text))
        message.add_alternative(html, subtype="html", cte=_encoding(html))
        message.set_boundary("=_" + hashlib.sha256(f"{text}\0{html}".encode()).hexdigest()[:40])
        return message

    def _parts(self, welcome: Welcome) -> tuple[str, str, str]:
        values = self._values(welcome)
        subject, text, html = (
            self._stationery.render("welcome", part, welcome.site_type, values) for part in ("subject", "txt", "html")
        )
        try:
            styled = self._inliner.inline(html)
        except ValueError:
            file = self._stationery.file(self._stationery.name("welcome", "html", welcome.site_type))
            raise broken(f"{file}: its style sheet cannot be understood") from None
        return _clean(subject), re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n", styled

    def _values(self, welcome: Welcome) -> dict[str, Any]:
        """What templates know. Names are cleaned: none of them can begin a line of its own."""
        support = self._support
        return {entry.name: getattr(welcome, entry.name) for entry in fields(welcome)} | {
            "customer_name": _clean(welcome.customer_name),
            "application": _clean(welcome.application),
            "domain": _readable(welcome.domain),
            "reinstalled": welcome.reinstalled,
            "dns_name": welcome.domain,
            "dns_type": "AAAA" if ":" in welcome.address else "A",
            "brand": self._brand,
            "support": support,
            "support_link": support if "://" in support or not support else f"mailto:{support}",
        }


def sample() -> Welcome:
    """An invented install that shows every part of the letter, for previews."""
    return Welcome(
        install_id="1042-g1",
        order_id="1042",
        generation=1,
        customer_name="Alex Morgan",
        customer_email="alex@customer.example",
        domain="shop.example",
        site_type="wordpress",
        application="WordPress",
        site_url="http://203.0.113.7/~shop/",
        address="203.0.113.7",
        login_url="http://203.0.113.7/~shop/wp-login.php",
        username="alex",
        password="only-a-sample-2Kf9",  # noqa: S106
        temporary=True,
        control_panel=PanelLogin("https://panel.host.example:2083/", "shop", "another-sample-x7Qd"),
    )


def _check(login: Welcome | PanelLogin) -> None:
    for name in _VERBATIM:
        value = getattr(login, name, None)
        if value is not None and any(unicodedata.category(letter) in _UNPRINTABLE for letter in value):
            raise ValueError(f"{name} must be one line without control characters")
        if value is not None and name.endswith("url") and not value.startswith(("http://", "https://")):
            raise ValueError(f"{name} must begin with http:// or https://")


def _clean(text: str) -> str:
    """One line: no line ends, no control characters, nothing that turns the direction of the writing around it."""
    printable = (" " if unicodedata.category(letter) in _UNPRINTABLE else letter for letter in text)
    return " ".join("".join(letter for letter in printable if letter not in _BIDI_CONTROLS).split())


def _readable(domain: str) -> str:
    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


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
