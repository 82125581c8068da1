"""Take in requests: no larger, no slower and no more of them at once than we can bear."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from foundation.broker.limits import MAX_BYTES
from services.api.http.problems import Problem, answer_of

SECONDS = 30.0
"""How long a request's body may take to arrive."""
_TOGETHER = 64 * 1024 * 1024
"""Bytes that all requests may hold at once."""
_CLOSE = {"Connection": "close"}
"""The rest of the request is not read."""


class BodyLimit:
    """Takes in a request's whole body before anybody looks at it. Refuses one that is larger than a message to the
    broker may be, one that arrives too slowly, and the character that no database takes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            if await self._taken(body, receive):
                _refuse_nul(scope, body)
                await self._app(scope, _replayed(bytes(body), receive), send)
        except _Refused as refused:
            await answer_of(refused.problem)(scope, receive, send)
        finally:
            self._held -= len(body)

    async def _taken(self, body: bytearray, receive: Receive) -> bool:
        """Take in the body; return False if the client has gone. Raises _Refused."""
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    piece = message.get("body", b"")
                    body += piece
                    self._held += len(piece)
                    if len(body) > MAX_BYTES:
                        raise _Refused(
                            Problem(413, "too_large", f"The request has more than {MAX_BYTES} bytes.", headers=_CLOSE)
                        )
                    if self._held > _TOGETHER:
                        title = "Too many large requests at once."
                        raise _Refused(Problem(503, "unavailable", title, headers={"Retry-After": "1"}))
                    if not message.get("more_body", False):
                        return True
        except TimeoutError:
            title = f"The request did not arrive within {SECONDS:g} s."
            raise _Refused(Problem(408, "too_slow", title, headers=_CLOSE)) from None


class _Refused(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem


def _refuse_nul(scope: Scope, body: bytearray) -> None:
    kind = dict(scope["headers"]).get(b"content-type", b"")
    in_form = b"form" in kind and (b"%00" in body or b"\0" in body)
    if in_form or "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise _Refused(Problem(400, "invalid", "The request has the character NUL in it."))


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body in one piece, and then whatever else comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again
