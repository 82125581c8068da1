"""The web application: the HTTP API below /v1, and the console."""

from importlib.metadata import version

from fastapi import FastAPI

from services.api.console.app import console_of
from services.api.desk import Desk
from services.api.http import me, problems

_ABOUT = """\
Place orders, follow them, and do what staff may do. Errors are problem details (RFC 9457). Whatever is accepted here is
durable: it is carried out even if the broker is away just now.
"""


def app_of(desk: Desk) -> FastAPI:
    """Return the application. It opens nothing."""
    app = FastAPI(
        title="Sitecrew",
        version=version("sitecrew"),
        description=_ABOUT,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.desk = desk
    problems.install(app)
    for router in (me.router,):
        app.include_router(router, prefix="/v1")
    app.mount("/", console_of(desk))
    return app
