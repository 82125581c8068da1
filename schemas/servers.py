"""Events about hosting servers, and the commands with which staff pause them."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import Cause, Line, Model


class ServerPause(Model):
    """Command: begin no install on a hosting server, and create no account there. Running ones are finished."""

    server: Line
    """Its name in the settings."""
    until: Moment | None = None
    """When the pause ends by itself, RFC 3339; if not given, `server.resume` ends it."""
    reason: Line | None = None
    """Why, for whoever finds it paused."""


class ServerResume(Model):
    """Command: begin installs on a hosting server again, whether it was paused or is failing."""

    server: Line
    """Its name in the settings."""


class ServerOpened(Model):
    """No install begins on a hosting server, and no account is created there: it has failed again and again, or staff
    have paused it."""

    server: Line
    """Its name in the settings."""
    state: Literal["open", "paused"]
    """Whether its failures are the reason, or staff."""
    since: Moment
    """Since when, RFC 3339."""
    until: Moment | None = None
    """When one install is let through to try it, or the pause ends; absent if staff have to end it."""
    failures: Annotated[int, Field(ge=1)] | None = None
    """How many installs in a row have failed because of the server."""
    cause: Cause | None = None
    """Why the last of them failed."""
    reason: Line | None = None
    """Why it is paused, as staff said."""


class ServerClosed(Model):
    """Installs begin on a hosting server again, and accounts are created."""

    server: Line
    """Its name in the settings."""
