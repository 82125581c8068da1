"""Errors as problem details (RFC 9457), with the codes and remedies that rejected orders have."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from foundation.errors import StoreUnreachable
from foundation.wording import in_words
from schemas.orders import FieldError
from schemas.values import Cause
from services.api.finding.paging import BadCursor

CONTENT_TYPE = "application/problem+json"
SOON = 5
"""Seconds after which to try again while our database or the broker is away."""


class Problem(Exception):  # RFC 9457's own word
    """An answer that says what is wrong and what to do."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        remedy: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.headers = dict(headers or {})
        self.document: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "code": code}
        if remedy:
            self.document["remedy"] = remedy
        if errors:
            self.document["errors"] = [error.model_dump() for error in errors]

    @classmethod
    def because(cls, status: int, cause: Cause, errors: Sequence[FieldError] = ()) -> "Problem":
        """A problem with the cause that a service gave."""
        return cls(status, cause.code, cause.detail, remedy=cause.remedy, errors=errors)


def install(app: FastAPI) -> None:
    """Have an application answer every error with problem details."""

    @app.exception_handler(Problem)
    def problem(_request: Request, error: Problem) -> JSONResponse:
        return answer_of(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [FieldError(field=_path(item["loc"]), message=in_words(item)) for item in error.errors()]
        return answer_of(Problem(422, "invalid", "The request is not valid.", errors=errors))

    @app.exception_handler(BadCursor)
    def lost(_request: Request, error: BadCursor) -> JSONResponse:
        return answer_of(Problem(422, "invalid", str(error), errors=[FieldError(field="after", message="is unknown")]))

    @app.exception_handler(StoreUnreachable)
    def unreachable(_request: Request, _error: StoreUnreachable) -> JSONResponse:
        title = "The API's database does not answer."
        remedy = "Send the request again later; with the same Idempotency-Key it is carried out once."
        return answer_of(Problem(503, "unavailable", title, remedy=remedy, headers={"Retry-After": str(SOON)}))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        headers = {**(error.headers or {})}
        if error.status_code == 405:  # Starlette names the methods of the first route of that path only
            paths = app.openapi()["paths"].items()
            here = [set(methods) for path, methods in paths if compile_path(path)[0].match(request.url.path)]
            headers["Allow"] = ", ".join(sorted(name.upper() for name in set().union(*here)))
        return answer_of(Problem(error.status_code, "http", str(error.detail), headers=headers))

    @app.exception_handler(Exception)
    def unforeseen(_request: Request, _error: Exception) -> JSONResponse:
        return answer_of(
            Problem(500, "unexpected", "Something went wrong here.", remedy="The log of the api says what.")
        )


def answer_of(problem: Problem) -> JSONResponse:
    """Return the response that says what is wrong."""
    return JSONResponse(problem.document, problem.status, problem.headers, media_type=CONTENT_TYPE)


def _path(place: Sequence[Any]) -> str:
    """Return a field's path as orders have it: `data.domain`. A body is the event's data."""
    where = ["data" if place and place[0] == "body" else str(place[0]) if place else "", *map(str, place[1:])]
    return ".".join(filter(None, where))
