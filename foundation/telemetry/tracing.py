"""Propagate traces (W3C Trace Context) into events and log lines, and create spans if OpenTelemetry is installed.

Spans need the extra `tracing` and the setting `tracing.endpoint` (or an SDK that is set up from outside, as
`opentelemetry-instrument` does). Without them, the producer's `traceparent` is passed on unchanged.
"""

import secrets
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from types import TracebackType
from typing import Any

from foundation.errors import ConfigurationError
from foundation.version import version
from schemas.envelope import Event
from schemas.values import Model

try:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import ProxyTracerProvider, SpanKind, Tracer
except ImportError:  # the extra is not installed
    trace = None  # type: ignore[assignment]


_NO_SPAN = nullcontext()
_handled: ContextVar[tuple[Event[Any] | None, str] | None] = ContextVar("handled", default=None)


@contextmanager
def exporting(service: str, endpoint: str) -> Iterator[None]:
    """Export spans to an OTLP endpoint within the block, and flush them at its end. With an empty endpoint, do nothing.
    Raises ConfigurationError if the extra is not installed."""
    if not endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - the extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "tracing.endpoint is set, but the extra `tracing` is not installed: pip install 'sitecrew[tracing]'"
        ) from None
    names = {"service.name": f"sitecrew-{service}", "service.version": version()}
    provider = TracerProvider(resource=Resource.create(names))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    _tracer.cache_clear()
    try:
        yield
    finally:
        provider.shutdown()


class Trace(Model):
    """What an event passes on to the events that it leads to; stored in rows, for when there is no event at hand."""

    traceparent: str | None = None
    """W3C Trace Context, section 3.2."""
    tracestate: str | None = None
    """W3C Trace Context, section 3.3."""
    authtype: str | None = None
    """CloudEvents' Auth Context extension: the kind of principal that caused it."""
    authid: str | None = None
    """The same extension: the principal's name."""


_CARRIED = tuple(Trace.model_fields)

Origin = Event[Any] | Trace
"""What led to an event: another event, or its trace."""


def trace_of(cause: Origin) -> Trace:
    """Return the trace of the current span if there is one, else the event's own."""
    return Trace(**carried(cause))


def begun(event: Event[Any]) -> Event[Any]:
    """Return the event, with a new trace if its producer started none."""
    if event.trace_id:
        return event
    return event.model_copy(update={"traceparent": new_traceparent(), "tracestate": None})


def new_traceparent() -> str:
    """Start a trace: version 00, sampled (W3C Trace Context, section 3.2)."""
    drawn = secrets.token_hex(24)
    return f"00-{drawn[:32]}-{drawn[32:]}-01"


class handling:  # noqa: N801  # used like a function; as a generator it would cost twice as much, for each event
    """Handle an event within the block: all log lines name it and who caused it, and it has a span."""

    def __init__(self, event: Event[Any] | None, queue: str, phase: str) -> None:
        self._of = (event, queue)
        self._span = _span(event, queue, phase)

    def __enter__(self) -> None:
        self._span.__enter__()
        self._token = _handled.set(self._of)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _handled.reset(self._token)
        self._span.__exit__(kind, error, at)


def merge_handled(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what is being handled to a log line (a structlog processor)."""
    handled = _handled.get()
    if handled is None:
        return line
    event, queue = handled
    names = {"trace_id": event.trace_id, "order_id": _order_of(event)} if event else {}
    names |= {name: value for name in ("authtype", "authid") if (value := getattr(event, name, None))}
    return {"queue": queue, **names, **line}


def _order_of(event: Event[Any]) -> str | None:
    """Return the order that the data names, which is what handlers act on; the subject may be anything."""
    return getattr(event.data, "order_id", None) or event.subject


@cache
def _tracer() -> "Tracer | None":
    """Return what makes spans; None if they would go nowhere. Cached: OpenTelemetry looks into the environment."""
    provider = trace.get_tracer_provider() if trace else None
    if provider is None or isinstance(provider, ProxyTracerProvider):
        return None
    return provider.get_tracer("sitecrew")


def _span(event: Event[Any] | None, queue: str, phase: str) -> AbstractContextManager[object]:
    tracer = _tracer()
    if event is None or tracer is None:
        return _NO_SPAN
    # Attributes: OpenTelemetry's semantic conventions for messaging.
    attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.destination.name": queue,
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": _order_of(event) or "",
    }
    context = propagate.extract(carried(event))
    return tracer.start_as_current_span(f"{phase} {queue}", context, SpanKind.CONSUMER, attributes)


def carried(cause: Origin | None) -> dict[str, str]:
    """Return the attributes that a cause passes on: who caused it, and the current span's trace or else its own."""
    known = vars(cause) if cause else {}
    own = {name: value for name in _CARRIED if (value := known.get(name))}
    if _tracer() and trace.get_current_span().get_span_context().is_valid:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        own = {name: value for name, value in own.items() if name in ("authtype", "authid")}
        own |= {name: carrier[name] for name in ("traceparent", "tracestate") if name in carrier}
    return own
