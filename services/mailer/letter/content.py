"""What a welcome letter is made from."""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
"""What can't stand on one line: the categories Cc, Cs, Zl and Zp of Unicode."""
_VERBATIM = ("install_id", "url", "site_url", "login_url", "address", "domain", "username", "password")


class Record(NamedTuple):
    """A DNS record, as DNS wants it."""

    name: str
    type: str
    value: str


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
    copy: int = 0
    """How often staff had it sent once more: another letter to mail programs, which hide what they know."""
    temporary: bool = False
    """`site_url` is the server's temporary address, because the domain may not point here yet."""
    control_panel: PanelLogin | None = None
    locale: str | None = None
    """The customer's language, like `de_AT`; the mailer's own if not given."""
    www: bool = False
    """The site answers under `www.` and its domain, too."""
    dns: bool | None = None
    """The customer is told which DNS records lead to the site. None: if the address is a temporary one."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def name(self) -> str:
        """What no other letter is called."""
        return f"{self.install_id}.{self.copy}" if self.copy else self.install_id

    @property
    def reinstalled(self) -> bool:
        """This letter is about a further install of the same order."""
        return self.generation > 1

    @property
    def secrets(self) -> list[str]:
        """What must stand in the letter and nowhere else."""
        panel = self.control_panel.password if self.control_panel else None
        return [secret for secret in (self.password, panel) if secret]

    @property
    def records(self) -> list[Record]:
        """The DNS records that the customer is to create."""
        if not (self.temporary if self.dns is None else self.dns):
            return []
        kind = "AAAA" if ":" in self.address else "A"
        names = [self.domain, f"www.{self.domain}"] if self.www else [self.domain]
        return [Record(name, kind, self.address) for name in names]


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
        if value is not None and UNPRINTABLE.search(value):
            raise ValueError(f"{name} must be one line without control characters")
        if value is not None and name.endswith("url") and not value.startswith(("http://", "https://")):
            raise ValueError(f"{name} must begin with http:// or https://")
