"""The CloudEvents 1.0 envelope around every event and command.

Attributes and their rules: CloudEvents specification 1.0.2, section 3. `traceparent` and
`tracestate` are its Distributed Tracing extension.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, PlainSerializer, StringConstraints

from schemas.values import Model

DataT_co = TypeVar("DataT_co", bound=Model, covariant=True)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _has_a_utc(moment: datetime) -> datetime:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999 in UTC") from None
    return moment


Moment = Annotated[
    AwareDatetime, AfterValidator(_has_a_utc), PlainSerializer(_rfc3339, return_type=str, when_used="json")
]
"""A point in time. RFC 3339 with an offset when read, always UTC with `Z` when written."""

_Attribute = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A CloudEvents string: no control characters (specification 1.0.2, section 3)."""


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context, section 3.2; later versions may append."""


class Event(Model, Generic[DataT_co]):
    """One event or command. `source` and `id` together are its identity: a second delivery of the
    same pair is a duplicate. `subject` is the order's id."""

    specversion: Literal["1.0"] = "1.0"
    """The version of CloudEvents."""
    id: _Attribute
    """Unique within its source. The same again is the same event delivered again."""
    source: _Attribute
    """Who says it, as a URI reference: `/shop`, `/sitecrew/installer`."""
    type: _Attribute
    """What is said, with its major version at the end."""
    subject: _Attribute | None = None
    """The order's id."""
    time: Moment | None = None
    """When it happened: RFC 3339, with an offset."""
    datacontenttype: Literal["application/json"] = "application/json"
    """What `data` is written in."""
    dataschema: _Attribute | None = None
    """Where a schema of `data` is to be found. Sitecrew neither sends it nor looks at it."""
    traceparent: Annotated[str, Field(max_length=128)] | None = None
    """W3C Trace Context, carried on from what caused this event."""
    tracestate: Annotated[str, Field(max_length=512)] | None = None
    """Likewise."""
    authtype: _Attribute | None = None
    """Who caused this, by kind: `user`, `service_account`, `system`, ... (CloudEvents' Auth Context extension). A
    claim of the sender, carried on to what the event leads to."""
    authid: _Attribute | None = None
    """Who caused this, by name: a login name, a token's name."""
    data: DataT_co

    @property
    def trace_id(self) -> str | None:
        """Of the trace in `traceparent`; None if there is none that is well formed."""
        found = _TRACEPARENT.fullmatch(self.traceparent or "")
        return found[1] if found and set(found[1]) != {"0"} else None
