"""Threads for acts. Daemons all of them: one that hangs for ever must not keep its process from ending."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue

_Item = tuple[Future[None], Callable[[], object]]


class Pool:
    """At most `size` threads, each made when there is work that no other is free for."""

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._work: SimpleQueue[_Item | None] = SimpleQueue()
        self._threads = 0
        self._free = threading.Semaphore(0)

    def submit(self, turn: Future[None], work: Callable[[], object]) -> None:
        """Do it as soon as a thread is free, unless `turn` has been cancelled by then. From one thread only."""
        self._work.put((turn, work))
        if not self._free.acquire(blocking=False) and self._threads < self._size:
            self._threads += 1
            threading.Thread(target=self._run, name=f"{self._name} {self._threads}", daemon=True).start()

    def close(self) -> None:
        """Let the threads go, once they have done what they are at. What waits for one is cancelled."""
        with suppress(Empty):
            while item := self._work.get_nowait():
                item[0].cancel()
        for _ in range(self._threads):
            self._work.put(None)

    def _run(self) -> None:
        while (item := self._next()) is not None:
            turn, work = item
            if not turn.set_running_or_notify_cancel():
                continue
            try:
                work()
            except BaseException as error:  # noqa: BLE001  # whoever looks at the turn finds it; the thread lives on
                turn.set_exception(error)
            else:
                turn.set_result(None)

    def _next(self) -> _Item | None:
        try:
            return self._work.get_nowait()
        except Empty:
            self._free.release()
            return self._work.get()
