"""Post what is due, a few at a time to each receiver, so that a slow one holds up nobody else."""

import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Empty, SimpleQueue

import structlog
from sqlalchemy import Connection

from foundation.clock import Now
from foundation.config.settings import Api
from foundation.errors import SitecrewError, StoreUnreachable
from foundation.store import Store
from foundation.telemetry.health import Heartbeats
from services.api.webhooks import deliveries, endpoints
from services.api.webhooks.deliveries import Delivery
from services.api.webhooks.posting import Post, Poster, Result

AT_A_TIME = 2
"""To one endpoint."""
_THREADS = 32
_POLL = 1.0
_LOOP = "webhooks"

_log = structlog.get_logger(__name__)

_Task = tuple[Delivery, Post | None, str]


class Dispatcher:
    """Claims deliveries, posts them with a pool of threads, and writes down what came of them.

    Of each delivery: *due -> claimed (leased in the database) -> in flight -> finished -> recorded*. Whatever is lost
    between claim and record is claimed again by anybody once the lease has ended.
    """

    def __init__(self, store: Store, now: Now, own: Api, heartbeats: Heartbeats) -> None:
        self._store = store
        self._now = now
        self._own = own
        self._poster = Poster(to_private=own.webhooks_to_private)
        self._heartbeats = heartbeats
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="webhook")
        self._in_flight: dict[str, Delivery] = {}
        self._finished: SimpleQueue[tuple[Delivery, Result]] = SimpleQueue()
        self._news = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Post until `stop` is set, then wait for what is in flight."""
        while not stop.is_set():
            self._heartbeats.beat(_LOOP)
            self.run_once()
            self._news.wait(_POLL)
        self._pool.shutdown()
        self.run_once(claiming=False)
        self._heartbeats.end(_LOOP)

    def run_once(self, *, claiming: bool = True) -> int:
        """Record what has finished, and begin what is due; return how many are in flight."""
        self._news.clear()
        finished = self._take_finished()
        try:
            with self._store.reading() as connection:
                due = deliveries.due_endpoints(connection, self._now()) if claiming else set()
            if finished or due:
                with self._store.transaction() as connection:
                    for delivery, result in finished:
                        deliveries.record(connection, delivery, result, self._now())
                    tasks = self._claim(connection, due, {delivery.id for delivery, _ in finished})
            else:
                tasks = []
        except StoreUnreachable as error:
            _log.warning("store.unreachable", reason=str(error))
            for each in finished:
                self._finished.put(each)
            return len(self._in_flight)
        for delivery, _ in finished:
            self._in_flight.pop(delivery.id, None)
        for delivery, post, reason in tasks:
            self._in_flight[delivery.id] = delivery
            future = self._pool.submit(self._poster.post, post) if post else _failed(reason)
            future.add_done_callback(partial(self._done, delivery))
        return len(self._in_flight)

    def _claim(self, connection: Connection, due: set[str], finished: set[str]) -> list[_Task]:
        now = self._now()
        busy = Counter(each.endpoint_id for each in self._in_flight.values() if each.id not in finished)
        room = _THREADS - busy.total()
        tasks: list[_Task] = []
        for endpoint in sorted(due, key=lambda one: busy[one]):
            free = min(AT_A_TIME - busy[endpoint], room - len(tasks))
            claimed = deliveries.claim(connection, endpoint, free, now) if free > 0 else ()
            tasks.extend(self._task(connection, delivery) for delivery in claimed)
        return tasks

    def _task(self, connection: Connection, delivery: Delivery) -> _Task:
        try:
            secrets = endpoints.secrets(connection, self._own, delivery.endpoint_id, self._now())
        except SitecrewError as error:
            return delivery, None, str(error)
        url = endpoints.get(connection, delivery.endpoint_id).url
        return delivery, Post(delivery.id, url, delivery.body.encode(), secrets), ""

    def _done(self, delivery: Delivery, future: "Future[Result]") -> None:
        error = future.exception()
        self._finished.put((delivery, Result(None, f"{type(error).__name__}") if error else future.result()))
        self._news.set()

    def _take_finished(self) -> list[tuple[Delivery, Result]]:
        finished = []
        while True:
            try:
                finished.append(self._finished.get_nowait())
            except Empty:
                return finished


def _failed(reason: str) -> "Future[Result]":
    future: Future[Result] = Future()
    future.set_result(Result(None, reason))
    return future
