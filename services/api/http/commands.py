"""Ask for something to be done: with an order, an install, the timer, a server, or a site type."""

from collections.abc import Callable
from functools import partial
from re import fullmatch
from typing import Annotated, Any
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.concurrency import run_in_threadpool

from foundation.handling.unit_of_work import new_id
from schemas.envelope import Moment
from schemas.installs import InstallCancel, InstallResolve, InstallRetry, TimerPause, TimerResume, TimerRunNow
from schemas.mails import MailResend
from schemas.orders import OrderAmend, OrderCancel, OrderCancelled, OrderReinstall, OrderReinstallRequested, OrderRetry
from schemas.servers import ServerPause, ServerResume
from schemas.services import SiteTypeConfigure, Switch
from schemas.values import Email, InstallId, Line, Model, OrderId, SiteType, filled_in
from services.api.access.identity import Identity
from services.api.asking import Asked
from services.api.desk import Desk
from services.api.finding.story import Story
from services.api.http.answers import Command, command_url, document
from services.api.http.caller import Admin, AtDesk, Changer, Operator, Reader, only_of
from services.api.http.news import News
from services.api.http.problems import SOON, Problem
from services.api.projection.views import INSTALLS

router = APIRouter(tags=["commands"])

LONGEST_WAIT = 30
"""Seconds that a request may wait for an answer."""

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[!-~]{1,200}$",
        description="Sent again with the same key, the request does nothing, and is answered as before.",
        examples=["8c1f9a52-placed"],
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        max_length=100,
        description=f"`wait=20`: answer as soon as it is done or refused, after so many seconds at the latest, of"
        f" which there are {LONGEST_WAIT} at most (RFC 7240).",
        examples=["wait=20"],
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, hide_input_in_errors=True)


class Reason(_Body):
    """Why."""

    reason: Line | None = None


class Pause(Reason):
    """Why, and until when."""

    until: Moment | None = None
    """When the pause ends by itself; if not given, somebody has to end it."""


class Reinstall(_Body):
    """What is to be different."""

    blog_name: Line | None = None
    """The new site's title; the order's if not given."""


class ResendLetter(_Body):
    """Where to."""

    recipient: Email | None = None
    """The customer's own address if not given. Another one needs the scope `installs:write`."""


class Amend(_Body):
    """What is to be corrected; what is not given stays."""

    name: Line | None = None
    """The customer's name."""
    email: Email | None = None
    """Where later emails go."""


class Resolve(_Body):
    """What was done by hand."""

    note: Line


class Switches(_Body):
    """What is to change; what is not given stays."""

    stage: Switch | None = None
    """Whether installs wait for the timer's batch."""
    welcome_email: Switch | None = None
    """Whether the welcome email is sent."""


def _sent(model: type[BaseModel]) -> BeforeValidator:
    """Read an empty body, and PHP's empty array, as an empty object; and empty fields as not given."""
    return BeforeValidator(lambda document: filled_in(model, document or {}))


ReasonBody = Annotated[Reason, _sent(Reason)]
ReinstallBody = Annotated[Reinstall, _sent(Reinstall)]
ResendBody = Annotated[ResendLetter, _sent(ResendLetter)]
PauseBody = Annotated[Pause, _sent(Pause)]
_REASON, _PAUSE, _REINSTALL, _RESEND = Reason(), Pause(), Reinstall(), ResendLetter()
OneServer = Annotated[Line, Path(examples=["local"])]
AmendBody = Annotated[Amend, _sent(Amend)]
SwitchesBody = Annotated[Switches, _sent(Switches)]


def patience(prefer: str | None) -> int:
    """Return how many seconds a caller wants to wait (RFC 7240, section 4.3)."""
    wishes = (fullmatch(r"wait=([0-9]{1,6})", wish.strip().lower()) for wish in (prefer or "").split(","))
    return min(LONGEST_WAIT, max((int(wish[1]) for wish in wishes if wish), default=0))


def news_of(request: Request) -> News:
    """Return what waits for events."""
    news: News = request.app.state.news
    return news


AtNews = Annotated[News, Depends(news_of)]


