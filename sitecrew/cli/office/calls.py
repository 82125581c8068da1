"""Requests to the HTTP API, and what its errors mean for a person."""

import ssl
from collections.abc import Iterator, Mapping
from datetime import datetime
from time import monotonic, sleep
from typing import Any, NamedTuple

import httpx2
import orjson

from foundation.config import sources
from foundation.errors import ConfigurationError, NotFound, Refused, SitecrewError
from foundation.version import version
from schemas.values import Cause, CauseKind
from sitecrew.cli.client.orders.files import Unusable
from sitecrew.cli.office.opening import Api
from sitecrew.cli.output import terminal

_CONNECT, _READ = 10.0, 45.0
"""Seconds to wait for a connection, and for an answer: the API waits for up to 30 for a service."""
_SILENCE = 20.0
"""Seconds after which a stream is taken to be dead: the API says every 15 that it is there."""
_PAUSE = 1.0
"""Seconds before another attempt to listen."""
_PATIENCE = 120
"""As many seconds we wait if the API asks us to."""
_PAGE = 500
_LOCAL = ("localhost", "127.0.0.1", "::1")


class ApiUnreachable(SitecrewError):
    """The HTTP API does not answer."""

    exit_code = 3


_EXITS = {
    401: ConfigurationError.exit_code,
    403: Refused.exit_code,
    404: NotFound.exit_code,
    409: Refused.exit_code,
    413: Unusable.exit_code,
    422: Unusable.exit_code,
    503: ApiUnreachable.exit_code,
}
_REMEDIES = {
    401: f"An admin creates tokens in the console: put one into {sources.API_TOKEN}.",
    403: "An admin can create a token with it in the console.",
}


class Denied(SitecrewError):
    """The API answered one request with a problem."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code") or "http")
        self.errors = [(str(fault["field"]), str(fault["message"])) for fault in problem.get("errors") or ()]
        faults = [f"{field}: {message}" for field, message in self.errors]
        self.title = "\n".join([str(problem.get("title") or f"HTTP status {status}"), *faults])
        self.remedy = _REMEDIES.get(status) or str(problem.get("remedy") or "")
        super().__init__(f"{self.title}{self.remedy and f' What to do: {self.remedy}'}")
        self.exit_code = _EXITS.get(status, 1)

    @property
    def cause(self) -> Cause:
        """It as a service would put it."""
        return Cause(code=self.code, kind=CauseKind.PERMANENT, detail=self.title[:1000], remedy=self.remedy[:500])


class News(NamedTuple):
    """A line of the activity log, as the stream tells it."""

    id: int
    line: Mapping[str, Any]


class Calls:
    """The API at one address, with one token."""

    def __init__(self, api: Api) -> None:
        self._address = api.address
        try:
            self._client = httpx2.Client(
                base_url=f"{api.address}/v1",
                headers={"Authorization": f"Bearer {api.token}", "User-Agent": f"sitecrew/{version()}"},
                timeout=httpx2.Timeout(_CONNECT, read=_READ),
            )
        except httpx2.InvalidURL:
            raise ConfigurationError(f"{sources.API_ADDRESS} is not a valid URL") from None
        if self._client.base_url.scheme == "http" and self._client.base_url.host not in _LOCAL:
            terminal.warn(f"{api.address} is not encrypted: whoever listens gets the token")

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return a document. Raises Denied and ApiUnreachable."""
        return self._answer("GET", path, params={name: _text(value) for name, value in query.items() if value})

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "", wait: float = 0) -> Any:
        """Ask for something, under a key that makes it happen once; wait so many seconds for its outcome. Raises Denied
        and ApiUnreachable."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Idempotency-Key": key} if key else {}
        headers |= {"Prefer": f"wait={wait:.0f}"} if wait >= 1 else {}
        return self._answer("POST", path, content=orjson.dumps(body or {}), headers=headers)

    def items(self, path: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """Return up to `limit` items of a list, over as many pages as it takes."""
        found: list[dict[str, Any]] = []
        after = query.pop("after", "")
        while len(found) < limit:
            page = self.get(path, **query, after=after, limit=min(_PAGE, limit - len(found)))
            found += page["items"]
            if not page.get("next"):
                break
            after = httpx2.URL(page["next"]).params["after"]
        return found

    def news(self, ends: float) -> Iterator[News | None]:
        """Listen to the activity log until the monotonic clock reaches `ends`. Yields its lines; and None as soon as
        the API listens to us, after each interruption, and when nothing has happened for a while: a good time to look
        again. Raises Denied and ApiUnreachable, the latter only at the beginning."""
        last, connected = "", False
        while (left := ends - monotonic()) > 0:
            try:
                for news in self._stream(last, left):
                    yield news
                    connected = True
                    last = str(news.id) if news else last
                    if monotonic() >= ends:
                        return
            except httpx2.HTTPError as error:
                if not connected:
                    raise self._unreachable(error) from None
            sleep(max(0.0, min(_PAUSE, ends - monotonic())))

    def _stream(self, last: str, seconds: float) -> Iterator[News | None]:
        """Yield None once connected, then lines; None for what only says that the API is there."""
        headers = {"Last-Event-ID": last} if last else {}
        timeout = httpx2.Timeout(_CONNECT, read=min(_SILENCE, seconds))
        with self._client.stream("GET", "/events", headers=headers, timeout=timeout) as answer:
            if answer.status_code != httpx2.codes.OK:
                answer.read()
                self._document(answer)
            yield None
            id = 0
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    id = int(value)
                elif name == "data":
                    yield News(id, orjson.loads(value))
                elif not name:
                    yield None

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        while True:
            try:
                answer = self._client.request(method, path, **more)
            except httpx2.HTTPError as error:
                raise self._unreachable(error) from None
            pause = answer.headers.get("Retry-After", "")
            if answer.status_code != httpx2.codes.TOO_MANY_REQUESTS or not pause.isdecimal() or int(pause) > _PATIENCE:
                return self._document(answer)
            with terminal.working(f"the API has been asked too often: waiting {pause} seconds"):
                sleep(int(pause))

    def _document(self, answer: httpx2.Response) -> Any:
        """Return what was answered. Raises Denied, and ConfigurationError if it is no API that answers."""
        try:
            told = orjson.loads(answer.content) if answer.content else None
        except orjson.JSONDecodeError:
            told = None
        if answer.is_success and told is not None:
            return told
        if isinstance(told, dict) and not answer.is_redirect:
            raise Denied(answer.status_code, told)
        raise ConfigurationError(
            f"what answers at {self._address} is not the API of Sitecrew (HTTP status {answer.status_code}); check"
            f" {sources.API_ADDRESS}"
        )

    def _unreachable(self, error: httpx2.HTTPError) -> ApiUnreachable:
        if isinstance(error, httpx2.TimeoutException):
            again = "it may have been carried out all the same: look before you ask again"
            return ApiUnreachable(f"the API at {self._address} did not answer in time; {again}")
        cause: BaseException | None = error
        while cause and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, ssl.SSLError):
            reason = getattr(cause, "verify_message", "") or cause.reason or str(cause)
            hint = "if its certificate is from a CA of your own, name that CA's file in SSL_CERT_FILE"
            return ApiUnreachable(f"no secure connection to the API at {self._address}: {reason}; {hint}")
        hint = f"is it running, and is {sources.API_ADDRESS} right?"
        return ApiUnreachable(f"cannot reach the API at {self._address}: {error}; {hint}")


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str) else ",".join(value) if isinstance(value, (list, tuple)) else str(value)
