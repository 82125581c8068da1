"""Wait for what is projected, without a thread for each who waits."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic

import structlog
from sqlalchemy import Connection, func, select
from starlette.concurrency import run_in_threadpool

from foundation.errors import StoreUnreachable
from services.api.asking import Asked, Outcome
from services.api.desk import Desk
from services.api.projection.activity import activity

_PAUSE = 0.25
"""Seconds between two looks into the database, which another replica may have written to."""
_PARKED = 1.0
"""Seconds until somebody who waits for an answer learns that there will be none."""

_log = structlog.get_logger(__name__)


def newest(connection: Connection) -> int:
    """Return the number of the newest line of the activity log."""
    return connection.execute(select(func.max(activity.c.id))).scalar() or 0


class News:
    """One look for all who wait. Belongs to one event loop."""

    def __init__(self, desk: Desk, stopping: threading.Event) -> None:
        self._desk = desk
        self._stopping = stopping
        self._newest = 0
        self._looking: asyncio.Task[None] | None = None
        self.following: Counter[str] = Counter()
        """How many streams each token has open."""

    @property
    def ends(self) -> bool:
        """Whether the service stops: nobody should wait any longer."""
        return self._stopping.is_set()

    @property
    def _is_vain(self) -> bool:
        return self.ends or self._desk.broker_is_away

    async def after(self, number: int, seconds: float) -> int:
        """Wait until the activity log has a line with a higher number, or so many seconds; return the highest."""
        deadline = monotonic() + seconds
        while self._newest <= number and not self.ends and (left := deadline - monotonic()) > 0:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look())
            await asyncio.wait({self._looking}, timeout=left)
        return self._newest

    async def answered(self, find: Callable[[], Asked], seconds: float) -> Asked:
        """Return what was asked as soon as it is answered; as it is after so many seconds, or once the broker is away
        and no answer can come, if it is not."""
        deadline, seen = monotonic() + seconds, 0
        asked = await run_in_threadpool(find)
        while asked.outcome == Outcome.OPEN and not self._is_vain and (left := deadline - monotonic()) > 0:
            # What is parked instead of answered writes no line.
            seen = await self.after(seen, min(left, _PARKED))
            asked = await run_in_threadpool(find)
        return asked

    async def _look(self) -> None:
        await asyncio.sleep(_PAUSE)
        try:
            self._newest = await run_in_threadpool(self._read)
        except StoreUnreachable as error:
            _log.warning("store.unreachable", reason=str(error))

    def _read(self) -> int:
        with self._desk.reading() as connection:
            return newest(connection)
