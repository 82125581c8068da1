"""The values that events are made of: names with rules, and what a failure is."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
    validate_email,
)

from schemas.names import host_name


class Model(BaseModel):
    """A frozen value. Unknown fields are ignored (a newer minor version may send them), and optional ones that are
    empty: null, or a text without letters. A validation error never repeats the value that was sent: it could be a
    secret. The docstrings of the class and its fields are the descriptions in the exported documents."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_not_given(cls, given: Any) -> Any:
        """Forms, spreadsheets and PHP send "" where nothing was filled in."""
        if isinstance(given, dict):
            for value in given.values():  # one look without a call, for nearly all that comes has nothing empty
                if value is None or (value.__class__ is str and (not value or value.isspace())):
                    return cls._without_empty(given)
        return given

    @classmethod
    def _without_empty(cls, given: dict[Any, Any]) -> dict[Any, Any]:
        fields = cls.model_fields
        return {
            name: value
            for name, value in given.items()
            if name not in fields or fields[name].is_required() or not (value is None or _is_blank(value))
        }


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()


def _one_line(value: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ValueError("must be one line without control characters")
    return value


KEPT = {"kept": True}
"""The context in which to validate what was taken in before."""


def _at_the_door(rule: Callable[[str], str]) -> AfterValidator:
    """A rule for what comes in. Rules change, with their libraries, too: what was taken in stays legible."""

    def follows(value: str, info: ValidationInfo) -> str:
        return value if info.context == KEPT else rule(value)

    return AfterValidator(follows)


_LOCALE = re.compile(r"([a-z]{2,3})(?:[_-]([a-z]{2}))?(?:[_-]([a-z0-9]{4,8}))?", re.IGNORECASE)
"""Language, country, variant: what WordPress's language packs are named by (`de_DE`, `de_DE_formal`)."""


def _locale(value: str) -> str:
    found = _LOCALE.fullmatch(value.strip())
    if found is None:
        raise ValueError("is not a locale; send it like 'de_DE'")
    language, country, variant = found.groups()
    return "_".join(filter(None, (language.lower(), country and country.upper(), variant and variant.lower())))


_TAG = re.compile(r"%[A-Za-z0-9_-]+%")


def _permalinks(value: str) -> str:
    """Any other structure leads nowhere, and would fail when the site is paid for and nearly there."""
    parts = value.strip("/").split("/")
    if "%" in _TAG.sub("", value) or not _TAG.search(value) or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("must be a permalink structure like /%postname%/, with a tag between percent signs")
    return value


_LONGEST_MAILBOX = 64
"""Bytes before the @ (RFC 5321, section 4.5.3.1.1)."""


@lru_cache(maxsize=4096)
def _email(value: str) -> str:
    """Remembered, because the same address comes by with every event of its order, and it is looked at closely."""
    address = validate_email(value)[1]
    if len(address.rpartition("@")[0].encode()) > _LONGEST_MAILBOX:
        raise ValueError("has more than 64 bytes before the @; no mail can be sent there")
    host_name(value.strip().rstrip("> ").rpartition("@")[2])
    return address


OrderId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Field(description="The producer's own order number: 1 to 64 letters, digits, dots, underscores or dashes."),
]

InstallId = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}-g[0-9]{1,6}$"),
    Field(description="The install's one name: `<order_id>-g<generation>`."),
]

Domain = Annotated[
    str,
    _at_the_door(host_name),
    Field(description="A host name in lower-case ASCII; an internationalised one is converted (IDNA)."),
]

Username = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9]{2,15}$"),
    Field(description="The hosting account's name: what Linux, cPanel and MariaDB all accept."),
]

SiteType = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$"),
    Field(description="The name of a type of site in the settings: `wordpress`, `static`, ..."),
]

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line of text for people, 1 to 200 characters."""

Email = Annotated[str, _at_the_door(_email), WithJsonSchema({"type": "string", "maxLength": 254})]
"""An address that mail can be sent to, in any script (RFC 6531). JSON Schema's format `email` would forbid those
beyond ASCII, and many validators do not know its `idn-email`."""

Locale = Annotated[
    str,
    AfterValidator(_locale),
    Field(description="A language, and perhaps a country: `de`, `de_DE`. BCP 47's dash (`de-DE`) is read, too."),
]

TimeZone = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z][A-Za-z0-9]*([/_+-][A-Za-z0-9]+)*$", max_length=64),
    Field(description="A name of the IANA time zone database: `Europe/Berlin`, `UTC`."),
]

Permalinks = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^/[A-Za-z0-9%/_.-]*$", max_length=200),
    _at_the_door(_permalinks),
    Field(description="The structure of the addresses of a site's pages, as WordPress writes it: `/%postname%/`."),
]

Generation = Annotated[
    int, Field(ge=1, le=999_999, description="1 for an order's first install; each re-install adds one.")
]

SealedSecret = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9+/]+=*$", max_length=4096),
    Field(description="A secret in a NaCl sealed box to the mailer's public key, base64. Nobody else can open it."),
]


def install_id(order_id: str, generation: int) -> str:
    """The one name of an install: an order may be re-installed, each time as a new generation."""
    return f"{order_id}-g{generation}"


class Customer(Model):
    """Who ordered, and where the welcome letter goes."""

    name: Line
    """As the letter addresses the customer."""
    email: Email
    """Where the welcome letter goes."""


class ControlPanelLogin(Model):
    """Access to the hosting account itself (not to the application installed in it)."""

    url: str
    """Where to log in."""
    username: str
    """The name to log in with."""
    sealed_password: SealedSecret


class AccountRef(Model):
    """A hosting account as the other services need to know it."""

    server: str
    """The name that the settings give to the hosting server it is on."""
    username: Username
    domain: Domain
    address: str
    """The server's external IP address, for the customer's DNS records."""
    aliases: tuple[Domain, ...] | None = None
    """Further names that lead to the site, like `www.` of its domain."""
    control_panel: ControlPanelLogin | None = None
    """Not there if the server has no control panel that customers log in to."""


class CauseKind(StrEnum):
    """What a failure asks for: time, a person, another name, more room, or a corrected setting."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    CONFLICT = "conflict"
    CAPACITY = "capacity"
    CONFIGURATION = "configuration"


class Cause(Model):
    """Why something failed, and what to do about it. Carries no secret and no traceback."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
    """A stable word for programs, like `db_down`. New ones may come at any time."""
    kind: CauseKind
    detail: Annotated[str, Field(max_length=1000)]
    """What happened, for people."""
    remedy: Annotated[str, Field(max_length=500)]
    """What to do about it, for people."""
