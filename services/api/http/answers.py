"""What the API answers: documents with an ETag, and pages with a link to the next one."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Self, TypeVar
from urllib.parse import quote

from fastapi import Request, Response
from pydantic import BaseModel, ConfigDict, Field

from foundation.clock import exact
from schemas.values import Cause
from services.api.asking import Asked, Outcome
from services.api.finding.paging import Page
from services.api.finding.story import Story
from services.api.projection.views import InstallView, LetterView, OrderView

R = TypeVar("R")

SILENT = timedelta(minutes=1)
"""After which an answer is said to be missing."""
_AWAY = "the broker does not answer the api; it is stored, and is carried out once the broker is back"
_UNANSWERED = "no answer since {}; it is still asked, and is carried out once the broker and the service are there"


class Document(BaseModel):
    """What is not known is left out."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True, frozen=True)


class Tried(Document):
    """Whatever is tried several times."""

    state: str
    attempt: int | None = None
    """The number of the attempt that runs, or ran last."""
    max_attempts: int | None = None
    due_at: datetime | None = None
    """When the next attempt may begin."""
    cause: Cause | None = None
    """Why it failed, or why the last attempt did."""
    reason: str | None = None
    """Why it was cancelled or suppressed, or how it was resolved."""
    updated_at: datetime | None = None


class Letter(Tried):
    """The welcome email of an install: `waiting`, `sent`, `failed` or `suppressed`."""

    install_id: str
    order_id: str
    generation: int
    recipient: str | None = None
    message_id: str | None = None
    resends: int | None = None
    """How often it was sent again."""
    sent_at: datetime | None = None


class LetterLine(Letter):
    """A letter, and what it is about."""

    site_type: str | None = None
    domain: str | None = None
    url: str | None = None
    customer_name: str | None = None
    requested_at: datetime | None = None
    """When its install was completed."""
    is_outdated: bool = False
    """Whether a newer install of its order has a letter: what is in this one opens nothing any more."""

    @classmethod
    def told(cls, letter: LetterView, story: Story | None) -> "LetterLine":
        """Return a letter with what is known of its order."""
        install = story.install(letter.install_id) if story else None
        of_install = {name: getattr(install, name, None) for name in ("site_type", "domain", "url")}
        customer = story.order.customer_name if story else None
        newest = story.letter.generation if story and story.letter else letter.generation
        more: dict[str, Any] = {"customer_name": customer, "requested_at": install.finished_at if install else None}
        more["is_outdated"] = newest > letter.generation
        return cls.model_validate({**vars(letter), **of_install, **more})


class Install(Tried):
    """One generation of an order's site: `staged`, `waiting`, `installing`, `installed`, `failed`, `cancelled` or
    `resolved`."""

    install_id: str = Field(examples=["order-1042-g1"])
    order_id: str
    generation: int
    site_type: str | None = None
    url: str | None = None
    title: str | None = None
    server: str | None = None
    username: str | None = None
    domain: str | None = None
    waiting_for: str | None = None
    """What it waits for, or did last: `capacity`, `server`, `dns` or `tls`."""
    waiting_until: datetime | None = None
    """When it fails if it still waits."""
    worker: str | None = None
    """Which process installs it, or did."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    seconds: float | None = None
    """How long the install took."""
    application: str | None = None
    application_version: str | None = None
    login_url: str | None = None


class Step(Document):
    """One step of an attempt."""

    attempt: int
    step: str
    begun_at: datetime
    seconds: float | None = None
    """Missing while it runs."""


class InstallLine(Install):
    """An install, whose it is, and its letter."""

    customer_name: str | None = None
    customer_email: str | None = None
    address: str | None = None
    """The server's IP address."""
    letter: Letter | None = None

    @classmethod
    def told(cls, install: InstallView, story: Story | None, **more: Any) -> Self:
        """Return an install with what is known of its order."""
        letter = story.letter_of(install.install_id) if story else None
        of_order = {name: getattr(story.order, name) for name in _OF_ORDER} if story else {}
        told = {"letter": letter and Letter.model_validate(letter), **of_order, **more}
        return cls.model_validate({**vars(install), **told})


_OF_ORDER = ("customer_name", "customer_email", "address")


class InstallDetails(InstallLine):
    """An install with the steps of its attempts."""

    steps: list[Step] = Field(default_factory=list)


