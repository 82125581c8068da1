"""Ask a connection's node now and then whether it still reaches a majority of its cluster.

A node that is cut off from the others keeps its clients and answers their heartbeats, but confirms no message and
delivers none. Taking a message from a quorum queue is a command that a majority has to accept, even when there is none
to take. (So is publishing one, but an alarm blocks whoever publishes, and consumers are not to be blocked.) RabbitMQ
answers with INTERNAL_ERROR some ten seconds later, and closes the connection; or it does not answer.
"""

import random
from collections.abc import Callable
from typing import Any

from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker
from pika.spec import Basic

from foundation.broker.rabbit.declaring import FORBIDDEN, NOT_FOUND
from foundation.broker.topology import PROBE

_EVERY = 10.0
"""Seconds from an answer to the next question, jittered."""
_FIRST = 2.0
"""Seconds from a new connection to its first question: it may be there because a node has ended, and then queues elect
their leaders."""
_INTERNAL_ERROR = 541
_LONGEST = 600.0


def pause(failures: int, nodes: int, timeout: float) -> float:
    """Return after how many seconds to ask a node, after so many in a row that did not answer: soon until each has
    been tried, then later and later. If nothing answers anywhere, going round does not help, and hands out again what
    is in progress.

    >>> [pause(failures, nodes=3, timeout=30) for failures in (0, 2, 3, 4, 5, 99)]
    [2.0, 2.0, 30.0, 60.0, 120.0, 600.0]
    """
    further = failures - nodes
    return min(timeout * 2.0 ** min(further, 10), _LONGEST) if further >= 0 else _FIRST


class Probe:
    """Asks for as long as the connection lives. Runs on its I/O thread.

    Each question has a channel of its own: RabbitMQ remembers by channel who leads a queue, and asks that node even
    when it is gone and another leads.
    """

    def __init__(
        self,
        connection: Any,
        timeout: float,
        first_in: float,
        *,
        answered: Callable[[], None],
        failed: Callable[[], None],
        refused: Callable[[str], None],
    ) -> None:
        """Ask `first_in` seconds from now, and again `_EVERY` seconds after each answer. `failed` is called if one does
        not come within `timeout` seconds, and again as long as it does not; `refused` if we may not ask, or there is no
        such queue."""
        self._connection, self._loop = connection, connection.ioloop
        self._timeout = timeout
        self._has_answered, self._has_failed, self._is_refused = answered, failed, refused
        self._loop.call_later(first_in, self._ask)

    def _ask(self) -> None:
        if self._connection.is_open:
            self._await()
            self._connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._closed)
        channel.add_callback(lambda _: self._answered(channel), [Basic.GetEmpty])
        channel.basic_get(PROBE, lambda *_: self._answered(channel), auto_ack=True)

    def _answered(self, channel: Any) -> None:
        self._loop.remove_timeout(self._overdue)
        channel.close()
        self._has_answered()
        self._loop.call_later(_EVERY * random.uniform(0.5, 1.5), self._ask)

    def _await(self) -> None:
        self._overdue = self._loop.call_later(self._timeout, self._is_overdue)

    def _is_overdue(self) -> None:
        self._await()
        self._has_failed()

    def _closed(self, _channel: object, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker | ConnectionClosedByBroker):
            return
        self._loop.remove_timeout(self._overdue)
        if reason.reply_code == _INTERNAL_ERROR:
            self._has_failed()
        elif reason.reply_code in (FORBIDDEN, NOT_FOUND):
            self._is_refused(str(reason.reply_text))
