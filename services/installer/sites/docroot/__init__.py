"""Putting a staged tree in place of a document root, so that a crash at any point can be recovered from.

    <home>/www/                     what the web server serves
    <home>/.stage-g<G>-f<F>/        the tree that run (G, F) builds; no web server serves it
    <home>/private/journal.json     the latest run, and whether its tree may be in `www` unverified
    <home>/private/site.json        the marker: the verified site
    <home>/private/site.lock        held while any of these is read to decide, or changed

A run begins (`begin`: recovers from a crash, then shuts out earlier runs), builds beside `www`, and
goes live: journal, exchange, verification, marker. Without the marker, the trees are exchanged back,
by the same code after a failure and after a crash.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from foundation.errors import Failed
from foundation.hosting import Databases, Server
from foundation.hosting.disk import disk_errors, sync_directory
from services.installer.sites import KEEP, InstalledSite, Job, Step
from services.installer.sites.causes import failed
from services.installer.sites.docroot import keeping, trash
from services.installer.sites.docroot.markers import (
    Journal,
    SiteMarker,
    read_journal,
    read_site,
    write_journal,
    write_site,
)
from services.installer.sites.docroot.runs import Run, database_prefix
from services.installer.sites.docroot.syscalls import exchange, require_exchangeable, sync_disk

_log = structlog.get_logger()
_LOCK_POLL = 0.05  # seconds


@dataclass(frozen=True)
class Docroot:
    """One account's document root, for one run."""

    home: Path
    username: str
    install_id: str
    run: Run
    deadline: datetime
    databases: Databases | None
    url: str
    keep: tuple[str, ...] = KEEP
    replace: tuple[str, ...] = ()

    @classmethod
    def of(cls, job: Job, server: Server) -> "Docroot":
        """The document root of `job`; touches nothing yet."""
        run = Run(generation=job.generation, fence=job.fence)
        home = server.home(job.username)
        about = (home, job.username, job.install_id, run, job.deadline, server.databases)
        return cls(*about, job.url, job.keep, job.replace)

    @property
    def www(self) -> Path:
        """The document root itself."""
        return self.home / "www"

    @property
    def private(self) -> Path:
        """The directory of the markers."""
        return self.home / "private"

    def begin(self) -> InstalledSite | None:
        """The site, if this install is already done, at its URL; else None, and earlier runs are shut out.

        Rolls back what a crash left of earlier runs. Raises `Failed`: account_missing,
        docroot_linked, docroot_mounted, docroot_not_empty, superseded, timeout, disk_full, disk_denied.
        """
        with disk_errors(self.username), self._locked():
            self._settle()
            marker = read_site(self.private)
            done = marker is not None and (marker.install_id, marker.url) == (self.install_id, self.url)
            if not done:
                self._refuse_superseded()
                self._refuse_foreign()
                write_journal(self.private, Journal(self.install_id, self.run))
        self.sweep()
        return marker.site(adopted=True) if marker is not None and done else None

    @contextmanager
    def building(self) -> Iterator[Path]:
        """The directory to build the tree in. If the block fails, everything that the run created is removed."""
        stage = self.run.stage(self.home)
        try:
            with disk_errors(self.username):
                stage.mkdir(mode=0o700)
                os.chown(stage, -1, self.www.stat().st_gid)
                stage.chmod(0o2750)
                yield stage
        except BaseException as error:
            self.sweep()
            if isinstance(error, Exception):
                # Our things may have vanished because a later run took them away: that is then the cause.
                self._refuse_superseded(error)
            raise

    def owner(self) -> tuple[int, int] | None:
        """The user and group ids that must own the tree; None if those are this process's own."""
        www = self.www.stat()
        return None if www.st_uid == os.geteuid() else (www.st_uid, www.st_gid)

    def hand_over(self, stage: Path) -> None:
        """Give the tree to the document root's owner. From then on it is theirs: write nothing more into it."""
        if (owner := self.owner()) is None:
            return
        for directory, folders, files in os.walk(stage, topdown=False):
            for name in (*folders, *files):
                os.chown(f"{directory}/{name}", *owner, follow_symlinks=False)
        os.chown(stage, *owner, follow_symlinks=False)

    def hand_over_top(self, stage: Path) -> None:
        """What `hand_over` does, for a tree whose content is the owner's already."""
        if (owner := self.owner()) is not None:
            os.chown(stage, *owner, follow_symlinks=False)

    def go_live(self, stage: Path, marker: SiteMarker, verify: Callable[[], object], step: Step) -> None:
        """Exchange `stage` with the document root, verify, write the marker, and remove what was there before.

        Names that are not the site's are carried over (see `keeping`), and the tree is made durable before the marker
        is. If `verify` raises, the older tree is put back before the error is passed on. Raises `Failed`: superseded,
        docroot_*, exchange_unsupported, timeout, and whatever `verify` raises.
        """
        with self._locked():
            self._refuse_superseded()
            first = self._refuse_foreign()
            keeping.join_htaccess(self.www, stage, self.keep, self.owner(), first=first)
            carried = keeping.to_carry(self.www, stage, self.keep, first=first)
            with step("sync"):
                sync_disk(stage)
            try:
                with step("swap"):
                    write_journal(self.private, Journal(self.install_id, self.run, stage.stat().st_ino, carried))
                    exchange(stage, self.www)
                    keeping.move(carried, stage, self.www)
                    sync_directory(self.home)
                with step("verify"):
                    verify()
                with step("marker"):
                    write_site(self.private, marker)
                keeping.fill_up(carried, stage, self.www)
            finally:
                self._settle()
        with step("retire"):
            self._retire()

    def _retire(self) -> None:
        """The site is in place: nothing after this can fail the install."""
        try:
            self.sweep()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep meets it again
            _log.warning("site.leftovers_kept", username=self.username, reason=f"{type(error).__name__}: {error}")

    def sweep(self) -> None:
        """Remove what this run and earlier ones created and is not in use. What cannot be removed is left to the next
        sweep: an earlier run that is still alive may be adding to it, or the database server may be down."""
        journal, marker = read_journal(self.private), read_site(self.private)
        # While a swap is open (mending it failed), either tree and either database may be the one in use.
        open_run = journal.run if journal is not None and journal.swapping is not None else None
        self._sweep_trees(open_run)
        kept = {marker.database} if marker is not None else set()
        try:
            self._sweep_databases(kept, open_run)
        except Failed as error:
            _log.warning("site.leftovers_kept", username=self.username, cause=error.cause.code)

    def _sweep_trees(self, open_run: Run | None) -> None:
        for path in self.home.iterdir():
            run = Run.of_stage(path)
            if run is not None and run <= self.run and run != open_run:
                # Out of the way at once, so that an earlier run that is still copying fails instead of refilling.
                trash.throw_away(path, self.home)
        trash.empty(self.home)

    def _sweep_databases(self, kept: set[str | None], open_run: Run | None) -> None:
        if self.databases is None:
            return
        for name in self.databases.names(database_prefix(self.username)):
            run = Run.of_database(name)
            if run is not None and run <= self.run and run != open_run and name not in kept:
                self.databases.drop(name)

    def _settle(self) -> None:
        """Finish an interrupted exchange: without a marker for the new tree, the older one is put back."""
        journal = read_journal(self.private)
        if journal is None or journal.swapping is None:
            return
        marker = read_site(self.private)
        verified = marker is not None and marker.run == journal.run
        if not verified and self.www.stat().st_ino == journal.swapping:
            older = journal.run.stage(self.home)
            older.mkdir(mode=0o2750, exist_ok=True)  # were it lost, an empty site beats an unverified one
            keeping.move(journal.carried, self.www, older)
            exchange(older, self.www)
        write_journal(self.private, replace(journal, swapping=None, carried={}))

    def _refuse_superseded(self, because: Exception | None = None) -> None:
        for latest in (read_journal(self.private), read_site(self.private)):
            if latest is not None and latest.run > self.run:
                raise failed("superseded", f"{latest.run} has begun since {self.run}") from because

    def _refuse_foreign(self) -> bool:
        """Whether this is the account's first site; then nothing unknown may be in the document root."""
        if read_site(self.private) is not None:
            return False
        if names := keeping.foreign(self.www, self.keep, self.replace):
            no_marker = "and there is no marker of a site of ours"
            raise failed("docroot_not_empty", f"{self.www} contains {keeping.listed(names)}, {no_marker}")
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the account's lock, which the kernel frees if we die. Raises `Failed` (account_missing, timeout)."""
        require_exchangeable(self.home, self.www, self.private)
        handle = os.open(self.private / "site.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not _try_lock(handle):
                self._refuse_late("another run holds the document root")
                time.sleep(_LOCK_POLL)
            self._refuse_late("the deadline passed before the document root was available")
            yield
        finally:
            os.close(handle)

    def _refuse_late(self, why: str) -> None:
        if datetime.now(UTC) >= self.deadline:
            raise failed("timeout", f"{self.username}: {why}")


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