class OrderLine(Tried):
    """One order: `placed` until order intake has answered, then `rejected`, `accepted`, `created` (its account exists),
    `failed` (it could not be created) or `cancelled`."""

    order_id: str = Field(examples=["order-1042"])
    site_type: str | None = None
    domain: str | None = None
    title: str | None = None
    server: str | None = None
    username: str | None = None
    """Of the hosting account."""
    address: str | None = None
    """The server's IP address, for the customer's DNS records."""
    control_panel_url: str | None = None
    """Where the customer logs in to the account, with `username` and the password in the welcome email."""
    customer_name: str | None = None
    customer_email: str | None = None
    placed_by: str | None = None
    placed_at: datetime | None = None
    priority: str | None = None
    """`low`, `normal` or `high`; `normal` if absent."""
    generation: int | None = None
    """How many installs there have been."""
    install_state: str | None = None
    """Of the newest install."""

    @classmethod
    def told(cls, order: OrderView, story: Story | None) -> "OrderLine":
        """Return an order with what is known of its newest install."""
        newest = story.newest if story else None
        of_install = {"generation": newest.generation, "install_state": newest.state} if newest else {}
        return cls.model_validate({**vars(order), **of_install})


class Order(OrderLine):
    """An order with its installs and letters, the newest first."""

    url: str
    """Where this document is: ask there how far the order is."""
    installs: list[Install] = Field(default_factory=list)
    letter: Letter | None = None
    """Of the newest install that has one."""
    customer_status_url: str | None = None
    """A page for the customer, which shows how far the order is to whoever has the link. Only in the answer to placing
    the order, and only if `api.secret_key` is set."""

    @classmethod
    def whole(cls, story: Story) -> "Order":
        line = OrderLine.told(story.order, story)
        return cls(
            **vars(line),
            url=order_url(line.order_id),
            installs=[Install.model_validate(install) for install in story.installs],
            letter=Letter.model_validate(story.letter) if story.letter else None,
        )

    @classmethod
    def only_asked(cls, order_id: str, asked: Asked) -> "Order":
        """An order of which nothing is known but that it was placed here."""
        return cls(
            order_id=order_id,
            state="rejected" if asked.outcome == Outcome.REFUSED else "placed",
            cause=asked.cause,
            placed_by=asked.source,
            placed_at=asked.asked_at,
            updated_at=asked.answered_at or asked.asked_at,
            url=order_url(order_id),
        )


class Line(Document):
    """A line of the activity log."""

    id: int
    at: datetime
    kind: str = Field(examples=["install.failed"])
    """What happened or was asked for: an event's type without prefix and version."""
    order_id: str | None = None
    install_id: str | None = None
    actor_type: str | None = None
    actor: str | None = None
    """Who asked for it: a member of staff, or a token."""
    source: str
    """Who published the event."""
    detail: str
    cause: Cause | None = None
    trace_id: str | None = None


class Command(Document):
    """What was asked, and what has become of it."""

    id: str
    url: str
    """Where this document is: ask there for the outcome."""
    type: str = Field(examples=["sitecrew.install.retry.v1"])
    order_id: str | None = None
    install_id: str | None = None
    actor: str
    asked_at: datetime
    outcome: Outcome
    answer: str | None = None
    """The type of the answering event."""
    detail: str | None = None
    """What a refusal says, or why there has been no answer."""
    cause: Cause | None = None
    answered_at: datetime | None = None

    @classmethod
    def told(cls, asked: Asked, now: datetime, *, broker_is_away: bool) -> "Command":
        detail = asked.detail
        if asked.outcome == Outcome.OPEN and broker_is_away:
            detail = _AWAY
        elif asked.outcome == Outcome.OPEN and now - asked.asked_at >= SILENT:
            detail = _UNANSWERED.format(exact(asked.asked_at))
        return cls(**{**vars(asked), "url": command_url(asked.id), "detail": detail})


class Listing(Document):
    """A page of a listing."""

    next: str | None = None
    """The path of the next page; missing on the last one."""


class Orders(Listing):
    items: list[OrderLine]


class Installs(Listing):
    items: list[InstallLine]


class Letters(Listing):
    items: list[LetterLine]


class Lines(Listing):
    items: list[Line]


def order_url(order_id: str) -> str:
    return f"/v1/orders/{order_id}"


def command_url(id: str) -> str:
    return f"/v1/commands/{quote(id, safe='')}"


def page(request: Request, found: Page[R], kind: type[Listing], make: Callable[[R], Any]) -> Response:
    """Answer with a page."""
    following = request.url.include_query_params(after=found.next) if found.next else None
    next_path = f"{following.path}?{following.query}" if following else None
    headers = {"Link": f'<{next_path}>; rel="next"'} if next_path else {}
    return document(request, kind(items=[make(row) for row in found.rows], next=next_path), headers=headers)


def document(
    request: Request, told: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a document, or with 304 if the caller has it as it is."""
    body = told.model_dump_json(exclude_none=True).encode()
    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    named = {"ETag": tag, "Cache-Control": "private, no-cache", **(headers or {})}
    known = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    if request.method == "GET" and known & {tag, "*"}:
        return Response(status_code=304, headers=named)
    return Response(body, status, named, media_type="application/json")
