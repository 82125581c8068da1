"""What a service waits for at its start: broker and database may start after it."""

import threading
from collections.abc import Callable, Mapping

import structlog

from foundation.errors import BrokerUnreachable, SitecrewError, StoreUnreachable

_PAUSE = 2.0
"""Seconds between attempts."""

_log = structlog.get_logger(__name__)


class Awaited:
    """What has not been reached yet, and why."""

    def __init__(self, *names: str) -> None:
        self._troubles = {name: SitecrewError("it has not been asked yet") for name in names}

    def __str__(self) -> str:
        return " and its ".join(tuple(self._troubles))

    def __bool__(self) -> bool:
        return bool(self._troubles)

    def require(self, name: str) -> None:
        """Raises the last error of what has not been reached."""
        if trouble := self._troubles.get(name):
            raise trouble.with_traceback(None)  # else it would grow with each question

    def reach(self, attempts: Mapping[str, Callable[[], object]], stop: threading.Event) -> bool:
        """Try each until it succeeds, saying so. False if told to stop."""
        left = dict(attempts)
        while not stop.is_set():
            for name in tuple(left):
                try:
                    left[name]()
                except (BrokerUnreachable, StoreUnreachable) as error:
                    self._troubles[name] = error
                    _log.warning("service.waiting", reason=str(error))
                else:
                    del left[name], self._troubles[name]
            if not left:
                return True
            stop.wait(_PAUSE)
        return False
