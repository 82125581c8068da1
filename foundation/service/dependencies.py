"""Wait for what a service needs at its start: the broker and the database may start after it."""

import threading
from collections.abc import Callable, Mapping

import structlog

from foundation.errors import BrokerUnreachable, SitecrewError, StoreUnreachable

_PAUSE = 2.0
"""Seconds between attempts."""

_log = structlog.get_logger(__name__)


class Dependencies:
    """The dependencies that have not been reached yet, each with the last error. True while there are any."""

    def __init__(self, *names: str) -> None:
        self._errors = {name: SitecrewError("not tried yet") for name in names}

    def __str__(self) -> str:
        return " and its ".join(tuple(self._errors))

    def __bool__(self) -> bool:
        return bool(self._errors)

    def require(self, name: str) -> None:
        """Raise the last error of a dependency that has not been reached."""
        if error := self._errors.get(name):
            raise error.with_traceback(None)  # or the traceback would grow with each call

    def reach(self, attempts: Mapping[str, Callable[[], object]], stop: threading.Event) -> bool:
        """Call each attempt until it succeeds, logging why the service waits. Returns False if `stop` is set first."""
        left = dict(attempts)
        while not stop.is_set():
            for name in tuple(left):
                try:
                    left[name]()
                except (BrokerUnreachable, StoreUnreachable) as error:
                    self._errors[name] = error
                    _log.warning("service.waiting", reason=str(error))
                else:
                    del left[name]
                    self._errors.pop(name, None)
            if not left:
                return True
            stop.wait(_PAUSE)
        return False
