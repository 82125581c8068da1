"""Who calls: checks the token of each request, and what it may do."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.access import tokens
from services.api.access.identity import Identity, Scope
from services.api.desk import Desk
from services.api.http.problems import Problem

_bearer = HTTPBearer(auto_error=False, description="An API token, as an admin creates it in the console.")


def desk_of(request: Request) -> Desk:
    """Return what the application works with."""
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(desk_of)]


def identified(desk: AtDesk, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Identity:
    """Return whose token the request bears. Raises Problem 401."""
    with desk.reading() as connection:
        who = tokens.identify(connection, given.credentials) if given else None
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
