"""The variables of a recipe's templates, and rendering them without leaking secrets.

Secrets go only into files and standard input. Anywhere else (arguments, URLs, expected texts) using one is an error,
which `sitecrew doctor` finds before any customer does.
"""

import difflib
import shlex
import string
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from foundation.hosting import Database
from foundation.passwords import generated, without
from services.installer.sites import Job
from services.installer.sites.archive.reading import wrong
from services.installer.sites.archive.recipe import Recipe, Secret
from services.installer.sites.programs.php import quoted

INVENTED: Mapping[str, str] = MappingProxyType(
    {
        "url": "http://shop.example/",
        "domain": "shop.example",
        # As a customer may choose them: what can't be written down with these is not quoted well.
        "title": """-It's a "site" = $x {y} <b> & \\ % # ; | 'z""",
        "email": "-o'neil+shop@shop.example",
        "locale": "",
        "timezone": "",
        "account": "shop",
        "path": "/home/shop/www",
        "stage": "/home/shop/.stage",
    }
)
"""Values for rehearsing templates: a site that nobody ordered."""

INVENTED_DATABASE = Database(host="localhost", name="shop_g1f1", username="shop_g1f1", password="none")  # noqa: S106

_CHOSEN = {"title", "email", "login"}
_WITHHELD = "secrets are allowed only in files and on stdin"
_LETTERS = string.ascii_letters + string.digits


class _Unknown(jinja2.StrictUndefined):
    """An unknown variable in a template; its error lists the known ones."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[jinja2.TemplateRuntimeError] = jinja2.UndefinedError,
    ) -> None:
        if hint is None and isinstance(obj, Mapping):
            hint = f"unknown {name!r} in it; it has {', '.join(sorted(map(str, obj))) or 'nothing'}"
        super().__init__(hint, obj, name, exc)


@dataclass(frozen=True)
class Words:
    """The variables for one recipe's templates, in one install."""

    recipe: Path
    plain: Mapping[str, Any]
    """Variables that are not secret."""
    secret: Mapping[str, Mapping[str, str]] = field(repr=False)
    """Secret variables, by name and key: `login.password`, `database.password`, `secrets.<name>`."""

    def render(self, where: str, text: str, *, confidential: bool = False) -> str:
        """Render a template, which may use secrets if it is `confidential`.

        Raises `Failed` (recipe_wrong), which says where.
        """
        environment = _environment()
        names = self._names(None if confidential else environment.undefined(hint=_WITHHELD))
        try:
            named = meta.find_undeclared_variables(environment.parse(text))
            if unknown := named - names.keys() - environment.globals.keys():
                raise wrong(self.recipe, f"{where}: {_nobody_knows(min(unknown), names)}")
            return environment.from_string(text).render(names)
        except jinja2.TemplateSyntaxError as error:
            raise wrong(self.recipe, f"{where}, line {error.lineno}: {error.message}") from None
        except jinja2.TemplateError as error:
            raise wrong(self.recipe, f"{where}: {without(self.secrets(), str(error))}") from None
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # Its words could repeat a secret.
            raise wrong(self.recipe, f"{where}: the template cannot be rendered ({type(error).__name__})") from None

    def chosen(self, text: str) -> set[str]:
        """The variables in a template whose values a customer chose."""
        with suppress(jinja2.TemplateSyntaxError):  # is told where it is rendered
            return meta.find_undeclared_variables(_environment().parse(text)) & _CHOSEN
        return set()

    def secrets(self) -> Iterator[str]:
        """All secrets, for masking them."""
        return (value for keys in self.secret.values() for value in keys.values())

    def _names(self, veil: jinja2.Undefined | None) -> dict[str, Any]:
        names = dict(self.plain)
        for name, keys in self.secret.items():
            names[name] = {**names.get(name, {}), **(keys if veil is None else dict.fromkeys(keys, veil))}
        return names


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=_Unknown, keep_trailing_newline=True)
    environment.filters["php"] = lambda value: quoted(str(value))
    environment.filters["sh"] = lambda value: shlex.quote(str(value))
    return environment


def names_of(job: Job, path: Path, stage: Path) -> dict[str, str]:
    """The variables about the order and the site."""
    return {
        "url": job.url,
        "domain": job.domain,
        "title": job.title,
        "email": job.admin_email,
        "locale": job.locale or "",
        "timezone": job.timezone or "",
        "account": job.username,
        "path": str(path),
        "stage": str(stage),
    }


def words_of(file: Path, recipe: Recipe, names: Mapping[str, str], database: Database | None) -> Words:
    """All variables for a recipe's templates, with new passwords.

    Raises `Failed` (recipe_wrong) if a secret's file cannot be read.
    """
    plain: dict[str, Any] = {**names, "recipe": str(file.parent)}
    secret = {"secrets": {name: _secret(file, name, one) for name, one in recipe.secrets.items()}}
    if database is not None:
        plain["database"] = {
            "host": database.host,
            "name": database.name,
            "username": database.username,
            "tls": database.tls,
        }
        secret["database"] = {"password": database.password}
    if recipe.login is not None:
        username = Words(file, plain, secret).render("login.username", recipe.login.username)
        plain["login"] = {"username": username}
        made = recipe.login.password
        secret["login"] = {"password": generated(made.length, made.letters)}
    return Words(file, plain, secret)


def _secret(file: Path, name: str, secret: Secret) -> str:
    if secret.file is None:
        return generated(secret.random or 0, _LETTERS)
    try:
        return (file.parent / secret.file).read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise wrong(file, f"secrets.{name}: cannot read {file.parent / secret.file}: {reason}") from None


def _nobody_knows(name: str, names: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(names))}"
    return f"unknown variable {name!r}; {known}"
