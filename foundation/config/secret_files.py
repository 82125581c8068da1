"""Which files hold secrets of ours, and whether anybody on the machine can read them."""

from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from foundation.config import sources
from foundation.config.settings import Settings, known

_ANYBODY = 0o007


def exposed(settings: Settings, path: Path | None = None, *, environment: bool = True) -> list[Path]:
    """The files with secrets that everybody can read or write: the settings file at `path` (or the usual place), what
    `_FILE` variables name, and private keys."""
    found = []
    for file in _files(settings, path, environment):
        with suppress(OSError):  # one that cannot be looked at is nobody else's either
            if file.stat().st_mode & _ANYBODY:
                found.append(file)
    return found


def _files(settings: Settings, path: Path | None, environment: bool) -> Iterator[Path]:
    secrets = [name for name, info in known().items() if "Secret" in repr(info.annotation)]
    given = sources.read(path, known(), environment)

    def is_secret(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in secrets)

    if given.place and any(map(is_secret, sources.leaves(given.document))):
        yield given.place
    named = sources.own_variables()
    for variable in given.variables:
        if is_secret(variable.setting) and variable.name.upper().endswith("_FILE"):
            yield Path(named[variable.name].strip())
    yield from filter(None, (settings.amqp_tls.key, settings.api.tls_key))
