"""A thread pool for effects. Its threads are daemons, so that one that hangs cannot keep the process from exiting."""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Pool(Generic[Work]):
    """Up to `size` threads, started on demand, that call `do` for each piece of work. Exceptions of `do` are lost."""

    def __init__(self, size: int, name: str, do: Callable[[Work], None]) -> None:
        self._size = size
        self._name = name
        self._do = do
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads = 0
        self._free = threading.Semaphore(0)

    def submit(self, work: Work) -> None:
        """Queue work for the next free thread. Call it from one thread only."""
        self._queue.put(work)
        if not self._free.acquire(blocking=False) and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._run, name=f"{self._name} {self._threads}", daemon=True).start()

    def take_back(self) -> list[Work]:
        """Remove and return the work that no thread has begun."""
        waiting: list[Work] = []
        with suppress(Empty):
            while work := self._queue.get_nowait():
                waiting.append(work)
        return waiting

    def close(self) -> None:
        """Drop queued work, and end each thread when its current work is done. Does not wait."""
        self.take_back()
        for _ in range(self._threads):
            self._queue.put(None)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            with suppress(BaseException):  # the thread must survive whatever its work raises
                self._do(work)

    def _next(self) -> Work | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            self._free.release()
            return self._queue.get()
