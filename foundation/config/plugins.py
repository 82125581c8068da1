"""Load third-party site installers and hosting drivers: classes of installed packages, found by entry point.

Only plug-ins that the settings name are imported. docs/extending.md describes what such a class must provide.
"""

from collections.abc import Collection, Mapping
from importlib import metadata
from typing import Any

from pydantic import BaseModel, Secret, ValidationError

from foundation.errors import ConfigurationError
from foundation.wording import in_words

SITE_INSTALLERS = "sitecrew.site_installers"
HOSTING_SERVERS = "sitecrew.hosting_servers"


def find(group: str, name: str, setting: str, built_in: Collection[str]) -> type[Any]:
    """Return the class that an installed package offers under this name; `setting` is the setting that names it.

    Raises ConfigurationError if no package offers it, if several do, or if it cannot be imported.
    """
    offered = metadata.entry_points(group=group)
    found = [point for point in offered if point.name == name]
    if not found:
        names = ", ".join(sorted({*built_in, *offered.names}))
        raise ConfigurationError(
            f"{setting}: unknown plug-in {name!r}; available: {names}. A plug-in's package must be installed in this"
            f" service's Python environment and declare an entry point in the group {group}"
        )
    if len(found) > 1:
        several = " and ".join(map(_described, found))
        raise ConfigurationError(f"{setting}: {several} both offer {name!r} in {group}: uninstall one of the packages")
    try:
        return _class(found[0].load())
    except Exception as error:
        raise ConfigurationError(
            f"{setting}: cannot load {_described(found[0])} in {group}: {type(error).__name__}: {error}"
        ) from error


def made(
    kind: type[Any], needed: Collection[str], setting: str, fact: object, options: Mapping[str, Secret[Any]]
) -> Any:
    """Create an instance of a class that `find` returned, from `fact` and the plug-in's own options.

    Raises ConfigurationError if its model `Options` rejects the options, if its constructor fails, or if the instance
    lacks an attribute in `needed`.
    """
    where = f"{kind.__module__}:{kind.__qualname__}"
    model = getattr(kind, "Options", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError(f"{setting}: {where} has no pydantic model named Options")
    given = {name: value.get_secret_value() for name, value in options.items()}
    try:
        checked = model.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_faults(error, setting, model))) from None
    try:
        one = kind(fact, checked)
    except Exception as error:
        raise ConfigurationError(f"{setting}: cannot create {where}: {type(error).__name__}") from error
    if lacking := [name for name in needed if not hasattr(one, name)]:
        raise ConfigurationError(f"{setting}: {where} lacks {', '.join(lacking)}; see docs/extending.md")
    return one


def _class(loaded: object) -> type[Any]:
    if not isinstance(loaded, type):
        raise TypeError(f"expected a class, got {loaded!r}")
    return loaded


def _described(point: metadata.EntryPoint) -> str:
    package = f"the package {point.dist.name} {point.dist.version}" if point.dist else "an unknown package"
    return f"the entry point {point.name} = {point.value} of {package}"


def _faults(error: ValidationError, setting: str, model: type[BaseModel]) -> list[str]:
    section = setting.rpartition(".")[0]
    return [
        f"{section}.options.{'.'.join(map(str, item['loc']))}: {in_words(item)}"
        + (f"; known options: {', '.join(model.model_fields) or 'none'}" if item["type"] == "extra_forbidden" else "")
        for item in error.errors(include_url=False, include_input=False)
    ]
