"""The web application: the HTTP API below /v1, and the console."""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import ASGIApp, Scope

from foundation.version import version
from services.api.console.app import console_of
from services.api.desk import Desk
from services.api.gate.bodies import BodyLimit
from services.api.gate.headers import SafeHeaders
from services.api.http import activity, alerts, commands, me, openapi, orders, parked, problems, status, webhooks
from services.api.http.caller import Doorkeeper
from services.api.http.news import News
from services.api.status import page as status_page

_ABOUT = """\
Place orders, follow them, and do what staff may do. Errors are problem details (RFC 9457). Whatever is accepted here is
durable: it is carried out even if the broker is away just now.
"""


class _Elsewhere(Mount):
    """Whatever is not below /v1, where a wrong path or method is answered with problem details."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.NONE, {}) if scope["path"].startswith("/v1/") else super().matches(scope)


class _Guarded(FastAPI):
    """An application behind the gate, with everything that it answers: middleware would not see its own errors."""

    def build_middleware_stack(self) -> ASGIApp:
        desk: Desk = self.state.desk
        https = str(desk.settings.api.public_url or "").startswith("https:")
        return SafeHeaders(BodyLimit(super().build_middleware_stack()), https=https)


def api() -> FastAPI:
    """Return the HTTP API without what it works with, which is enough for its OpenAPI document."""
    app = _Guarded(
        title="Sitecrew",
        version=version(),
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    app.router.routes += _routes()
    app.openapi = _document  # type: ignore[method-assign]  # FastAPI's own way
    return app


@cache
def _routes() -> Sequence[BaseRoute]:
    """Return what is below /v1, with all that FastAPI derives from it, which takes long and never differs."""
    router = APIRouter(generate_unique_id_function=lambda route: route.name)
    for module in (me, orders, commands, activity, status, alerts, parked, webhooks):
        router.include_router(module.router, prefix="/v1", responses=openapi.PROBLEMS)
    return router.routes


@cache
def _document() -> dict[str, Any]:
    return openapi.document(api())


def app_of(desk: Desk) -> FastAPI:
    """Return the application. It opens nothing."""
    app = api()
    app.state.desk = desk
    app.state.stopping = stopping = threading.Event()  # set when the service ends: nobody waits any longer
    app.state.news = News(desk, stopping)
    app.state.doorkeeper = Doorkeeper.of(desk)
    app.include_router(status_page.router)
    app.router.routes.append(_Elsewhere("/", console_of(desk)))
    return app
