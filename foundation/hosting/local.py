"""This machine as a hosting server: a directory per account, a symbolic link per domain.

    <root>/accounts/<username>/           0711   the home
    <root>/accounts/<username>/www/       2750   the document root
    <root>/accounts/<username>/private/   0700   ours: markers, never the customer's
    <root>/vhosts/<domain>                -> ../accounts/<username>/www

The links are relative, so a web server that sees the root elsewhere (a container) can follow them.
Usernames and domains have been checked by `schemas.values` before they come here.
"""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foundation.addresses import url_of
from foundation.hosting import Account, AccountRequest, Databases, linux
from foundation.hosting.causes import failed
from foundation.hosting.disk import disk_errors, read_marker, require_room, sync_directory, write_marker

_SPACE = 1024 * 1024  # bytes an account takes at most, before any site
_INODES = 16
_ABANDONED = 3600.0  # seconds after which a home under construction has certainly lost its builder


@dataclass(kw_only=True)
class LocalServer:
    """Satisfies `Server` with directories under `root`."""

    name: str
    root: Path
    address: str
    web_address: str
    public_port: int = 80
    """The port in generated URLs; 80 is left out of them."""
    control_panel_url: str | None = None
    databases: Databases | None = None
    linux_users: bool = False
    """Give each account a Linux user, who owns its document root; takes root."""
    web_group: str = "www-data"
    """With `linux_users`: the group as which the web server reads document roots."""

    def create_account(self, request: AccountRequest) -> Account:
        """See `Server`. Raises `Failed`: username_taken, domain_taken, disk_full, disk_denied,
        server_root_missing, server_denied. A conflict is found before anything is created."""
        self.check()
        with disk_errors(f"account {request.username}"):
            self._refuse_taken(request)
            with self._domain_claimed(request):
                adopted = self._take_home(request)
            self._link(request)
            if self.linux_users:
                home = self.home(request.username)
                linux.ensure_user(request.username, home, request.password)
                linux.hand_over(home / "www", request.username, self.web_group)
        return Account(username=request.username, domain=request.domain, adopted=adopted)

    def home(self, username: str) -> Path:
        """See `Server`; the directory need not exist yet."""
        return self.root / "accounts" / username

    def temporary_url(self, username: str) -> str:
        """`http://<address>[:port]/~<username>/`."""
        return url_of("http", self.address, self.public_port, f"/~{username}/")

    def domain_url(self, domain: str) -> str:
        """`http://<domain>[:port]/`."""
        return url_of("http", domain, self.public_port)

    def check(self) -> None:
        """See `Server`. Raises `Failed`: server_root_missing, disk_full, disk_denied, server_denied."""
        if not self.root.is_dir():
            raise failed("server_root_missing", f"{self.root} is not a directory")
        with disk_errors(f"server {self.name}"):
            for part in ("accounts", "vhosts"):
                _ensure_directory(self.root / part)
        if not os.access(self.root / "accounts", os.W_OK | os.X_OK):
            raise failed("disk_denied", f"{self.root / 'accounts'} is not writable for this process")
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

    def _refuse_taken_domain(self, request: AccountRequest) -> bool:
        """True if the domain is this account's already, False if it is free; `Failed` if it is another's."""
        link = self.root / "vhosts" / request.domain
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            target = "something that is no link"
        if target != _www(request.username):
            raise failed("domain_taken", f"{request.domain} leads to {target}")
        return True

    def _link(self, request: AccountRequest) -> bool:
        """Lead the domain to the account's document root; True if that was not so before."""
        try:
            (self.root / "vhosts" / request.domain).symlink_to(_www(request.username))
        except FileExistsError:
            self._refuse_taken_domain(request)
            return False
        return True

    @contextmanager
    def _domain_claimed(self, request: AccountRequest) -> Iterator[None]:
        """Hold the domain while the home is made: of two orders for one domain, the later finds the
        link and has created nothing. Without the home, a link made here is taken away again."""
        claimed_here = self._link(request)
        try:
            yield
        except BaseException:
            # Whoever won the username in the meantime may have it for the same domain: then the link is theirs.
            if claimed_here and _marker(self.home(request.username)).get("domain") != request.domain:
                (self.root / "vhosts" / request.domain).unlink(missing_ok=True)
            raise

    def _take_home(self, request: AccountRequest) -> bool:
        """Make the home, or find that an earlier run of this order did (True).

        The home gets its name, whole and with the marker in it, by one rename. So a crash at any
        point leaves no home without a marker, and a rename onto somebody's home fails.
        """
        home = self.home(request.username)
        if os.path.lexists(home):
            self._refuse_taken(request)
            return True
        _discard_abandoned(home)
        draft = _build(home, request)
        try:
            draft.rename(home)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            self._refuse_taken(request)
            return True
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_directory(home.parent)
        return False


def _ensure_directory(path: Path) -> None:
    """A directory that web servers may walk through but not list, whatever our umask is."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o711)
        path.chmod(0o711)


def _www(username: str) -> str:
    return f"../accounts/{username}/www"


def _marker(home: Path) -> dict[str, object]:
    return read_marker(home / "private" / "account.json") or {}


def _build(home: Path, request: AccountRequest) -> Path:
    """A complete home under a passing name beside its place."""
    draft = home.with_name(f".{home.name}.{secrets.token_hex(4)}")
    try:
        for path, mode in ((draft, 0o711), (draft / "www", 0o2750), (draft / "private", 0o700)):
            path.mkdir()
            path.chmod(mode)
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"marker": request.marker, "domain": request.domain, "created_at": created_at}
        write_marker(draft / "private" / "account.json", content)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return draft


def _discard_abandoned(home: Path) -> None:
    for draft in home.parent.glob(f".{home.name}.*"):
        # One that vanishes while we look has a builder, who has just finished.
        with suppress(FileNotFoundError):
            if draft.stat().st_mtime < time.time() - _ABANDONED:
                shutil.rmtree(draft, ignore_errors=True)
