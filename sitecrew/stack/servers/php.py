"""PHP's built-in web server."""

import shutil
from pathlib import Path

from foundation.addresses import HostPort
from foundation.errors import ConfigurationError
from sitecrew.stack.ports import accepts, require_free
from sitecrew.stack.processes import PATH, Child, Command, ServerProcess

_PATIENCE = 60.0  # seconds
_WORKERS = 4  # with one, a page that asks its own site for something would wait for itself


class PhpWeb(ServerProcess):
    """Serves `root` at host and port, each request through the `router` script; its output goes to `log`.

    Raises `ConfigurationError` if PHP is not installed.
    """

    def __init__(self, root: Path, host: str, port: int, router: Path, *, log: Path) -> None:
        self.host, self.port = host, port
        self.child = Child(
            Command(
                name="php",
                argv=(
                    *(_php(), "-S", str(HostPort(host, port)), "-t", str(root)),
                    *("-d", "display_errors=0", "-d", "log_errors=1", "-d", "expose_php=0"),
                    str(router),
                ),
                environment={"PATH": PATH, "LANG": "C.UTF-8", "PHP_CLI_SERVER_WORKERS": str(_WORKERS)},
                log=log,
                grace=2.0,
                directory=root,
            )
        )

    def start(self) -> None:
        """Start the server and wait until it accepts connections.

        Raises `Refused` if the port is taken, `SitecrewError` with the end of its log if it does not start.
        """
        require_free(self.host, self.port, "PHP's web server")
        self.child.start()
        asked = "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104 - compared, not bound
        remedy = "Fix what its output complains about, and try again."
        self.child.ready(lambda: accepts(asked, self.port) or None, _PATIENCE, remedy)


def _php() -> str:
    if found := shutil.which("php", path=PATH):
        return found
    message = "PHP is not installed here: run `apt-get install php-cli php-mysql`, or `script/bootstrap wordpress`."
    raise ConfigurationError(message)
