"""Threads for effects. All are daemons: one that hangs for ever must not keep its process from ending."""

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Pool(Generic[Work]):
    """At most `size` threads, each made when there is work that no other is free for. What `do` raises is lost."""

    def __init__(self, size: int, name: str, do: Callable[[Work], None]) -> None:
        self._size = size
        self._name = name
        self._do = do
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads = 0
        self._free = threading.Semaphore(0)

    def submit(self, work: Work) -> None:
        """Do it as soon as a thread is free. From one thread only."""
        self._queue.put(work)
        if not self._free.acquire(blocking=False) and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._run, name=f"{self._name} {self._threads}", daemon=True).start()

    def take_back(self) -> list[Work]:
        """What no thread has begun, and none will now."""
        waiting: list[Work] = []
        with suppress(Empty):
            while work := self._queue.get_nowait():
                waiting.append(work)
        return waiting

    def close(self) -> None:
        """Let the threads go, once they have done what they are at."""
        self.take_back()
        for _ in range(self._threads):
            self._queue.put(None)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            with suppress(BaseException):  # the thread lives on, whatever its work came to
                self._do(work)

    def _next(self) -> Work | None:
        try:
            return self._queue.get_nowait()
        except Empty:
            self._free.release()
            return self._queue.get()
