"""The images of one machine, in one directory: each made when it is first needed, by whoever needs it first."""

import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from foundation.errors import Failed
from foundation.hosting import Server
from foundation.hosting.database_connection import Refused
from foundation.hosting.removal import remove_tree
from services.installer.sites import Job
from services.installer.sites.deployment import Plan
from services.installer.sites.wordpress.image import Image
from services.installer.sites.wordpress.image.fitting import path_of
from services.installer.sites.wordpress.image.making import load, make
from services.installer.sites.wordpress.image.templates import Unfit
from services.installer.sites.wordpress.steps import InSteps

_FORMAT = "2"
"""Changes with what an image holds, and how."""
_TRUSTED = 10.0  # seconds for which what an image was made from is taken for unchanged
_PAUSE = 300.0  # seconds before an image is made again that could not be made, or was of no use
_UNUSED = 30 * 86400.0  # seconds after which a file is removed that may be of a server or a site type of the past
_log = structlog.get_logger(__name__)


@dataclass
class _Kept:
    """The image of one kind, as this process has it."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    origin: str = ""
    image: Image | None = None
    missing: str = ""
    """Why there is none."""
    again_at: float = 0.0


@dataclass
class Shelf:
    """The images below `place`, of sites that `maker` makes."""

    place: Path
    maker: InSteps
    _kept: dict[str, _Kept] = field(default_factory=dict, init=False)
    _origin: str = field(default="", init=False)
    _looked_at: float = field(default=-_TRUSTED, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def image(self, job: Job, server: Server, plan: Plan) -> Image:
        """The image for a job; made if there is none. Raises `Unfit` if it cannot be, which the log explains.

        Whoever needs one of the same kind waits meanwhile: making it takes as long as two installs.
        """
        kind = self._kind(job, server)
        with self._lock:
            kept, origin = self._kept.setdefault(kind, _Kept()), self._made_from()
        with kept.lock:
            if kept.origin != origin or (kept.image is None and time.monotonic() > kept.again_at):
                kept.origin, kept.image = origin, None
                self._get(kept, kind, lambda place: make(job, server, plan, self.maker, place))
            if kept.image is None:
                raise Unfit(kept.missing)
            return kept.image

    def discard(self, job: Job, server: Server, image: Image, reason: str) -> None:
        """Use an image no more: some time later, another is made."""
        kind = self._kind(job, server)
        with (kept := self._kept[kind]).lock:
            if kept.image is image:
                kept.image, kept.missing = None, reason
                remove_tree(self._path(kind, kept.origin))

    def _get(self, kept: _Kept, kind: str, made_in: Callable[[Path], None]) -> None:
        began, path = time.monotonic(), self._path(kind, kept.origin)
        kept.again_at = began + _PAUSE
        try:
            with self._alone(kind):
                kept.image = load(path) or self._made(kind, path, made_in)
        except (Unfit, Failed, Refused, OSError) as error:
            kept.missing = f"an image could not be made: {error}"
            _log.warning("image.given_up", reason=str(error))
        else:
            _log.info("image.ready", path=str(path), duration_seconds=round(time.monotonic() - began, 3))

    def _made(self, kind: str, path: Path, made_in: Callable[[Path], None]) -> Image:
        self._sweep(kind)
        draft = self.place / f"{kind}.draft"
        draft.mkdir(0o700)
        try:
            made_in(draft)
            draft.rename(path)
        finally:
            remove_tree(draft)
        if (image := load(path)) is None:
            raise Unfit(f"{path} does not hold what was written into it")
        return image

    def _sweep(self, kind: str) -> None:
        """Remove what was made before for this kind, and what nobody has made again for long. Who uses an image does
        not need its name."""
        for folder in filter(Path.is_dir, self.place.iterdir()):
            if folder.name.startswith(kind) or folder.stat().st_mtime < time.time() - _UNUSED:
                remove_tree(folder)

    @contextmanager
    def _alone(self, kind: str) -> Iterator[None]:
        """Hold the kind's lock, so that one process of the machine makes an image of it at a time."""
        self.place.mkdir(0o700, parents=True, exist_ok=True)
        handle = os.open(self.place / f"{kind}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _path(self, kind: str, origin: str) -> Path:
        return self.place / f"{kind}-{origin}"

    def _kind(self, job: Job, server: Server) -> str:
        """A hash over what sites have in common that are copied from one image."""
        url = job.url.partition(":")[0], path_of(job.url) == "/"
        wishes = job.locale, job.timezone, job.permalinks
        made_by = self.maker.core, self.maker.php.program, self.maker.extras
        return _hashed(_FORMAT, *made_by, server.name, url, *wishes)

    def _made_from(self) -> str:
        """A hash over what images are made from: WordPress's files and PHP, by their sizes and times."""
        if time.monotonic() > self._looked_at + _TRUSTED:
            program = self.maker.php.program
            self._origin = _hashed(*_states(self.maker.core), _state(shutil.which(program) or program))
            self._looked_at = time.monotonic()
        return self._origin


def _hashed(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _states(core: Path) -> Iterator[str]:
    for folder, _, names in sorted(os.walk(core, followlinks=True)):
        for name in sorted(names):
            yield _state(f"{folder}/{name}")


def _state(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path} {found.st_ino} {found.st_size} {found.st_mtime_ns}"
