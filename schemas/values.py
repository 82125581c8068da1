"""The values that events consist of: validated names, customers, accounts and causes of failure."""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    validate_email,
)

from schemas.names import host_name


class Model(BaseModel):
    """Base of all values: a frozen model that ignores unknown fields, which a newer minor version may send.

    Validation errors never repeat a value, which could be a secret. The docstrings of a class and its fields are the
    descriptions in the exported documents.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)


def as_json(model: BaseModel) -> bytes:
    """Return a model as JSON without what is None: `model_dump_json` without its detours."""
    return model.__pydantic_serializer__.to_json(model, exclude_none=True)


def filled_in(model: type[BaseModel], document: Any) -> Any:
    """Return a document from outside without the model's optional fields that are empty (null or blank): forms,
    spreadsheets and PHP send "" where nothing was filled in."""
    if not isinstance(document, dict):
        return document
    optional = _optional(model)
    return {name: value for name, value in document.items() if name not in optional or not _is_empty(value)}


@lru_cache
def _optional(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if not field.is_required())


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must be a single line without control characters")
    return value


KEPT = {"kept": True}
"""The validation context for documents that were accepted before: those in the store, and events of our own."""


def _on_arrival(rule: Callable[[str], str], shape: str) -> AfterValidator:
    """Apply a rule to new data only. Rules change over time, also with their libraries, and data that was accepted
    earlier must stay readable: it only has to have the shape that the rule has always ensured."""
    fits = re.compile(shape).fullmatch

    def follows(value: str, info: ValidationInfo) -> str:
        if info.context is not KEPT:
            return rule(value)
        if not fits(value):
            raise ValueError("has characters that are not allowed here")
        return value

    return AfterValidator(follows)


_LOCALE = re.compile(r"([a-z]{2,3})(?:[_-]([a-z]{2}))?(?:[_-]([a-z0-9]{4,8}))?", re.IGNORECASE)
"""Language, country, variant, as in the names of WordPress's language packs (`de_DE`, `de_DE_formal`)."""


def _locale(value: str) -> str:
    found = _LOCALE.fullmatch(value.strip())
    if found is None:
        raise ValueError("is not a valid locale; expected one like 'de_DE'")
    language, country, variant = found.groups()
    return "_".join(filter(None, (language.lower(), country and country.upper(), variant and variant.lower())))


_TAG = re.compile(r"%[A-Za-z0-9_-]+%")


def _permalinks(value: str) -> str:
    """Reject structures that WordPress can't use; they would only fail late in the install, after the order is paid."""
    parts = value.strip("/").split("/")
    if "%" in _TAG.sub("", value) or not _TAG.search(value) or not {"", ".", ".."}.isdisjoint(parts):
        raise ValueError("must be a permalink structure like /%postname%/, with a tag between percent signs")
    return value


_LONGEST_MAILBOX = 64
"""Maximum length before the @, in bytes (RFC 5321, section 4.5.3.1.1)."""


_PLAIN_EMAIL = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@([a-z0-9.-]+)")
_LONGEST_EMAIL = 254
"""Maximum length in bytes (RFC 5321, section 4.5.3.1.3, without its angle brackets)."""


def _email(value: str) -> str:
    """Validate an email address. Nearly all are plain, and of a few domains: then only the domain decides."""
    plain = _PLAIN_EMAIL.fullmatch(value)
    if plain and plain.start(1) <= _LONGEST_MAILBOX + 1 and len(value) <= _LONGEST_EMAIL and _is_plain(plain[1]):
        return value
    return _validated_email(value)


@lru_cache(maxsize=1024)
def _is_plain(domain: str) -> bool:
    """Return whether addresses of a domain are valid as they are."""
    try:
        return _validated_email(f"x@{domain}") == f"x@{domain}"
    except ValueError:
        return False


def _validated_email(value: str) -> str:
    address = validate_email(value)[1]
    if len(address.rpartition("@")[0].encode()) > _LONGEST_MAILBOX:
        raise ValueError("has more than 64 bytes before the @, so no mail can be delivered to it")
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
    Field(description="The install's unique name: `<order_id>-g<generation>`."),
]

