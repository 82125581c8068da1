"""The staff's console: pages for browsers."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute
from starlette.types import Scope

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


def console_of(desk: Desk) -> FastAPI:
    """Return the console. It opens nothing."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.desk = desk
    app.mount("/static", _Static(directory=Path(__file__).parent / "static"), name="static")
    app.router.routes += _pages()
    _answer_errors(app)
    return app


@cache
def _pages() -> Sequence[BaseRoute]:
    """Return what the console answers, with all that FastAPI derives from it, which takes long and never differs."""
    router = APIRouter()
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
        router.include_router(page_of.router)
    return router.routes


class _Static(StaticFiles):
    """Files that browsers keep, and ask for again each time."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


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

    for missing, title, reason in _AWAY:
        app.add_exception_handler(missing, partial(_unavailable, title, reason))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> HTMLResponse:
        faults = "; ".join(f"{item['loc'][-1]} {in_words(item)}" for item in error.errors())
        return _page(request, 422, "Something in the form is not valid", faults)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> HTMLResponse:
        titles = {404: "Not found", 405: "Not found"}
        return _page(request, error.status_code, titles.get(error.status_code, "Error"), str(error.detail))

    @app.exception_handler(Exception)
    def unforeseen(request: Request, _error: Exception) -> HTMLResponse:
        return _page(request, 500, "Something went wrong here", "The log of the api says what.")


_TOLD = (
    (NotFound, 404, "Not found"),
    (Refused, 409, "That is not possible"),
    (BadCursor, 400, "There is no such page of the list"),
)


_AWAY = (
    (
        StoreUnreachable,
        "Not available just now",
        "The console's database does not answer. Try again in a moment; nothing was changed.",
    ),
    (
        BrokerUnreachable,
        "The broker does not answer",
        "Parked messages are there, so look which still wait, and try again in a moment.",
    ),
)


def _unavailable(title: str, reason: str, request: Request, _error: Exception) -> HTMLResponse:
    return _page(request, 503, title, reason)


def _told(status: int, title: str, request: Request, error: Exception) -> HTMLResponse:
    return _page(request, status, title, f"{error}.")


def _page(request: Request, status: int, title: str, reason: str) -> HTMLResponse:
    return page(request, "error", None, status=status, title=title, reason=reason)
