"""Post one event to one receiver, who may be slow, endless or hostile."""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from threading import Timer
from typing import Any, NamedTuple
from urllib.parse import SplitResult

import httpx2

from foundation.version import version
from services.api.webhooks import destinations, signing
from services.api.webhooks.destinations import ForbiddenAddress

DEADLINE = 10.0
"""Seconds from the first byte sent until the answer must have come; the DNS has its own limit."""
_READ = 64 * 1024
_KEPT = 1024
_BUSY = (429, 503)


class Post(NamedTuple):
    """What is posted where."""

    id: str
    """The same at every attempt, so that a receiver recognizes repetitions."""
    url: str
    body: bytes
    secrets: Sequence[str]
    """Those that are valid now, newest first."""


class Result(NamedTuple):
    """What came of it."""

    status: int | None
    """The answer's; None if there was none."""
    answer: str
    """The beginning of the answer's body, or why there is none."""
    pause: timedelta = timedelta(0)
    """How long the receiver wants to be left alone."""

    @property
    def is_delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Poster:
    """Posts, to private addresses too if `to_private`. `deadline` is in seconds."""

    def __init__(self, *, to_private: bool, clock: Callable[[], float] = time.time, deadline: float = DEADLINE) -> None:
        self._to_private = to_private
        self._clock = clock
        self._deadline = deadline
        one_each = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        # Without a client, there are no cookies, no redirects and no proxies.
        self._transport = httpx2.HTTPTransport(trust_env=False, limits=one_each)

    def post(self, post: Post) -> Result:
        """Post, and return what came of it. Follows no redirects."""
        try:
            url = destinations.parsed(post.url, to_private=self._to_private)
            addresses = destinations.resolved(url, to_private=self._to_private)
        except ForbiddenAddress as error:
            return Result(None, str(error))
        until = time.monotonic() + self._deadline
        result = Result(None, "no connection")
        for address in addresses:
            try:
                return self._post_to(address, url, post, until)
            except httpx2.ConnectError as error:
                result = Result(None, f"no connection: {error}")
            except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError) as error:
                told = f"{type(error).__name__}: {error}"
                result = Result(None, self._too_late() if time.monotonic() >= until else told)
                break
        return Result(None, _shown(result.answer))

    def _post_to(self, address: str, url: SplitResult, post: Post, until: float) -> Result:
        timestamp = int(self._clock())
        headers = {
            "Host": url.netloc,
            "User-Agent": f"Sitecrew/{version()}",
            "Content-Type": "application/cloudevents+json",
            "Accept-Encoding": "identity",
            "webhook-id": post.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signing.signature(post.secrets, post.id, timestamp, post.body),
        }
        left = max(0.1, until - time.monotonic())
        cut = _Cut(left)
        extensions = {
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), left),
            "sni_hostname": url.hostname,
            "trace": cut.trace,
        }
        there = httpx2.URL(url.geturl()).copy_with(host=address)
        request = httpx2.Request("POST", there, headers=headers, content=post.body, extensions=extensions)
        try:
            response = self._transport.handle_request(request)
            try:
                pause = _pause(response, timestamp)
                return Result(response.status_code, self._answer(response, until), pause)
            finally:
                response.close()
        finally:
            cut.cancel()

    def _answer(self, response: httpx2.Response, until: float) -> str:
        """Return the beginning of the answer; a 2xx counts even if its body does not end."""
        body, size = bytearray(), 0
        try:
            for piece in response.iter_raw():
                body += piece[: _KEPT - len(body)]
                size += len(piece)
                if size >= _READ or time.monotonic() >= until:
                    break
        except httpx2.HTTPError:
            pass  # the status has come
        return _shown(body.decode(errors="replace"))

    def _too_late(self) -> str:
        return f"no answer within {self._deadline:g} s"


def _pause(response: httpx2.Response, now: int) -> timedelta:
    """Return how long a receiver that is busy wants to be left alone: Retry-After, in seconds or as a date (RFC 9110,
    section 10.2.3). What cannot be read is no wish."""
    wish = response.headers.get("retry-after", "").strip()
    if response.status_code not in _BUSY or not wish:
        return timedelta(0)
    try:
        seconds = int(wish[:9]) if wish.isascii() and wish.isdigit() else parsedate_to_datetime(wish).timestamp() - now
    except (ValueError, OverflowError):
        return timedelta(0)
    return timedelta(seconds=max(0, seconds))


class _Cut:
    """Ends a connection at its deadline: a receiver that drips a byte a second never runs into a read timeout."""

    def __init__(self, seconds: float) -> None:
        self._stream: Any = None
        self._timer = Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        self.cancel = self._timer.cancel

    def trace(self, name: str, info: dict[str, Any]) -> None:
        """Learn of the connection from the HTTP client."""
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._stream = info["return_value"]

    def _end(self) -> None:
        opened: socket.socket | None = self._stream.get_extra_info("socket") if self._stream else None
        try:
            if opened:
                opened.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has just ended


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_KEPT]
