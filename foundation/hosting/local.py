"""This machine as a hosting server: a directory per account, a symbolic link per domain.

    <root>/accounts/<username>/           0711   the home
    <root>/accounts/<username>/www/       2750   the document root
    <root>/accounts/<username>/private/   0700   ours: markers, never the customer's
    <root>/vhosts/<domain>                -> ../accounts/<username>/www
    <root>/.names.lock                    held while a name is assigned or released

The links are relative, so that they work in a container that mounts the root elsewhere. Usernames and domains were
validated by `schemas.values` before they get here.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from foundation.hosting import Account, AccountRequest, Databases, Inventory, Standing, linux
from foundation.hosting.causes import failed
from foundation.hosting.disk import disk_errors, read_marker, require_room, spread, sync_directory
from foundation.hosting.drafts import abandoned, discard_abandoned, drafted
from foundation.hosting.web import WebFront

_SPACE = 1024 * 1024  # bytes an account takes at most, before any site
_INODES = 16


@dataclass(kw_only=True)
class LocalServer:
    """Satisfies `Server` with directories under `root`."""

    name: str
    root: Path
    address: str
    web_address: str
    public_port: int | None = None
    """The port in generated URLs; None: the scheme's default, which is left out."""
    front: WebFront | None = None
    """Further facts about its web server."""
    control_panel_url: str | None = None
    databases: Databases | None = None
    linux_users: bool = False
    """Create a Linux user per account, who owns its document root; requires root."""
    web_group: str = "www-data"
    """With `linux_users`: the group that the web server reads document roots as."""

    def create_account(self, request: AccountRequest) -> Account:
        """See `Server`. Raises `Failed`: username_taken, domain_taken, disk_full, disk_denied,
        server_root_missing, server_denied. Conflicts are detected before anything is created."""
        self.check()
        with disk_errors(f"account {request.username}"):
            self._refuse_taken(request)
            adopted, aliases = self._take_home(request)
            if self.linux_users:
                home = self.home(request.username)
                linux.ensure_user(request.username, home, request.password)
                linux.hand_over(home / "www", request.username, self.web_group)
        return Account(request.username, request.domain, adopted=adopted, aliases=aliases)

    def release_domain(self, username: str, domain: str) -> None:
        """See `Server`. Raises `Failed`: disk_denied."""
        with disk_errors(f"domain {domain}"), self._names_locked():
            for name in (domain, f"www.{domain}"):
                if self._target(name) == _www(username):
                    (self.root / "vhosts" / name).unlink(missing_ok=True)

    def inventory(self) -> Inventory:
        """Return the accounts and drafts below `root`. Raises `Failed`: server_root_missing, disk_denied; also while
        the accounts are read."""
        accounts = self.root / "accounts"
        if not accounts.is_dir():
            raise failed("server_root_missing", f"{accounts} is not a directory")
        with disk_errors(f"server {self.name}"):
            names = sorted(path.name for path in accounts.iterdir() if not path.name.startswith("."))
            drafts = sorted(path.name for path in abandoned(accounts))
        return Inventory((self._standing(name) for name in names), drafts)

    def _standing(self, username: str) -> Standing:
        with disk_errors(f"account {username}"):
            marker = _marker(self.home(username)).get("marker")
        return Standing(username, str(marker) if marker else None)

    def home(self, username: str) -> Path:
        """See `Server`; the directory need not exist yet."""
        return self.root / "accounts" / username

    def temporary_url(self, username: str) -> str:
        """`<scheme>://<address>[:port]/~<username>/`."""
        return self.web.url(self.address, f"/~{username}/")

    def domain_url(self, domain: str) -> str:
        """`<scheme>://<domain>[:port]/`."""
        return self.web.url(domain)

    @property
    def web(self) -> WebFront:
        """How its web server is reached, and its sites' URLs."""
        return self.front or WebFront(address=self.web_address, public_port=self.public_port)

    def check(self) -> None:
        """See `Server`. Raises `Failed`: server_root_missing, disk_full, disk_denied, server_denied."""
        if not self.root.is_dir():
            raise failed("server_root_missing", f"{self.root} is not a directory")
        with disk_errors(f"server {self.name}"):
            for part in ("accounts", "vhosts"):
                _ensure_directory(self.root / part)
        if not os.access(self.root / "accounts", os.W_OK | os.X_OK):
            raise failed("disk_denied", f"{self.root / 'accounts'} is not writable by this process")
        require_room(self.root, _SPACE, _INODES)
        if self.linux_users:
            linux.check_tools(self.web_group)

    def _refuse_taken(self, request: AccountRequest) -> None:
        self._refuse_taken_domain(request)
        home = self.home(request.username)
        if os.path.lexists(home) and _marker(home).get("marker") != request.marker:
            raise failed("username_taken", f"{home} belongs to another order")
        if self.linux_users:
            linux.refuse_taken(request.username, home)

    def _refuse_taken_domain(self, request: AccountRequest) -> None:
        target = self._target(request.domain)
        if target not in (None, _www(request.username)):
            raise failed("domain_taken", f"{request.domain} leads to {target}")

    def _target(self, domain: str) -> str | None:
        """The document root that the domain leads to. None if it is free; so is a link to an account that is gone."""
        link = self.root / "vhosts" / domain
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return "something other than a link"
        home = Path(os.path.normpath(link.parent / target)).parent
        gone = home.parent == self.root / "accounts" and not os.path.lexists(home)
        return None if gone else target

    def _link(self, name: str, username: str) -> bool:
        """Link a name to the account's document root; False if it leads to another account."""
        link = self.root / "vhosts" / name
        if self._target(name) is None:
            link.unlink(missing_ok=True)
            link.symlink_to(_www(username))
        return self._target(name) == _www(username)

    @contextmanager
    def _names_locked(self) -> Iterator[None]:
        """Hold the lock on this server's names, against any other process. It ends with ours."""
        handle = os.open(self.root / ".names.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _take_home(self, request: AccountRequest) -> tuple[bool, tuple[str, ...]]:
        """Create the home, or find that an earlier run of this order did (True), and link the domain and the free
        aliases to it.

        A single rename puts the complete home, with its marker, in place. So a crash never leaves a home without a
        marker, and a link without a home means that its account was removed.
        """
        home = self.home(request.username)
        discard_abandoned(home.parent)
        with drafted(home, {"marker": request.marker, "domain": request.domain}) as draft, self._names_locked():
            self._refuse_taken(request)
            adopted = os.path.lexists(home)
            if not adopted:
                draft.rename(home)
            self._link(request.domain, request.username)
            aliases = tuple(alias for alias in request.aliases if self._link(alias, request.username))
        sync_directory(home.parent)
        return adopted, aliases


def _ensure_directory(path: Path) -> None:
    """Create a directory that web servers can traverse but not list, whatever our umask is."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o711)
        path.chmod(0o711)
        spread(path)


def _www(username: str) -> str:
    return f"../accounts/{username}/www"


def _marker(home: Path) -> dict[str, object]:
    return read_marker(home / "private" / "account.json") or {}
