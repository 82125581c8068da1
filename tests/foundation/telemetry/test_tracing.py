"""One trace from the producer to the letter: in events, in log lines, in spans."""

import gzip
import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from foundation.broker import codec
from foundation.errors import ConfigurationError
from foundation.telemetry import logs, tracing
from schemas.installs import TimerRunNow
from schemas.logs import LogLine
from schemas.orders import OrderPlaced
from schemas.values import Customer
from tests.support.house import House

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, sites={"wordpress": {"stage": False}})


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracing._tracer.cache_clear()
    yield exporter
    tracing._tracer.cache_clear()
    provider.shutdown()


def install(house: House, **attributes: Any) -> list[str | None]:
    """An order from its event to its letter; the traces of all that was said."""
    house.order(traceparent=attributes.get("traceparent"))
    house.settle()
    events = house.events()
    assert [event.type for event in events][-1] == "sitecrew.mail.sent.v1"
    return [event.trace_id for event in events]


def test_the_producers_trace_goes_on_to_the_letter(house: House) -> None:
    assert set(install(house, traceparent=TRACEPARENT)) == {TRACE}


def test_an_order_without_a_trace_begins_one(house: House) -> None:
    (begun,) = set(install(house))
    assert begun


@pytest.mark.parametrize("odd", ["", "00-x", f"00-{'0' * 32}-00f067aa0ba902b7-01", TRACEPARENT[:-1], "é"])
def test_what_is_no_trace_is_passed_over(house: House, odd: str) -> None:
    assert odd not in set(install(house, traceparent=odd))


def test_every_line_about_an_order_has_its_trace(house: House) -> None:
    stream = io.StringIO()
    logs.configure("tests", "info", stream)
    try:
        install(house, traceparent=TRACEPARENT)
    finally:
        structlog.reset_defaults()
    lines = [LogLine.model_validate_json(line) for line in stream.getvalue().splitlines()]
    assert {"account.created", "install.completed", "mail.sent"} <= {line.event for line in lines}
    assert {line.trace_id for line in lines} == {TRACE}
    assert {line.order_id for line in lines} == {"order-1"}
    assert all(line.queue for line in lines)


def test_who_caused_it_is_in_every_line_and_goes_on_to_every_event(house: House) -> None:
    stream = io.StringIO()
    logs.configure("tests", "info", stream)
    try:
        customer = Customer(name="Jo Miller", email="jo@customer.example")
        placed = OrderPlaced(order_id="order-1", site_type="wordpress", domain="shop.example", customer=customer)
        house.publish(placed, authtype="user", authid="maria")
        house.settle()
        house.order(2)
        house.settle()
    finally:
        structlog.reset_defaults()
    lines = [LogLine.model_validate_json(line) for line in stream.getvalue().splitlines()]
    assert {"account.created", "install.completed", "mail.sent"} <= {line.event for line in lines}
    assert {(line.order_id, line.authtype, line.authid) for line in lines} == {
        ("order-1", "user", "maria"),
        ("order-2", None, None),
    }
    assert {(event.subject, event.authid) for event in house.events()} == {("order-1", "maria"), ("order-2", None)}


def test_a_subject_that_lies_puts_nothing_into_another_orders_log() -> None:
    customer = Customer(name="Jo Miller", email="jo@customer.example")
    placed = OrderPlaced(order_id="order-1", site_type="wordpress", domain="shop.example", customer=customer)
    event = codec.envelope(placed, id="1", source="/shop", subject="victim-7")
    with tracing.handling(event, "intake.orders", "claim"):
        assert tracing.merge_handled(None, "", {})["order_id"] == "order-1"


def test_each_step_is_a_span_of_the_producers_trace(house: House, spans: InMemorySpanExporter) -> None:
    install(house, traceparent=TRACEPARENT)
    finished: tuple[ReadableSpan, ...] = spans.get_finished_spans()
    named = {span.name: span for span in finished}
    for queue in ("intake.orders", "installer.now", "mailer.installs"):
        assert {f"claim {queue}", f"act {queue}", f"record {queue}"} <= set(named)
    assert {format(span.context.trace_id, "032x") for span in finished if span.context} == {TRACE}
    claimed = named["claim intake.orders"]
    assert claimed.parent is not None
    assert format(claimed.parent.span_id, "016x") == "00f067aa0ba902b7"
    assert (claimed.attributes or {})["messaging.destination.name"] == "intake.orders"


def test_what_is_said_within_a_span_names_it_as_its_parent(spans: InMemorySpanExporter) -> None:
    event = codec.envelope(TimerRunNow(), id="1", source="/tests", subject=None, traceparent=TRACEPARENT)
    with tracing.handling(event, "installer.commands", "claim"):
        carried = tracing.carried(event)
    (span,) = spans.get_finished_spans()
    assert span.context is not None
    assert carried == {"traceparent": f"00-{TRACE}-{format(span.context.span_id, '016x')}-01"}


def test_a_services_spans_are_sent_to_the_endpoint_of_the_settings() -> None:
    """In a process of its own: OpenTelemetry takes one provider for the life of a process."""
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content)
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    program = """
import sys
from foundation.broker import codec
from foundation.telemetry import tracing
from schemas.installs import TimerRunNow
event = codec.envelope(TimerRunNow(), id="1", source="/tests", subject=None, traceparent=sys.argv[2])
with tracing.exporting("installer", sys.argv[1]), tracing.handling(event, "installer.commands", "claim"):
    pass
"""
    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{collector.server_port}"
        subprocess.run([sys.executable, "-c", program, endpoint, TRACEPARENT], check=True, timeout=120)
        collector.shutdown()
    (resource,) = ExportTraceServiceRequest.FromString(bodies[0]).resource_spans
    names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    (span,) = resource.scope_spans[0].spans
    assert names["service.name"] == "sitecrew-installer"
    assert (span.name, span.trace_id.hex()) == ("claim installer.commands", TRACE)


def test_an_endpoint_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(ConfigurationError, match=r"pip install 'sitecrew\[tracing\]'"),
        tracing.exporting("x", "http://x"),
    ):
        pass


def test_without_opentelemetry_the_trace_travels_on_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "trace", None)
    tracing._tracer.cache_clear()
    event = codec.envelope(TimerRunNow(), id="1", source="/tests", subject=None, traceparent=TRACEPARENT)
    with tracing.handling(event, "installer.commands", "claim"):
        assert tracing.merge_handled(None, "", {})["trace_id"] == TRACE
        assert tracing.carried(event) == {"traceparent": TRACEPARENT}
    assert tracing.merge_handled(None, "", {}) == {}
