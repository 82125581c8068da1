"""A private MariaDB server, only on a Unix socket, separate from the machine's own server."""

import os
import pwd
import secrets
import shutil
import socket
from pathlib import Path

from foundation.errors import ConfigurationError, SitecrewError
from sitecrew.stack.processes import PATH, Child, Command, ServerProcess

_LONGEST_SOCKET = 107  # bytes; sun_path in unix(7)
_INSTALL_SECONDS = 120.0
_REACHABLE = 0o711  # sites that run as users of their own must reach the socket

_SETTINGS = (
    "--skip-networking",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=2",  # a killed server loses nothing, a killed machine the last second
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=8M",
    "--max-connections=100",
)


class PrivateMariaDB(ServerProcess):
    """One server, which keeps its data and its socket across restarts and kills.

    The user who runs it is its administrator, without a password: the server asks the system who is at the other end
    of the socket. Raises `ConfigurationError` if MariaDB is not installed, or if our user id has no name.
    """

    def __init__(self, directory: Path, *, patience: float = 90.0) -> None:
        self.directory = directory.resolve()
        self.admin_user = _our_name()
        self.version = ""
        """The running server's version, such as 10.11.19-MariaDB-deb12."""
        self._patience = patience
        self._server = _program("mariadbd", "mysqld")
        self._install = _program("mariadb-install-db", "mysql_install_db")
        self.socket = _socket(self.directory)
        self.child = Child(self._command())
        self._first: Child | None = None

    def start(self) -> None:
        """Start the server, initializing its data the first time, and wait until it greets clients.

        Raises `SitecrewError` with the end of the server's log if it is not up within `patience` seconds, `Refused` if
        the directory is in use.
        """
        self.directory.mkdir(mode=_REACHABLE, parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=_REACHABLE, exist_ok=True)
        self.child.start(prepare=self._initialise)
        remedy = f"If its data is damaged, move {self.directory} away and try again."
        self.version = self.child.ready(lambda: greeting(self.socket), self._patience, remedy)

    def stop(self) -> None:
        """Shut the server down; kill it if that takes too long."""
        if self._first is not None:
            self._first.kill()
        self.child.stop()
        if self.socket.parent != self.directory:
            shutil.rmtree(self.socket.parent, ignore_errors=True)

    def kill(self) -> None:
        """Kill the server (SIGKILL): it writes nothing more."""
        if self._first is not None:
            self._first.kill()
        self.child.kill()

    def _command(self) -> Command:
        return Command(
            name="mariadb",
            argv=(
                self._server,
                "--no-defaults",  # or it would read /etc/mysql; must come first
                f"--datadir={self.directory / 'data'}",
                f"--socket={self.socket}",
                f"--pid-file={self.directory / 'mariadb.pid'}",
                # A starting server deletes the temporary tables of all others that share the folder.
                f"--tmpdir={self.directory / 'tmp'}",
                *_SETTINGS,
                *_as_root(),
            ),
            environment={"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(self.directory)},
            log=self.directory / "mariadb.log",
            grace=15.0,
            directory=self.directory,
            claim=self.directory / "lock",
        )

    def _initialise(self) -> None:
        """Initialize the data beside its place and rename it, so that an interrupted start leaves nothing partial."""
        data, fresh = self.directory / "data", self.directory / "data.new"
        (self.directory / "tmp").mkdir(mode=0o700, exist_ok=True)
        if data.exists():
            return
        shutil.rmtree(fresh, ignore_errors=True)
        self._first = Child(self._install_command(fresh))
        self._first.start()
        code = self._first.wait(_INSTALL_SECONDS)
        self._first.kill()
        if code != 0:
            said = self._first.last_words()
            message = f"cannot initialize MariaDB's data in {fresh}: is the disk full? Its output:\n{said}"
            raise SitecrewError(message)
        fresh.rename(data)

    def _install_command(self, fresh: Path) -> Command:
        return Command(
            name="mariadb-install-db",
            argv=(
                self._install,
                "--no-defaults",
                f"--datadir={fresh}",
                f"--tmpdir={self.directory / 'tmp'}",
                "--auth-root-authentication-method=socket",
                f"--auth-root-socket-user={self.admin_user}",
                "--force",  # its own name need not be in the DNS: nobody comes by the network
                "--skip-test-db",
                "--skip-name-resolve",
                *_SETTINGS,
                *_as_root(),
            ),
            environment={"PATH": PATH, "LANG": "C.UTF-8", "HOME": str(self.directory)},
            log=self.directory / "install.log",
        )


def greeting(path: Path) -> str | None:
    """The version of the server that greets clients at this socket; None if none does.

    The first packet is the server's: 3 bytes length, 1 byte number, 1 byte protocol (10), the version, a zero byte
    (MariaDB's client/server protocol, "Initial Handshake Packet").
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
            packet = connection.recv(256)
        except OSError:
            return None
    version = packet[5:].split(b"\0", 1)[0].decode(errors="replace")
    return version.removeprefix("5.5.5-") if packet[4:5] == b"\x0a" else None  # MariaDB before 11 says 5.5.5- first


def _socket(directory: Path) -> Path:
    """In the directory, or, if that path would be too long, below /tmp under a name that nobody can guess.

    TMPDIR is not used: that path may be long as well.
    """
    path = directory / "mariadb.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    return Path("/tmp") / f"sitecrew-{secrets.token_hex(8)}" / path.name  # noqa: S108 - see above


def _as_root() -> tuple[str, ...]:
    return ("--user=root",) if os.geteuid() == 0 else ()  # it refuses to run as root unless told to


def _our_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        message = f"User id {os.geteuid()} has no name, which MariaDB needs for its administrator: add the user."
        raise ConfigurationError(message) from None


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name, path=PATH):
            return found
    message = (
        "MariaDB is not installed here: run `apt-get install mariadb-server-core mariadb-client`, "
        "or `script/bootstrap wordpress`."
    )
    raise ConfigurationError(message)