class Asking:
    """How a request asks for things: once for each key, and waiting for the answer if it prefers to."""

    def __init__(self, request: Request, desk: AtDesk, news: AtNews, key: Key = None, prefer: Prefer = None) -> None:
        self.request = request
        self.desk = desk
        self._news = news
        self.key = key
        self._seconds = patience(prefer)

    @property
    def headers(self) -> dict[str, str]:
        if self._seconds and self.desk.broker_is_away:
            return {"Retry-After": str(SOON)}
        return {"Preference-Applied": f"wait={self._seconds}"} if self._seconds else {}

    def once(self, data: Model, who: Identity, *, as_producer: bool = False) -> tuple[Asked, bool]:
        """Ask; return it, and whether it is new. Raises Problem 409 if something else was asked with the key."""
        if as_producer:
            id, source = self.key or new_id(), who.source
        else:  # all commands have one source: the keys of different tokens must not meet
            id, source = str(uuid5(NAMESPACE_URL, f"{who.name}\n{self.key}")) if self.key else new_id(), ""
        asked, new = self.desk.ask_once(data, who, id, source)
        if not new and not asked.is_of(data):
            title = "Something else was sent with this Idempotency-Key."
            raise Problem(409, "idempotency_key_reused", title, remedy="Send each request with a key of its own.")
        return asked, new

    async def answered(self, asked: Asked) -> Asked:
        """Wait for the answer as long as the caller prefers to, and the broker is there."""
        return await self._news.answered(partial(self._again, asked), self._seconds) if self._seconds else asked

    def _again(self, asked: Asked) -> Asked:
        with self.desk.reading() as connection:
            return Asked.find(connection, asked.source, asked.id) or asked

    async def command(self, find: Callable[[], tuple[Model, Identity, bool]]) -> Response:
        """Ask for what `find` returns (and by whom, and whether as a producer), and answer with what becomes of it."""

        def ask() -> Asked:
            data, who, as_producer = find()
            return self.once(data, who, as_producer=as_producer)[0]

        asked = await self.answered(await run_in_threadpool(ask))
        told = Command.told(asked, self.desk.now(), broker_is_away=self.desk.broker_is_away)
        return document(self.request, told, 202, {"Location": command_url(asked.id), **self.headers})


Asks = Annotated[Asking, Depends(Asking)]

OneOrder = Annotated[OrderId, Path(examples=["order-1042"])]
OneInstall = Annotated[InstallId, Path(examples=["order-1042-g1"])]

_ASKED: dict[str, Any] = {"status_code": 202, "response_model": Command}


def story_of(desk: Desk, order_id: str, who: Identity) -> Story:
    """Return what is known of an order. Raises Problem 404 if the caller may not see it, or there is none."""
    with desk.reading() as connection:
        story = Story.of(connection, order_id, only_of(who))
    if story is None:
        raise unknown("order", order_id)
    return story


def unknown(what: str, id: str) -> Problem:
    return Problem(404, "not_found", f"There is no {what} {id}.", remedy="If it is new, ask again in a moment.")


@router.post("/orders/{order_id}/reinstall", **_ASKED)
async def reinstall_order(order_id: OneOrder, who: Changer, asks: Asks, body: ReinstallBody = _REINSTALL) -> Response:
    """Install the order's site again. The old site answers until then."""

    def find() -> tuple[Model, Identity, bool]:
        state = story_of(asks.desk, order_id, who).order.state
        if state in {"failed", "cancelled"}:  # a producer's request would be parked without an answer
            raise Problem(409, f"order_{state}", f"Order {order_id} is {state}, so there is nothing to install again.")
        kind = OrderReinstall if who.sees_all else OrderReinstallRequested
        return kind(order_id=order_id, blog_name=body.blog_name), who, not who.sees_all

    return await asks.command(find)


@router.post("/orders/{order_id}/cancel", **_ASKED)
async def cancel_order(order_id: OneOrder, who: Changer, asks: Asks, body: ReasonBody = _REASON) -> Response:
    """Cancel what is not there yet: the account if it is not created, and installs whose site is not served."""

    def find() -> tuple[Model, Identity, bool]:
        if not who.sees_all:
            return _own(OrderCancelled(order_id=order_id, reason=body.reason), asks.desk, order_id, who)
        story_of(asks.desk, order_id, who)
        return OrderCancel(order_id=order_id, **_given(body)), who, False

    return await asks.command(find)


def _own(data: Model, desk: Desk, order_id: str, who: Identity) -> tuple[Model, Identity, bool]:
    """Return what a producer asks, if the order is its own; it may have been placed a moment ago."""
    with desk.reading() as connection:
        placed = any(asked.source == who.source for asked in Asked.placed(connection, order_id))
    if not placed:
        story_of(desk, order_id, who)
    return data, who, True


