"""Render the console's pages."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from services.api.access.identity import Role
from services.api.console.visitor import Visitor

_MENU = (
    ("/", "Needs you"),
    ("/installs", "Installs"),
    ("/orders", "Orders"),
    ("/letters", "Letters"),
    ("/parked", "Parked"),
    ("/activity", "Activity"),
    ("/workers", "Workers"),
    ("/settings", "Settings"),
    ("/staff", "Staff"),
)

_MOMENT = timedelta(seconds=5)


def page(
    request: Request, template: str, visitor: Visitor | None = None, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Return a page, made of a template and what it shows."""
    here, now = request.url.path, request.app.state.desk.now()
    shown: dict[str, Any] = {
        "visitor": visitor,
        "form_token": visitor.form_token if visitor else "",
        "menu": [(path, name, here == path or here.startswith(f"{path}/")) for path, name in _menu(visitor)],
        "here": _here(request),
        "now": now,
        "behind": _behind(request, now),
        **values,
    }
    return HTMLResponse(_templates().get_template(f"{template}.html.j2").render(shown), status)


def _behind(request: Request, now: datetime) -> timedelta | None:
    """Return how old the state is that pages show, if that is more than a moment."""
    since: datetime | None = getattr(request.state, "behind_since", None)
    return now - since if since and now - since >= _MOMENT else None


def _menu(visitor: Visitor | None) -> list[tuple[str, str]]:
    is_admin = visitor is not None and visitor.may(Role.ADMIN)
    return [entry for entry in _MENU if is_admin or entry[0] != "/staff"]


def _here(request: Request) -> str:
    """Return the address of the page, to come back to."""
    query = "&".join(part for part in request.url.query.split("&") if part and not part.startswith("asked="))
    return request.url.path + (f"?{query}" if query else "")


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("services.api.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=when, span=span, kind=_kind, prose=prose)
    made.globals["Role"] = Role
    return made


def when(moment: datetime | None, mode: str = "") -> str:
    """A moment as an element that the console's script writes in the viewer's time zone; `mode` is `countdown` or
    `ago`. Without the script, it is UTC."""
    if moment is None:
        return "-"
    exact = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    made = '<time datetime="{}" title="{}" data-mode="{}">{}</time>'
    return Markup(made).format(moment.isoformat(), exact, mode, f"{moment:%Y-%m-%d %H:%M} UTC")  # noqa: S704 - `format` escapes


def prose(text: str) -> str:
    """A sentence in which what stands between backticks, a command or a setting, is set as code."""
    plain, *rest = text.split("`")
    # Every second part was between two of them; after an odd one, there is no second.
    parts = [Markup("<code>{}</code>").format(part) if index % 2 == 0 else part for index, part in enumerate(rest)]
    if len(rest) % 2:
        parts[-1] = f"`{rest[-1]}"
    return Markup("").join([plain, *parts])


def span(seconds: float | timedelta | None) -> str:
    """A duration as people say it: `4.2 s`, `3 min`, `2 h`, `5 days`."""
    if seconds is None:
        return "-"
    seconds = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((86400 * 2, "days"), (3600 * 2, "h"), (120, "min")):
        if seconds >= size:
            whole = {"days": 86400, "h": 3600, "min": 60}[unit]
            return f"{seconds / whole:.0f} {unit}"
    return f"{seconds:.0f} s"


_KINDS: Mapping[str, str] = {
    "staff.signed_in": "signed in",
    "staff.signed_out": "signed out",
    "staff.signed_out_everywhere": "signed out everywhere",
    "staff.sign_in_failed": "sign-in failed",
    "staff.refused": "was refused",
}


def _kind(name: str) -> str:
    """What kind of thing happened, in words: `install failed`."""
    return _KINDS.get(name) or name.replace(".", " ").replace("_", " ")
