"""Finds the installed RabbitMQ, and lays out a slimmer copy that starts in half the time."""

import re
import shutil
from pathlib import Path

from foundation.errors import ConfigurationError
from sitecrew.stack.processes import PATH

_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/rabbitmq/sbin", "/usr/local/sbin")  # Debian and rabbitmq.com, images, others
_APPLICATIONS = re.compile(r"\{\s*applications\s*,\s*\[([^\]]*)\]")


def installed() -> Path:
    """The directory of RabbitMQ's real scripts. Raises `ConfigurationError` if there is none.

    Debian's wrappers in /usr/sbin do not work here: they change the user and the directory.
    """
    for place in _PLACES:
        script = Path(place) / "rabbitmq-server"
        if script.exists() and shutil.which("erl", path=PATH):
            return script.resolve().parent
    message = "RabbitMQ is not installed here: run `apt-get install rabbitmq-server`, or `script/bootstrap broker`."
    raise ConfigurationError(message)


def lay_out(package: Path, home: Path, wanted: set[str]) -> None:
    """Make `home` look like the package with only the wanted applications and their dependencies.

    Erlang looks for each of some 500 modules in all of its directories, in order. Without the 50 plugins that are not
    used here, the node starts in half the time (measured: 3.2 instead of 6.5 s).
    """
    shutil.rmtree(home, ignore_errors=True)
    (home / "plugins").mkdir(parents=True)
    (home / "sbin").symlink_to(package / "sbin")
    (home / "escript").symlink_to(package / "escript")
    for directory in _needed(package / "plugins", wanted):
        (home / "plugins" / directory.name).symlink_to(directory)


def _needed(plugins: Path, wanted: set[str]) -> set[Path]:
    """The directories of the wanted applications and their dependencies, without Erlang's own."""
    found: dict[str, Path] = {}
    open_names = set(wanted)
    while open_names:
        name = open_names.pop()
        for description in plugins.glob(f"{name}-*/ebin/{name}.app"):
            found[name] = description.parent.parent
            for names in _APPLICATIONS.findall(description.read_text()):
                open_names |= set(re.findall(r"\w+", names)) - found.keys()
    if missing := wanted - found.keys():
        message = f"RabbitMQ in {plugins.parent} has no {', '.join(sorted(missing))}: is its installation complete?"
        raise ConfigurationError(message)
    return set(found.values())
