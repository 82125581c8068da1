"""The OpenAPI document."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict

from schemas.orders import FieldError
from services.api.http.problems import CONTENT_TYPE

_WHEN = {
    400: "The body cannot be read.",
    401: "There is no token, or it is unknown or disabled.",
    403: "The token lacks the scope.",
    404: "There is no such thing, or the token may not see it.",
    409: "It contradicts what was asked before, or what is.",
    413: "The request is too large.",
    422: "The request is not valid: `errors` has all fields that are wrong.",
    429: "Too many requests: see Retry-After.",
    503: "The API's database or the broker does not answer: see Retry-After.",
}
_REF = {"$ref": "#/components/schemas/Problem"}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {CONTENT_TYPE: {"schema": _REF}}} for status, text in _WHEN.items()
}
"""What any operation may answer instead of what was asked for."""


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    title: str
    """What is wrong, for people."""
    status: int
    code: str
    """A stable word for programs: that of a rejected order's cause, or `unauthorized`, `forbidden`, `invalid`, ..."""
    remedy: str | None = None
    """What to do about it, for people."""
    errors: list[FieldError] | None = None
    """Everything that is wrong with the request's fields."""


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the API."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[
            {"name": "orders", "description": "Place orders, and see how far they are."},
            {"name": "commands", "description": "Ask for something, and see what becomes of it."},
            {"name": "activity", "description": "What happened, and what was asked for."},
            {"name": "status", "description": "What needs somebody, what runs, and how installs are handled."},
            {"name": "parked", "description": "Messages that could not be handled."},
            {"name": "webhooks", "description": "Have events posted to a URL."},
            {"name": "about", "description": "What this is, and what the token may do."},
        ],
    )
    schemas = made["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return made
