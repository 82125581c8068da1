"""Who calls: checks the token of each request, and what it may do."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.access import tokens
from services.api.access.identity import Identity, Scope
from services.api.access.throttle import network_of
from services.api.desk import Desk
from services.api.http.limits import FAILURES_PER_MINUTE, RateLimit
from services.api.http.problems import Problem

_bearer = HTTPBearer(auto_error=False, description="An API token, as an admin creates it in the console.")
_NEVER = datetime.min.replace(tzinfo=UTC)


def desk_of(request: Request) -> Desk:
    """Return what the application works with."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]


@dataclass
class Doorkeeper:
    """Counts what each token asks, and how often each address fails to show one."""

    requests: RateLimit
    failures: RateLimit
    noted: dict[str, datetime] = field(default_factory=dict)
    """When the use of a token was noted last."""

    @classmethod
    def of(cls, desk: Desk) -> "Doorkeeper":
        return cls(RateLimit(desk.settings.api.requests_per_minute), RateLimit(FAILURES_PER_MINUTE))

    def identify(self, desk: Desk, token: str, address: str) -> Identity | None:
        """Return whose token it is. Raises Problem 429."""
        now = desk.now()
        with desk.reading() as connection:
            who = tokens.identify(connection, token)
        if who is None:
            title = "Too many requests with an unknown token came from this address."
            _refuse(self.failures.take(network_of(address), now), title)
            return None
        _refuse(self.requests.take(who.name, now), f"The token {who.name} has asked too often.")
        if now - self.noted.get(who.name, _NEVER) >= tokens.NOTED:
            self.noted[who.name] = now
            with desk.store.transaction() as connection:
                tokens.note_use(connection, token, now)
        return who


def _refuse(seconds: float, title: str) -> None:
    if seconds:
        raise Problem(429, "too_many_requests", title, headers={"Retry-After": str(ceil(seconds))})


def identified(
    request: Request, desk: AtDesk, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Identity:
    """Return whose token the request bears. Raises Problem 401 and 429."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    address = request.client.host if request.client else ""
    who = doorkeeper.identify(desk, given.credentials, address) if given else None
    if who is None:
        challenge = {"WWW-Authenticate": "Bearer"}
        title = "The token is unknown or disabled." if given else "The request has no token."
        remedy = "Send the header `Authorization: Bearer <token>`; an admin creates tokens in the console."
        raise Problem(401, "unauthorized", title, remedy=remedy, headers=challenge)
    return who


def allowed(*scopes: Scope) -> Callable[[Identity], Identity]:
    """Return a dependency: the caller, who must have one of the scopes. Raises Problem 403."""

    def check(who: Annotated[Identity, Depends(identified)]) -> Identity:
        if not any(who.may(scope) for scope in scopes):
            needed = " or ".join(scopes)
            raise Problem(403, "forbidden", f"The token {who.name} lacks the scope {needed}.")
        return who

    return check


Reader = Annotated[Identity, Depends(allowed(Scope.ORDERS_READ, Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE))]
"""Who may see orders: a producer its own, an operator all."""
Producer = Annotated[Identity, Depends(allowed(Scope.ORDERS_WRITE))]
Changer = Annotated[Identity, Depends(allowed(Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE))]
"""Who may change orders: a producer its own, an operator all."""
Operator = Annotated[Identity, Depends(allowed(Scope.INSTALLS_WRITE))]
Admin = Annotated[Identity, Depends(allowed(Scope.ADMIN))]


def only_of(who: Identity) -> str | None:
    """Return the source whose orders are all that a caller may see; None if it may see every order."""
    return None if who.sees_all else who.source
