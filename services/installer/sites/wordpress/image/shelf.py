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
from services.installer.sites.wordpress.image.making import Fill, load, make
from services.installer.sites.wordpress.image.templates import Unfit

_FORMAT = "1"
"""Changes with what an image holds, and how."""
_TRUSTED = 10.0  # seconds for which what an image was made from is taken for unchanged
_GIVEN_UP = 300.0  # seconds before an image is tried again that could not be made
_log = structlog.get_logger(__name__)


@dataclass
class Shelf:
    """The images below `place`, made from the WordPress in `core` by the PHP that `php` names."""

    place: Path
    core: Path
    php: str
    _images: dict[str, Image] = field(default_factory=dict, init=False)
    _given_up: dict[str, float] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _origin: str = field(default="", init=False)
    _looked_at: float = field(default=0.0, init=False)

    def image(self, job: Job, server: Server, plan: Plan, fill: Fill) -> Image:
        """The image for a job; made if there is none. Raises `Unfit` if it cannot be, which the log explains.

        Others who need one wait meanwhile: making it takes as long as two installs.
        """
        kind = _hashed(_FORMAT, server.name, job.url.partition(":")[0], path_of(job.url) == "/", *_wishes(job))
        with self._lock:
            key = f"{kind}-{self._made_from()}"
            if key not in self._images and time.monotonic() > self._given_up.get(key, 0.0):
                self._put(key, lambda place: make(job, server, plan, fill, place))
            if key not in self._images:
                raise Unfit("an image could not be made")
            return self._images[key]

    def forget(self, image: Image) -> None:
        """Use an image no more: the next job of its kind makes it anew."""
        with self._lock:
            for key in [key for key, known in self._images.items() if known is image]:
                del self._images[key]
                shutil.rmtree(self.place / key, ignore_errors=True)

    def _put(self, key: str, made_in: Callable[[Path], None]) -> None:
        began = time.monotonic()
        try:
            with self._alone():
                image = load(self.place / key) or self._made(key, made_in)
        except (Unfit, Failed, Refused, OSError) as reason:
            self._given_up[key] = time.monotonic() + _GIVEN_UP
            _log.warning("image.given_up", reason=str(reason))
            return
        self._images = {name: known for name, known in self._images.items() if not _same_kind(name, key)} | {key: image}
        place, seconds = self.place / key, round(time.monotonic() - began, 3)
        _log.info("image.ready", path=str(place), duration_seconds=seconds)

    def _made(self, key: str, made_in: Callable[[Path], None]) -> Image:
        for older in self.place.iterdir():
            if older.name.startswith(".draft") or _same_kind(older.name, key):
                remove_tree(older)
        draft = self.place / f".draft-{key}"
        draft.mkdir(0o700)
        try:
            made_in(draft)
            draft.rename(self.place / key)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        if (image := load(self.place / key)) is None:
            raise Unfit(f"{self.place / key} does not hold what was written into it")
        return image

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the directory's lock, so that one process of the machine makes an image at a time."""
        self.place.mkdir(0o700, parents=True, exist_ok=True)
        handle = os.open(self.place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _made_from(self) -> str:
        """A hash over what images are made from: WordPress's files and PHP, by their sizes and times."""
        if time.monotonic() > self._looked_at + _TRUSTED:
            self._origin = _hashed(*_states(self.core), _state(shutil.which(self.php) or self.php))
            self._looked_at = time.monotonic()
        return self._origin


def _wishes(job: Job) -> tuple[str | None, ...]:
    return job.locale, job.timezone, job.permalinks


def _hashed(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _same_kind(name: str, key: str) -> bool:
    return name.partition("-")[0] == key.partition("-")[0]


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
