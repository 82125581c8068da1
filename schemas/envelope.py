"""The CloudEvents 1.0 envelope around every event and command.

Attributes and their rules: CloudEvents specification 1.0.2, section 3. `traceparent` and
`tracestate` are its Distributed Tracing extension.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from schemas.values import Model

DataT_co = TypeVar("DataT_co", bound=Model, covariant=True)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be between the years 1 and 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A point in time: RFC 3339 with any offset when read; always written in UTC with `Z`."""

_Attribute = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A CloudEvents string: no control characters (specification 1.0.2, section 3)."""


_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""W3C Trace Context, section 3.2; later versions may append."""


@lru_cache(maxsize=1024)
def _trace_id(traceparent: str) -> str | None:
    found = _TRACEPARENT.fullmatch(traceparent)
    return found[1] if found and found[1].strip("0") else None


class Event(Model, Generic[DataT_co]):
    """One event or command. `source` and `id` together identify it: a second delivery with the same pair is a
    duplicate. `subject` is the order's id."""

    specversion: Literal["1.0"] = "1.0"
    """The version of the CloudEvents specification."""
    id: _Attribute
    """Unique within its source. An event with the same id is the same event, delivered again."""
    source: _Attribute
    """Who sent it, as a URI reference: `/shop`, `/sitecrew/installer`."""
    type: _Attribute
    """What kind of event it is, with its major version at the end."""
    subject: _Attribute | None = None
    """The order's id."""
    time: Moment | None = None
    """When it happened: RFC 3339, with an offset."""
    datacontenttype: Literal["application/json"] = "application/json"
    """The format of `data`."""
    dataschema: _Attribute | None = None
    """URI of a schema for `data`. Sitecrew neither sends nor reads it."""
    traceparent: Annotated[str, Field(max_length=128)] | None = None
    """W3C Trace Context, passed on from what caused this event."""
    tracestate: Annotated[str, Field(max_length=512)] | None = None
    """W3C Trace Context, passed on from what caused this event."""
    authtype: _Attribute | None = None
    """The kind of principal that caused this: `user`, `service_account`, `system`, ... (CloudEvents' Auth Context
    extension). The sender's claim, passed on to the events that this one leads to."""
    authid: _Attribute | None = None
    """The name of the principal that caused this, such as a login name or a token's name."""
    sequence: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")] | None = None
    """CloudEvents' Sequence extension: the version of the row that this event tells of, as a decimal number, padded
    with zeros so that texts compare as numbers. Of two events of one source about one order, install or mail, the one
    with the higher sequence is the later."""
    replay: bool | None = None
    """Set on an event that tells of a state that was reached before, for whoever asked for it with `service.replay`.
    Nothing has happened now."""
    data: DataT_co

    @property
    def trace_id(self) -> str | None:
        """The trace id in `traceparent`; None if that is missing or malformed."""
        return _trace_id(self.traceparent) if self.traceparent else None


# The classes of the single types of events inherit these fields with their descriptions. Looking for docstrings in each
# of those classes anew, and in vain, would take a tenth of a second at every start.
Event.model_config["use_attribute_docstrings"] = False