def _given(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(exclude_none=True)


@router.post("/orders/{order_id}/retry", **_ASKED)
async def retry_order(order_id: OneOrder, who: Operator, asks: Asks) -> Response:
    """Try again to create the account of an order whose account has failed, with all its attempts."""

    def find() -> tuple[Model, Identity, bool]:
        story_of(asks.desk, order_id, who)
        return OrderRetry(order_id=order_id), who, False

    return await asks.command(find)


@router.post("/orders/{order_id}/resend-letter", **_ASKED)
async def resend_letter(order_id: OneOrder, who: Changer, asks: Asks, body: ResendBody = _RESEND) -> Response:
    """Send the welcome email of the order's newest install again."""

    def find() -> tuple[Model, Identity, bool]:
        letter = story_of(asks.desk, order_id, who).letter
        if body.recipient and not who.sees_all:
            raise Problem(403, "forbidden", f"The token {who.name} may send a letter to the customer only.")
        if letter is None:
            raise Problem(
                409, "no_letter", f"Order {order_id} has no letter yet.", remedy="Wait until it is installed."
            )
        return MailResend(install_id=letter.install_id, recipient=body.recipient), who, False

    return await asks.command(find)


@router.post("/orders/{order_id}/amend", **_ASKED)
async def amend_order(order_id: OneOrder, who: Operator, asks: Asks, body: AmendBody) -> Response:
    """Correct the customer's name or email address, for later installs and emails."""

    def find() -> tuple[Model, Identity, bool]:
        story_of(asks.desk, order_id, who)
        return OrderAmend(order_id=order_id, **_given(body)), who, False

    return await asks.command(find)


async def _with_install(asks: Asking, who: Identity, data: Any) -> Response:
    def find() -> tuple[Model, Identity, bool]:
        with asks.desk.reading() as connection:
            if INSTALLS.get(connection, data.install_id) is None:
                raise unknown("install", data.install_id)
        return data, who, False

    return await asks.command(find)


@router.post("/installs/{install_id}/cancel", **_ASKED)
async def cancel_install(install_id: OneInstall, who: Operator, asks: Asks, body: ReasonBody = _REASON) -> Response:
    """Do not run an install, or end it before its next step. Refused once its site is served."""
    return await _with_install(asks, who, InstallCancel(install_id=install_id, **_given(body)))


@router.post("/installs/{install_id}/retry", **_ASKED)
async def retry_install(install_id: OneInstall, who: Operator, asks: Asks) -> Response:
    """Run a failed install again, or a staged one at the next tick."""
    return await _with_install(asks, who, InstallRetry(install_id=install_id))


@router.post("/installs/{install_id}/resolve", **_ASKED)
async def resolve_install(install_id: OneInstall, who: Operator, asks: Asks, body: Resolve) -> Response:
    """Mark a failed install as dealt with by hand."""
    return await _with_install(asks, who, InstallResolve(install_id=install_id, note=body.note))


@router.post("/installs/{install_id}/resend-letter", **_ASKED)
async def resend_letter_of_install(
    install_id: OneInstall, who: Operator, asks: Asks, body: ResendBody = _RESEND
) -> Response:
    """Send the welcome email of an install again."""
    return await _with_install(asks, who, MailResend(install_id=install_id, recipient=body.recipient))


@router.post("/timer/run", **_ASKED)
async def run_timer(who: Operator, asks: Asks) -> Response:
    """Begin a batch now."""
    return await asks.command(lambda: (TimerRunNow(), who, False))


@router.post("/timer/pause", **_ASKED)
async def pause_timer(who: Operator, asks: Asks, body: ReasonBody = _REASON) -> Response:
    """Begin no batch until the timer is resumed. Running installs are finished."""
    return await asks.command(lambda: (TimerPause(reason=body.reason), who, False))


@router.post("/timer/resume", **_ASKED)
async def resume_timer(who: Operator, asks: Asks) -> Response:
    """Begin batches again, at the next tick."""
    return await asks.command(lambda: (TimerResume(), who, False))


@router.post("/servers/{name}/pause", **_ASKED)
async def pause_server(name: OneServer, who: Operator, asks: Asks, body: PauseBody = _PAUSE) -> Response:
    """Begin no install on a hosting server until it is resumed, or until then. Running ones are finished."""
    return await asks.command(lambda: (ServerPause(server=name, until=body.until, reason=body.reason), who, False))


@router.post("/servers/{name}/resume", **_ASKED)
async def resume_server(name: OneServer, who: Operator, asks: Asks) -> Response:
    """Begin installs on a hosting server again, whether it was paused or is failing."""
    return await asks.command(lambda: (ServerResume(server=name), who, False))


@router.post("/site-types/{name}", **_ASKED)
async def configure_site_type(
    name: Annotated[SiteType, Path(examples=["wordpress"])], who: Admin, asks: Asks, body: SwitchesBody
) -> Response:
    """Change how installs of a site type are handled from now on. `default` returns to what the settings say."""
    return await asks.command(lambda: (SiteTypeConfigure(site_type=name, **_given(body)), who, False))


@router.get("/commands/{id}", response_model=Command)
def get_command(
    id: Annotated[str, Path(pattern=r"^[!-~]{1,200}$")], request: Request, desk: AtDesk, who: Reader
) -> Response:
    """Say what has become of what was asked: `open`, `done` or `refused`. Kept for two weeks."""
    with desk.reading() as connection:
        found = Asked.named(connection, id)
    mine = [one for one in found if one.source == who.source or one.actor == who.name]
    if not (shown := mine or (found if who.sees_all else [])):
        raise unknown("command", id)
    return document(request, Command.told(shown[0], desk.now(), broker_is_away=desk.broker_is_away))
