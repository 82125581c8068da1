"""Which office a command works with: the HTTP API if the environment names one, else databases and broker."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from foundation.config import sources
from foundation.errors import ConfigurationError
from sitecrew.cli import everywhere

if TYPE_CHECKING:
    from sitecrew.cli.office.interface import Office


@dataclass(frozen=True)
class Api:
    """Where the HTTP API is, and the token for it."""

    address: str
    token: str = field(repr=False)


def api_of(ctx: typer.Context) -> Api | None:
    """Return the API that the environment names; None if it names none, or the command line has `--config`. Raises
    ConfigurationError."""
    address = sources.api_address().rstrip("/")
    if not address or ctx.obj is not None:
        return None
    if not address.startswith(("http://", "https://")):
        raise ConfigurationError(f"{sources.API_ADDRESS} must begin with https:// (or http://)")
    if ctx.meta.get(everywhere.ACTOR):
        raise ConfigurationError("--as is for commands that are sent here; over the API, the token says who is acting")
    return Api(address.removesuffix("/v1"), sources.api_token())


def office_of(ctx: typer.Context) -> "Office":
    """Return the office. Raises ConfigurationError."""
    api = api_of(ctx)
    if api is None:
        from sitecrew.cli.client import session
        from sitecrew.cli.office.direct import Direct

        return Direct(session.settings_of(ctx))
    from sitecrew.cli.office.calls import Calls
    from sitecrew.cli.office.remote import Remote

    calls = Calls(api)
    ctx.call_on_close(calls.close)
    return Remote(calls)


def require_direct(ctx: typer.Context) -> None:
    """Raise ConfigurationError if the command would have to work over the API."""
    if api_of(ctx):
        raise ConfigurationError(
            f"`{ctx.command_path}` works with settings, databases and broker, not over the API: run it where they are,"
            f" without {sources.API_ADDRESS} or with --config PATH"
        )
