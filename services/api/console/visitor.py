"""Who looks at the console, and what they may do there."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Form, Request

from foundation.config.queues import API_EVENTS
from foundation.handling.unit_of_work import new_id
from services.api.access import sessions
from services.api.access.identity import Identity, Role
from services.api.desk import Desk
from services.api.projection import lag
from services.api.projection.activity import Line

COOKIE = "sitecrew_session"
SECURE_COOKIE = "__Host-sitecrew_session"
"""The name where pages come by https: browsers take such a cookie only from this very host."""


class SignInNeeded(Exception):
    """Nobody is signed in."""


class Forbidden(Exception):
    """The request is not carried out: a right is missing, or the form is not of this session."""

    def __init__(self, reason: str, visitor: "Visitor") -> None:
        super().__init__(reason)
        self.visitor = visitor


@dataclass(frozen=True)
class Visitor:
    """A member of staff who is signed in."""

    who: Identity
    session: str
    address: str

    @property
    def name(self) -> str:
        return self.who.name

    @property
    def role(self) -> Role:
        return self.who.role or Role.VIEWER

    @property
    def form_token(self) -> str:
        return sessions.form_token(self.session)

    def may(self, role: Role) -> bool:
        return self.role.includes(role)

    def require(self, role: Role, doing: str = "that") -> None:
        """Raises Forbidden if the visitor has not at least this role."""
        if not self.may(role):
            raise Forbidden(f"{doing} needs the role {role} or higher; yours is {self.role}", self)


def desk_of(request: Request) -> Desk:
    """Return what the application works with."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]


def is_secure(desk: Desk, request: Request) -> bool:
    """Whether browsers reach the console by https."""
    public = str(desk.settings.api.public_url or "")
    return request.url.scheme == "https" or public.startswith("https:")


def cookie_of(desk: Desk, request: Request) -> str:
    """Return the name of the session's cookie."""
    return SECURE_COOKIE if is_secure(desk, request) else COOKIE


def address_of(request: Request) -> str:
    """Return where a request comes from."""
    return request.client.host if request.client else ""


def signed_in(request: Request, desk: AtDesk) -> Visitor:
    """Return who is signed in. Raises SignInNeeded."""
    session = request.cookies.get(cookie_of(desk, request), "")
    now = desk.now()
    with desk.reading() as connection:
        who = sessions.find(connection, session, now) if session else None
        request.state.behind_since = lag.behind_since(connection, API_EVENTS) if who else None
        stale = bool(who) and sessions.is_stale(connection, session, now)
    if who is None:
        raise SignInNeeded
    if stale and "hx-request" not in request.headers:  # a page that is only left open keeps nobody signed in
        with desk.writing() as uow:
            sessions.touch(uow.connection, session, now)
    return Visitor(who, session, address_of(request))


Viewing = Annotated[Visitor, Depends(signed_in)]


def posting(role: Role) -> Callable[..., Visitor]:
    """Return a dependency: the visitor who sent a form, who must have this role. Raises Forbidden."""

    def check(request: Request, visitor: Viewing, form_token: Annotated[str, Form()] = "") -> Visitor:
        if not hmac.compare_digest(form_token.encode(), visitor.form_token.encode()):
            raise Forbidden("the form is not of this session: open the page again, then repeat what you did", visitor)
        visitor.require(role, f"{request.method} {request.url.path}")
        return visitor

    return check


Posting = Annotated[Visitor, Depends(posting(Role.VIEWER))]
Supporting = Annotated[Visitor, Depends(posting(Role.SUPPORT))]
Operating = Annotated[Visitor, Depends(posting(Role.OPERATOR))]
Administering = Annotated[Visitor, Depends(posting(Role.ADMIN))]


def line(desk: Desk, kind: str, actor: str, detail: str = "", *, order_id: str | None = None) -> Line:
    """A line of the activity log about what was done here."""
    key = new_id().replace("-", "")
    return Line(key, desk.now(), kind, order_id=order_id, actor_type="user", actor=actor[:255], detail=detail[:400])
