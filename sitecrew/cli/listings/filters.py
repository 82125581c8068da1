"""The options that filter lists and select what a command acts on, and their completion."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from importlib import import_module
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True)
class Filters:
    """The filters given on the command line; empty ones do not filter."""

    causes: Sequence[str] = ()
    server: str = ""
    site_type: str = ""
    domain: str = ""
    customer: str = ""
    since: datetime | None = None

    @property
    def given(self) -> bool:
        return self != Filters()

    def fields(self) -> dict[str, Any]:
        """Keyword arguments for the services' own filters."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


NONE = Filters()


def filtered(**options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the filters' options, all or only these, in place of its parameter `narrowed`.

    The command raises a usage error for an invalid time.
    """
    options = options or _OPTIONS
    shown = [Parameter(name, Parameter.KEYWORD_ONLY, default="", annotation=of) for name, of in options.items()]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def narrowing(**given: Any) -> None:
            command(narrowed=_filters(**{name: given.pop(name) for name in options}), **given)

        parameters: list[Parameter] = []
        for each in signature(command).parameters.values():
            parameters += shown if each.name == "narrowed" else [each.replace(kind=Parameter.KEYWORD_ONLY)]
        narrowing.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        narrowing.__annotations__ = {each.name: each.annotation for each in parameters}
        return narrowing

    return decorate


def _filters(*, cause: str, since: str, **words: str) -> Filters:
    codes = [code.strip() for code in cause.split(",") if code.strip()]
    return Filters(tuple(codes), since=moment(since), **words)


def moment(since: str) -> datetime | None:
    """A moment given as `2h` ago, `3d` ago, a date, or RFC 3339; None for an empty one."""
    from sitecrew.cli.client import session

    if not since:
        return None
    if found := re.fullmatch(r"(\d{1,6})([smhdw])", since.strip()):
        return session.now() - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    try:
        at = datetime.fromisoformat(since.strip())
    except ValueError:
        raise typer.BadParameter(f"--since {since} is not a valid time; expected 2h, 3d or 2026-01-31") from None
    return at if at.tzinfo else at.astimezone()


def later(span: str) -> datetime:
    """A moment that is `2h` or `3d` away."""
    from sitecrew.cli.client import session

    if found := re.fullmatch(r"(\d{1,6})([smhdw])", span.strip()):
        return session.now() + timedelta(seconds=int(found[1]) * _UNITS[found[2]])
    raise typer.BadParameter(f"--for {span} is not a valid span of time; expected 30m, 2h or 3d")


# Completion: each imports what it needs only when it is called.


def causes(*catalogues: str) -> Any:
    """Completion of a comma-separated list of causes, from the catalogues in these modules."""

    def complete(incomplete: str) -> Iterable[str]:
        from foundation.causes import Causes

        tables = [table for name in catalogues for table in vars(import_module(name)).values()]
        codes = {code for table in tables if isinstance(table, Causes) for code in table}
        return _last_of_list(incomplete, sorted(codes))

    return complete


def _settings(ctx: Any) -> Any:
    from foundation.config.settings import load
    from foundation.errors import SitecrewError

    try:
        return load(ctx.obj)
    except SitecrewError:
        return None


def _servers(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    settings = _settings(ctx)
    return [name for name in (settings.servers if settings else ()) if name.startswith(incomplete)]


def _site_types(ctx: typer.Context, incomplete: str) -> Iterable[str]:
    settings = _settings(ctx)
    return [name for name in (settings.sites if settings else ()) if name.startswith(incomplete)]


def states(names: Iterable[str]) -> Any:
    """Completion of a comma-separated list of states."""
    known = list(names)
    return lambda incomplete: _last_of_list(incomplete, known)


def _last_of_list(incomplete: str, known: Iterable[str]) -> Iterable[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in known if name.startswith(last)]


_CATALOGUES = ("order_intake.causes", "installer.causes", "installer.sites.causes", "mailer.causes")
_causes = causes("foundation.hosting.causes", *(f"services.{name}" for name in _CATALOGUES))

_Cause = Annotated[
    str,
    typer.Option(metavar="CODE,...", help="Only with one of these causes, such as db_down.", autocompletion=_causes),
]
_Server = Annotated[str, typer.Option(metavar="NAME", help="Only on this server.", autocompletion=_servers)]
_Type = Annotated[
    str, typer.Option("--site-type", metavar="TYPE", help="Only this site type.", autocompletion=_site_types)
]
_Domain = Annotated[str, typer.Option(metavar="NAME", help="Only domains that contain this.")]
_Customer = Annotated[str, typer.Option(metavar="TEXT", help="Only customers whose name or email contains this.")]
Since = Annotated[str, typer.Option(metavar="TIME", help="Only since then: 2h, 3d, or a date.")]
_OPTIONS = {
    "cause": _Cause,
    "server": _Server,
    "site_type": _Type,
    "domain": _Domain,
    "customer": _Customer,
    "since": Since,
}
Limit = Annotated[int, typer.Option(metavar="N", help="Show at most N.", min=1)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not prompt.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done without doing it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
SITE_TYPES = _site_types
SERVERS = _servers
