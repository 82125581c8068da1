"""Configure logging: one JSON object per line, or readable text on a terminal. The only module that does."""

import json
import logging
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from datetime import datetime
from typing import Any, TextIO

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from foundation.telemetry import tracing
from foundation.telemetry.sink import Sink
from foundation.version import version

_SECRET_WORDS = ("password", "secret", "token", "private_key")
# structlog shows local variables in tracebacks by default, and one may be a secret.
_EXCEPTIONS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(
    service: str, level: str = "info", stream: TextIO | None = None, dropped: Callable[[], object] = lambda: None
) -> None:
    """Send all log lines of this process, including those of libraries, to `stream`.

    Logging never raises: a line that can't be written is dropped, and `dropped` is called. Once writing works again, a
    log line says how many were lost.
    """
    sink = Sink(stream, dropped)
    pretty = sink.isatty()
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        tracing.merge_handled,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _identity(service),
        _redact,
    ]
    finish: list[Processor] = (
        [_short, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [_EXCEPTIONS, structlog.processors.JSONRenderer(serializer=_json)]
    )
    structlog.configure(
        processors=[*shared, *finish],
        wrapper_class=_never_raising(_number(level), sink),
        logger_factory=lambda *_: _Lines(sink),
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(shared, finish, sink)


def for_people(line: str) -> str:
    """Format one of our JSON lines as for a terminal; return any other line unchanged."""
    with suppress(ValueError, TypeError):
        return str(structlog.dev.ConsoleRenderer()(None, "", _short(None, "", dict(orjson.loads(line)))))
    return line


def _short(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Shorten a line for a person at a terminal: local time of day, and no fields that are on every line."""
    shown = {name: value for name, value in line.items() if name not in {"version", "trace_id", "queue"}}
    moment = datetime.fromisoformat(str(line["timestamp"])).astimezone() if "timestamp" in line else None
    return {**shown, "timestamp": f"{moment:%H:%M:%S}"} if moment else shown


class _Lines:
    """Writes structlog's lines to the sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def msg(self, line: str) -> None:
        self._sink.write(line + "\n")

    debug = info = warning = error = critical = msg


class _Handler(logging.Handler):
    """Writes the lines of libraries to the sink."""

    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001  # such as a library's line with the wrong arguments
            self._sink.drop()


def _never_raising(level: int, sink: Sink) -> Any:
    logger: Any = structlog.make_filtering_bound_logger(level)

    class NeverRaising(logger):  # type: ignore[misc]  # made by a function
        def _proxy_to_logger(self, name: str, event: str | None = None, **fields: Any) -> None:
            try:
                super()._proxy_to_logger(name, event, **fields)
                if lost := sink.owed():
                    super()._proxy_to_logger("warning", "log.lines_dropped", lines=lost)
                    sink.owe(0 if sink.works else lost)
            except Exception:  # noqa: BLE001  # such as a value that can't be rendered
                sink.drop()

    return NeverRaising


def _adopt_libraries(shared: list[Processor], finish: list[Processor], sink: Sink) -> None:
    handler = _Handler(sink)
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    chain = [*shared, _foreign]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=chain, processors=[clean, *finish]))
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # the broker module logs what matters, once


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


def _identity(service: str) -> Processor:
    release = version()

    def add(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {**line, "service": service, "version": release}

    return add


def _foreign(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Give a library's line a stable event name, and keep its text as a field."""
    return {**line, "event": "library.said", "said": line["event"], "logger": line["_record"].name}


def _redact(_logger: object, _name: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "[redacted]" if _is_secret(key) else _without_secrets(value) for key, value in line.items()}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "[redacted]" if _is_secret(key) else _without_secrets(inner) for key, inner in value.items()}
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def _is_secret(key: object) -> bool:
    return any(word in str(key).lower() for word in _SECRET_WORDS)


def _json(line: Any, **_: Any) -> str:
    try:
        return orjson.dumps(line, default=str).decode()
    except orjson.JSONEncodeError:  # such as a 65-bit number or a lone surrogate: json accepts everything
        return json.dumps(line, default=str, skipkeys=True)
