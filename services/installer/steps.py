"""The steps of one attempt: each is told of, and begun as long as nothing is against it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import structlog

from foundation.errors import Failed
from foundation.service.broadcast import Tell
from schemas.installs import InstallProgress
from services.installer.causes import INSTALL_CAUSES
from services.installer.installs import Install

_SERVED = frozenset({"verify", "marker", "retire"})
"""Steps of a site that is served already: too late to end the install."""

_log = structlog.get_logger(__name__)


@dataclass
class Steps:
    """The steps of an attempt. If its site may stand, the first step is begun in any case: it takes back what a lost
    worker has left, or finds the site complete."""

    install: Install
    goes_on: Callable[[Install], bool]
    tell: Tell
    missing: Failed | None = None
    """What the site type requires, and is not there."""
    has_looked: bool = False

    def require(self, check: Callable[[], None]) -> None:
        """Check what the site type requires. Raises `Failed` if that is missing; if the site may stand, the step after
        the first one does."""
        try:
            with self._told("requirements"):
                check()
        except Failed as failed:
            if not self.install.may_stand:
                raise
            self.missing = failed

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Tell of a step. Before any until the site is served, raises `Failed` if something is missing, or if the
        install is to end or belongs to another worker by now."""
        is_look, self.has_looked = self.install.may_stand and not self.has_looked, True
        if not is_look and name not in _SERVED:
            if self.missing:
                raise self.missing
            if not self.goes_on(self.install):
                raise Failed(INSTALL_CAUSES.cause("cancelled", f"before the step {name}"))
        with self._told(name):
            yield

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        install = self.install
        progress = InstallProgress(**install.ref, attempt=install.current_attempt, step=name)
        self.tell(progress, install.order_id, install.trace)
        _log.debug("install.step", step=name)
        began = perf_counter()
        yield
        seconds = round(perf_counter() - began, 3)
        _log.debug("install.step_done", step=name, duration_seconds=seconds)
        self.tell(progress.model_copy(update={"seconds": seconds}), install.order_id, install.trace)
