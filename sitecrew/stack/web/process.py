"""The web server for static sites as a process of its own."""

import sys
from pathlib import Path

from foundation.addresses import HostPort
from sitecrew.stack.ports import accepts, require_free
from sitecrew.stack.processes import PATH, Child, Command

_ROOT = Path(__file__).parents[3]
_PATIENCE = 60.0  # seconds


class StaticWeb:
    """Serves the static sites below `root`; its output goes to `log`."""

    def __init__(self, root: Path, host: str, port: int, *, log: Path) -> None:
        self.host, self.port = host, port
        place = ("--root", str(root), "--address", str(HostPort(host, port)))
        self.child = Child(
            Command(
                name="web",
                argv=(sys.executable, "-m", "sitecrew.stack.web", *place),
                environment={"PATH": PATH, "LANG": "C.UTF-8"},
                log=log,
                directory=_ROOT,
                grace=2.0,
            )
        )

    def start(self) -> None:
        """Start the server and wait until it accepts connections. Raises `Refused` if the port is taken."""
        require_free(self.host, self.port, "the web server")
        self.child.start()
        remedy = "Fix what its output complains about, and try again."
        self.child.ready(lambda: accepts(self.host, self.port) or None, _PATIENCE, remedy)

    def stop(self) -> None:
        """Stop the server."""
        self.child.stop()

    def kill(self) -> None:
        """Kill the server."""
        self.child.kill()