Domain = Annotated[
    str,
    _on_arrival(host_name, r"[a-z0-9-]+(\.[a-z0-9-]+)+"),
    Field(description="A host name in lower-case ASCII; an internationalized one is converted (IDNA)."),
]

Username = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9]{2,15}$"),
    Field(description="The hosting account's user name, in a form that Linux, cPanel and MariaDB all accept."),
]

SiteType = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$"),
    Field(description="The name of a type of site in the settings: `wordpress`, `static`, ..."),
]

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line of text for people, 1 to 200 characters."""

Email = Annotated[
    str, _on_arrival(_email, r"[^\x00-\x1f\x7f]{3,254}"), WithJsonSchema({"type": "string", "maxLength": 254})
]
"""An email address, in any script (RFC 6531). JSON Schema's format `email` would forbid addresses beyond ASCII, and
many validators don't know its `idn-email`."""

Locale = Annotated[
    str,
    _on_arrival(_locale, r"[a-z]{2,3}(_[A-Z]{2})?(_[a-z0-9]{4,8})?"),
    Field(
        description="A language, optionally with a country: `de`, `de_DE`. BCP 47's dash (`de-DE`) is accepted, too."
    ),
]

TimeZone = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z][A-Za-z0-9]*([/_+-][A-Za-z0-9]+)*$", max_length=64),
    Field(description="A name from the IANA time zone database: `Europe/Berlin`, `UTC`."),
]

Permalinks = Annotated[
    str,
    StringConstraints(strip_whitespace=True, pattern=r"^/[A-Za-z0-9%/_.-]*$", max_length=200),
    _on_arrival(_permalinks, r".*"),
    Field(description="The permalink structure of a site's pages, as in WordPress: `/%postname%/`."),
]

Priority = Literal["low", "normal", "high"]
"""How urgent an order is: of installs that wait, those of a higher priority begin first."""

Generation = Annotated[
    int, Field(ge=1, le=999_999, description="1 for an order's first install; each re-install adds one.")
]

Attempt = Annotated[int, Field(ge=1, le=10_000, description="The number of the attempt; the first is 1.")]

SealedSecret = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9+/]+=*$", max_length=4096),
    Field(
        description="A secret in a NaCl sealed box, base64. Only the mailer, whose public key sealed it, can open it."
    ),
]


def install_id(order_id: str, generation: int) -> str:
    """Return the unique name of an install: each re-install of an order is a new generation."""
    return f"{order_id}-g{generation}"


class Customer(Model):
    """Who ordered, and where the welcome email goes."""

    name: Line
    """How the email addresses the customer."""
    email: Email
    """Where the welcome email goes."""


class ControlPanelLogin(Model):
    """Access to the hosting account itself, not to the application installed in it."""

    url: str
    """Where to log in."""
    username: str
    """The user name to log in with."""
    sealed_password: SealedSecret


class AccountRef(Model):
    """What the other services need to know about a hosting account."""

    server: str
    """Its hosting server, by the name in the settings."""
    username: Username
    domain: Domain
    address: str
    """The server's external IP address, for the customer's DNS records."""
    aliases: tuple[Domain, ...] | None = None
    """Further host names of the site, such as `www.` plus its domain."""
    control_panel: ControlPanelLogin | None = None
    """Absent if the server has no control panel that customers log in to."""


class CauseKind(StrEnum):
    """What it takes to resolve a failure: time, a person, another name, more capacity, or a corrected setting."""

    TRANSIENT = "transient"
    PERMANENT = "permanent"
    CONFLICT = "conflict"
    CAPACITY = "capacity"
    CONFIGURATION = "configuration"


class Cause(Model):
    """Why something failed, and what to do about it. Contains no secret and no traceback."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,39}$")]
    """A stable word for programs, such as `db_down`. New codes may be added at any time."""
    kind: CauseKind
    detail: Annotated[str, Field(max_length=1000)]
    """What happened, for people."""
    remedy: Annotated[str, Field(max_length=500)]
    """What to do about it, for people."""
