"""People who may sign in, API tokens, and the list of webhooks."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from foundation.errors import NotFound, Refused
from services.api.access import passwords, staff, tokens
from services.api.access.identity import Role, Scope
from services.api.access.tables import tokens as token_table
from services.api.console.pages import page
from services.api.console.visitor import Administering, AtDesk, Viewing, Visitor, line
from services.api.desk import Desk
from services.api.webhooks import endpoints

router = APIRouter()

Name = Annotated[str, Form(max_length=64)]

_SCOPES = {
    Scope.ORDERS_WRITE: "place orders, and change its own",
    Scope.ORDERS_READ: "see its own orders",
    Scope.INSTALLS_WRITE: "see all orders, and do what an operator may",
    Scope.ADMIN: "do everything",
}


@router.get("/staff")
def people(request: Request, desk: AtDesk, visitor: Viewing) -> Response:
    """List staff and tokens."""
    return _page(request, desk, visitor)


def _page(request: Request, desk: Desk, visitor: Visitor, secret: tuple[str, str] | None = None) -> Response:
    """Return the page; `secret` is a new password or token and whose it is, which is shown this once."""
    visitor.require(Role.ADMIN, "The page Staff")
    with desk.reading() as connection:
        members = staff.Member.all(connection)
        given = connection.execute(_tokens()).all()
        hooks = endpoints.all_of(connection)
    values: dict[str, Any] = {"members": members, "tokens": given, "scopes": _SCOPES, "roles": list(Role)}
    values["hooks"] = hooks
    return page(request, "staff", visitor, secret=secret, **values)


def _tokens() -> Any:
    columns = [column for column in token_table.c if column is not token_table.c.digest]
    return select(*columns).order_by(token_table.c.name)


@router.post("/staff/add")
def add(
    request: Request, desk: AtDesk, visitor: Administering, name: Name = "", role: Annotated[Role, Form()] = Role.VIEWER
) -> Response:
    """Add somebody, with a new password that is shown once."""
    password = passwords.new()
    with desk.writing() as uow:
        staff.create(uow.connection, name.strip(), role, password, desk.now())
        _note(desk, uow.connection, visitor, "staff.added", f"{name.strip()}, role: {role}")
    return _page(request, desk, visitor, (f"Password of {name.strip()}", password))


@router.post("/staff/role")
def change_role(desk: AtDesk, visitor: Administering, name: Name, role: Annotated[Role, Form()]) -> Response:
    """Change what somebody may do."""
    with desk.writing() as uow:
        staff.set_role(uow.connection, name, role, desk.now())
        _note(desk, uow.connection, visitor, "staff.role_changed", f"{name}, role: {role}")
    return RedirectResponse("/staff", 303)


@router.post("/staff/disable")
def disable(desk: AtDesk, visitor: Administering, name: Name, disabled: Annotated[bool, Form()]) -> Response:
    """Disable somebody, or enable them again."""
    with desk.writing() as uow:
        staff.set_disabled(uow.connection, name, disabled, desk.now())
        _note(desk, uow.connection, visitor, "staff.disabled" if disabled else "staff.enabled", name)
    return RedirectResponse("/staff", 303)


@router.post("/staff/password")
def reset_password(request: Request, desk: AtDesk, visitor: Administering, name: Name) -> Response:
    """Give somebody a new password, which is shown once."""
    password = passwords.new()
    with desk.writing() as uow:
        staff.set_password(uow.connection, name, password, desk.now())
        _note(desk, uow.connection, visitor, "staff.password_reset", name)
    return _page(request, desk, visitor, (f"New password of {name}", password))


@router.post("/staff/tokens/add")
def add_token(
    request: Request,
    desk: AtDesk,
    visitor: Administering,
    scopes: Annotated[list[Scope], Form(default_factory=list)],
    name: Name = "",
    source: Annotated[str, Form(max_length=255)] = "",
) -> Response:
    """Create an API token, which is shown once."""
    name, source = name.strip(), source.strip() or f"/{name.strip()}"
    if not name or not name.isprintable() or not scopes or not source.isprintable():
        raise Refused("a token needs a name and at least one thing that it may do")
    if f"{source}/".startswith("/sitecrew/"):
        raise Refused(
            "no token speaks for Sitecrew's own services: choose a source that does not begin with /sitecrew/"
        )
    try:
        with desk.writing() as uow:
            token = tokens.create(uow.connection, name, source, scopes, visitor.name, desk.now())
            _note(desk, uow.connection, visitor, "token.created", f"{name}, {' '.join(sorted(scopes))}")
    except IntegrityError:
        raise Refused(f"there is a token named {name} already") from None
    return _page(request, desk, visitor, (f"Token {name}", token))


@router.post("/staff/tokens/rotate")
def rotate_token(request: Request, desk: AtDesk, visitor: Administering, name: Name) -> Response:
    """Replace a token; the old one is void at once."""
    with desk.writing() as uow:
        token = tokens.rotate(uow.connection, name)
        if token is None:
            raise NotFound(f"there is no token named {name}")
        _note(desk, uow.connection, visitor, "token.rotated", name)
    return _page(request, desk, visitor, (f"New token {name}", token))


@router.post("/staff/tokens/disable")
def disable_token(desk: AtDesk, visitor: Administering, name: Name) -> Response:
    """Make a token void for good."""
    with desk.writing() as uow:
        if not tokens.disable(uow.connection, name):
            raise NotFound(f"there is no token named {name}")
        _note(desk, uow.connection, visitor, "token.disabled", name)
    return RedirectResponse("/staff", 303)


def _note(desk: Desk, connection: Connection, visitor: Visitor, kind: str, detail: str) -> None:
    desk.note(connection, line(desk, kind, visitor.name, detail))
