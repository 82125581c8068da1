"""GET /status/{token}: how far an order is, for its customer."""

from functools import cache

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from sqlalchemy import Connection

from foundation.errors import StoreUnreachable
from services.api.asking import Asked
from services.api.desk import Desk
from services.api.finding.story import Story
from services.api.status import links
from services.api.status.progress import Progress
from services.api.status.texts import TEXTS

router = APIRouter(include_in_schema=False)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
_EVERY = 10
"""Seconds after which the page is loaded again while something is to come."""


@router.get("/status/{token}")
def status(token: str, request: Request) -> HTMLResponse:
    """Show how far an order is to whoever has its link."""
    desk: Desk = request.app.state.desk
    try:
        with desk.reading() as connection:
            progress = _progress(desk, connection, token)
    except StoreUnreachable:
        return _page(desk, 503, Progress(), "later")
    if progress is None:
        return _page(desk, 404, Progress(), "unknown")
    if progress.is_over(desk.now(), desk.settings.api.status_page_days):
        return _page(desk, 410, progress, "over")
    return _page(desk, 200, progress)


def _progress(desk: Desk, connection: Connection, token: str) -> Progress | None:
    """Return how far the order is that a link leads to; None if the link was never made."""
    own, order_id = desk.settings.api, links.order_of(token)
    if story := Story.of(connection, order_id):
        return Progress.of(story) if links.is_genuine(own, token, story.order.placed_by or "") else None
    placed = Asked.placed(connection, order_id)
    return Progress() if any(links.is_genuine(own, token, asked.source) for asked in placed) else None


def _page(desk: Desk, code: int, progress: Progress, instead: str = "") -> HTMLResponse:
    """Return the page; `instead` names what it says instead of the order's progress."""
    language = _language(desk, progress)
    shown = {"of": progress, "instead": instead, "text": TEXTS[language], "language": language}
    refresh = _EVERY if code == 503 or (not instead and progress.ended_at is None) else 0
    brand = desk.settings.mailer.brand
    page = _template().render(**shown, refresh=refresh, brand=brand, support=desk.settings.mailer.support)
    return HTMLResponse(page, code, _HEADERS)


def _language(desk: Desk, progress: Progress) -> str:
    """Return the language in which its letter is written, or English if the page is not there in that."""
    site = desk.settings.sites.get(progress.site_type or "")
    locales = (progress.locale, site.locale if site else None, desk.settings.mailer.locale)
    wanted = next(locale for locale in locales if locale).partition("_")[0]
    return wanted if wanted in TEXTS else "en"


@cache
def _template() -> Template:
    made = Environment(loader=PackageLoader("services.api.status"), autoescape=True, undefined=StrictUndefined)
    return made.get_template("status.html.j2")
