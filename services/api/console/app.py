"""The staff's console: pages for browsers."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.errors import BrokerUnreachable, NotFound, Refused, StoreUnreachable
from foundation.wording import in_words
from services.api.console import (
    activity_log,
    asks,
    installs,
    letters,
    orders,
    parked_page,
    settings_page,
    sign_in,
    staff_page,
    start,
    webhooks_page,
    workers,
)
from services.api.console.pages import page
from services.api.console.visitor import Forbidden, SignInNeeded, line
from services.api.desk import Desk
from services.api.finding.paging import BadCursor

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def console_of(desk: Desk) -> FastAPI:
    """Return the console. It opens nothing."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state.desk = desk
    app.add_middleware(SafeHeaders)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    for page_of in (
        sign_in,
        start,
        installs,
        orders,
        letters,
        activity_log,
        parked_page,
        workers,
        settings_page,
        staff_page,
        webhooks_page,
        asks,
    ):
        app.include_router(page_of.router)
    _answer_errors(app)
    return app


class SafeHeaders:
    """Tell browsers what pages may do: nothing that does not come from here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                is_static = scope["path"].startswith("/static/")
                headers["Cache-Control"] = "no-cache" if is_static else "no-store"
            await send(message)

        await self._app(scope, receive, sending)


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(SignInNeeded)
    def sign_in_first(request: Request, _error: SignInNeeded) -> Response:
        if "hx-request" in request.headers:
            return Response(status_code=401, headers={"HX-Refresh": "true"})
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        wanted = f"?back={quote(back)}" if request.method == "GET" and back != "/" else ""
        return RedirectResponse(f"/sign-in{wanted}", 303)

    @app.exception_handler(Forbidden)
    def forbidden(request: Request, error: Forbidden) -> HTMLResponse:
        if request.method == "POST":
            desk: Desk = request.app.state.desk
            with desk.writing() as uow:
                desk.note(uow.connection, line(desk, "staff.refused", error.visitor.name, str(error)))
        return _page(request, 403, "You cannot do that", f"{error}.")

    for kind, status, title in _TOLD:
        app.add_exception_handler(kind, partial(_told, status, title))

    @app.exception_handler(StoreUnreachable)
    def unreachable(request: Request, _error: StoreUnreachable) -> HTMLResponse:
        reason = "The console's database does not answer. Try again in a moment; nothing was changed."
        return _page(request, 503, "Not available just now", reason)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> HTMLResponse:
        faults = "; ".join(f"{item['loc'][-1]} {in_words(item)}" for item in error.errors())
        return _page(request, 422, "Something in the form is not valid", faults)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> HTMLResponse:
        titles = {404: "Not found", 405: "Not found"}
        return _page(request, error.status_code, titles.get(error.status_code, "Error"), str(error.detail))


_TOLD = (
    (NotFound, 404, "Not found"),
    (Refused, 409, "That is not possible"),
    (BrokerUnreachable, 503, "The broker does not answer"),
    (BadCursor, 400, "There is no such page of the list"),
)


def _told(status: int, title: str, request: Request, error: Exception) -> HTMLResponse:
    return _page(request, status, title, f"{error}.")


def _page(request: Request, status: int, title: str, reason: str) -> HTMLResponse:
    return page(request, "error", None, status=status, title=title, reason=reason)
