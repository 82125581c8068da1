"""Signing in and out."""

from collections.abc import Sequence
from math import ceil
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.exc import IntegrityError

from foundation.errors import Refused
from services.api.access import browsers, sessions, staff, throttle
from services.api.access.tokens import digest
from services.api.console.pages import page, span
from services.api.console.visitor import (
    AtDesk,
    Posting,
    Viewing,
    address_of,
    cookie_of,
    is_secure,
    line,
)
from services.api.desk import Desk

router = APIRouter()


def inside(back: str) -> str:
    """Return an address to go back to, if it is one of our own pages; else the start page."""
    parts = urlsplit(back)
    is_ours = back.startswith("/") and not back.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return back if is_ours and back.isprintable() else "/"


@router.get("/sign-in")
def form(request: Request, back: str = "/") -> Response:
    """Ask for name and password."""
    return page(request, "sign_in", back=inside(back), wrong="", name="")


@router.post("/sign-in")
def sign_in(
    request: Request,
    desk: AtDesk,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "/",
) -> Response:
    """Sign somebody in, with a new session."""
    name, back = name.strip(), inside(back)
    if not _is_ours(request, desk):
        return _again(request, 403, "The form was not sent by this console. Sign in here.", name, "/")
    with desk.reading() as connection:
        browser = browsers.known(connection, name, request.cookies.get(_browser_cookie(desk, request), ""))
    counted = [browser] if browser else throttle.keys(name, address_of(request))
    if wait := _counted(desk, counted):
        told = f"Too many failed sign-ins. Try again in {span(ceil(wait))}."
        answer = _again(request, 429, told, name, back)
        answer.headers["Retry-After"] = str(ceil(wait))
        return answer
    with desk.reading() as connection:
        member = staff.verified(connection, name, password)
        is_known = staff.kept_password(connection, name) is not None
    with desk.writing() as uow:
        if member is None:
            # An unknown name may be a password that was typed into the wrong field.
            who, what = (name, "") if is_known else ("nobody", "with an unknown name, ")
            desk.note(uow.connection, line(desk, "staff.sign_in_failed", who, f"{what}from {address_of(request)}"))
        else:
            throttle.forgive(uow.connection, counted, desk.now())
            if old := request.cookies.get(cookie_of(desk, request)):
                sessions.end(uow.connection, old)
            session = sessions.begin(uow.connection, member.name, desk.now(), desk.settings.api.session_hours)
            mark = browsers.mark(uow.connection, member.name)
            desk.note(uow.connection, line(desk, "staff.signed_in", member.name, f"from {address_of(request)}"))
    if member is None:
        return _again(request, 403, "Name or password is wrong, or the account is disabled.", name, back)
    response = RedirectResponse(back, 303)
    kept: dict[str, Any] = {"httponly": True, "samesite": "lax", "secure": is_secure(desk, request), "path": "/"}
    response.set_cookie(cookie_of(desk, request), session, **kept)
    response.set_cookie(_browser_cookie(desk, request), mark, **kept, max_age=int(browsers.KEPT.total_seconds()))
    return response


def _is_ours(request: Request, desk: Desk) -> bool:
    """Whether a browser sent a form of our own page, as far as it says: else others could sign somebody in as
    themselves. Whoever is no browser says nothing."""
    if site := request.headers.get("sec-fetch-site"):
        return site in {"same-origin", "none"}
    public, origin = urlsplit(str(desk.settings.api.public_url or "")), request.headers.get("origin")
    return origin is None or (urlsplit(origin).netloc or "nowhere") in {request.url.netloc, public.netloc}


def _browser_cookie(desk: Desk, request: Request) -> str:
    return f"{cookie_of(desk, request)}_browser"


def _counted(desk: Desk, counted: Sequence[str]) -> float:
    """Return the seconds to wait; 0 if it may be tried."""
    try:
        with desk.writing() as uow:
            wait = throttle.attempt(uow.connection, counted, desk.now())
    except IntegrityError:  # another one at the very same moment
        return 1
    return wait.total_seconds() if wait else 0


def _again(request: Request, status: int, wrong: str, name: str, back: str) -> Response:
    return page(request, "sign_in", status=status, wrong=wrong, name=name, back=back)


@router.post("/sign-out")
def sign_out(request: Request, desk: AtDesk, visitor: Posting, everywhere: Annotated[bool, Form()] = False) -> Response:
    """End this session, or all of the visitor's."""
    with desk.writing() as uow:
        if everywhere:
            sessions.end_all(uow.connection, visitor.name)
        else:
            sessions.end(uow.connection, visitor.session)
        kind = "staff.signed_out_everywhere" if everywhere else "staff.signed_out"
        desk.note(uow.connection, line(desk, kind, visitor.name, f"from {visitor.address}"))
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(cookie_of(desk, request), httponly=True, samesite="lax", secure=is_secure(desk, request))
    return response


@router.get("/account")
def account(request: Request, visitor: Viewing) -> Response:
    """The visitor's own password and sessions."""
    return page(request, "account", visitor, wrong="")


@router.post("/account/password")
def change_password(
    request: Request,
    desk: AtDesk,
    visitor: Posting,
    current: Annotated[str, Form()] = "",
    new: Annotated[str, Form()] = "",
    repeated: Annotated[str, Form()] = "",
) -> Response:
    """Change the visitor's own password; ends all sessions."""
    counted = (f"session {digest(visitor.session)}",)
    wait = _counted(desk, counted)
    with desk.reading() as connection:
        known = not wait and staff.verified(connection, visitor.name, current)
    wrong = ""
    if not known:
        wrong = "The current password is wrong." if not wait else f"Try again in {span(ceil(wait))}."
    elif new != repeated:
        wrong = "The new password was not repeated in the same way."
    else:
        try:
            with desk.writing() as uow:
                throttle.forgive(uow.connection, counted, desk.now())
                staff.set_password(uow.connection, visitor.name, new, desk.now())
                desk.note(uow.connection, line(desk, "staff.password_changed", visitor.name))
        except Refused as error:
            wrong = f"{error}."
    if wrong:
        return page(request, "account", visitor, status=422, wrong=wrong)
    return RedirectResponse("/sign-in", 303)
