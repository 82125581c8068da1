"""A thread pool for effects. Its threads are daemons, so that one that hangs cannot keep the process from exiting."""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Generic, TypeVar

Work = TypeVar("Work")


class Pool(Generic[Work]):
    """Up to `size` threads, started on demand, that call `do` for each piece of work. Exceptions of `do` are lost."""

    def __init__(self, size: int, name: str, do: Callable[[Work], None]) -> None:
        self._size = size
        self._name = name
        self._do = do
        self._waiting: deque[Work] = deque()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        """One for each thread that is to work until nothing waits; False to end."""
        self._started = 0
        self._working = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How much work no thread has begun."""
        return len(self._waiting)

    def submit(self, work: Work) -> None:
        """Queue work for the threads at work; see `employ`."""
        self._waiting.append(work)

    def employ(self, threads: int) -> None:
        """Have at least so many threads at work while there is any, or all. Call it from one thread only."""
        with self._lock:
            more = min(threads, self._size, self._working + len(self._waiting)) - self._working
            self._working += max(0, more)
            missing = self._working - self._started
        for _ in range(missing):
            self._started += 1
            threading.Thread(target=self._run, name=f"{self._name} {self._started}", daemon=True).start()
        for _ in range(more):
            self._calls.put(True)

    def take_back(self) -> list[Work]:
        """Remove and return the work that no thread has begun."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        return waiting

    def close(self) -> None:
        """Drop queued work, and end each thread when its current work is done. Does not wait."""
        self.take_back()
        for _ in range(self._started):
            self._calls.put(False)

    def _run(self) -> None:
        while self._calls.get():
            while (work := self._next()) is not None:
                with suppress(BaseException):  # the thread must survive whatever its work raises
                    self._do(work)

    def _next(self) -> Work | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._working -= 1
            return None
