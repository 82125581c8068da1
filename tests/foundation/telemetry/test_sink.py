"""Log lines that can't be written: dropped and counted, and never anybody's trouble."""

import json
import logging
import os
import select
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from foundation.telemetry import logs, sink
from foundation.telemetry.metrics import Metrics
from schemas.logs import LogLine
from tests.support.house import PATIENCE

POLL = select.poll

_log = structlog.get_logger(__name__)


@pytest.fixture
def pipe() -> Iterator[tuple[int, Any]]:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        yield read, stream


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("tests")


def dropped(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("sitecrew_log_lines_dropped_total") or 0.0


def everybody_speaks() -> None:
    _log.info("install.completed", order_id="1042")
    logging.getLogger("alembic").warning("a library")
    try:
        int("no number")
    except ValueError:
        _log.exception("act.unexpected")


def closed() -> TextIO:
    with Path(os.devnull).open("w") as stream:
        return stream


@pytest.mark.parametrize("kind", ["full", "nobody reads", "closed", "none"])
def test_where_nothing_can_be_written_logging_is_done_all_the_same(
    kind: str, pipe: tuple[int, Any], metrics: Metrics
) -> None:
    read, stream = pipe
    os.close(read)
    streams: dict[str, Callable[[], Any]] = {
        "full": partial(Path("/dev/full").open, "w"),
        "nobody reads": lambda: stream,
        "closed": closed,
        "none": lambda: None,
    }
    opened = streams[kind]()
    logs.configure("tests", "info", opened, metrics.log_lines_dropped)
    everybody_speaks()
    assert dropped(metrics) == 3
    if kind == "full":
        opened.close()  # and nothing is left in it that could not be written now, either


def test_a_file_that_takes_the_number_of_a_closed_output_gets_no_line(tmp_path: Path, metrics: Metrics) -> None:
    with (tmp_path / "log").open("w") as stream:
        number = stream.fileno()
        logs.configure("tests", "info", stream, metrics.log_lines_dropped)
    with (tmp_path / "letter").open("w") as other:
        assert other.fileno() == number
        everybody_speaks()
    assert dropped(metrics) == 3
    assert (tmp_path / "letter").read_text() == ""


class Recorded:
    """A poll that notes how long it waits in vain."""

    def __init__(self, waits: list[int]) -> None:
        self._poll = POLL()
        self._waits = waits
        self.register = self._poll.register

    def poll(self, milliseconds: int) -> list[tuple[int, int]]:
        ready = self._poll.poll(milliseconds)
        self._waits += [milliseconds] * (not ready)
        return ready


def test_a_reader_who_stands_still_is_not_waited_for_again_and_again(
    pipe: tuple[int, Any], metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal that was stopped with Ctrl-S, a log collector that hangs."""
    monkeypatch.setattr(sink, "_PATIENCE_MS", 50)
    waits: list[int] = []
    monkeypatch.setattr(select, "poll", lambda: Recorded(waits))
    read, stream = pipe
    logs.configure("tests", "info", stream, metrics.log_lines_dropped)
    while dropped(metrics) < 5:
        _log.info("install.completed", reason="x" * 200)
    assert waits == [50, 0, 0, 0, 0]
    lost = dropped(metrics)

    lines: list[bytes] = []
    reader = os.fdopen(read, "rb")
    reading = threading.Thread(target=lambda: lines.extend(reader))
    reading.start()
    while dropped(metrics) == lost:
        _log.info("install.completed")
        if dropped(metrics) > lost:
            lost = dropped(metrics)
        else:
            break
    stream.close()
    reading.join(PATIENCE)
    reader.close()
    told = [LogLine.model_validate_json(line) for line in lines if b"log.lines_dropped" in line]
    assert [line.lines for line in told] == [lost]


def test_once_it_can_be_written_again_it_is_said_how_much_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was full for a while, and had room for half a line at first."""
    file = tmp_path / "log"
    room = [1_000_000]
    real = os.write

    def write(number: int, data: bytes) -> int:
        if room[0] == 0:
            raise OSError(28, "No space left on device")
        written = real(number, data[: room[0]])
        room[0] -= written
        return written

    with file.open("w") as stream:
        logs.configure("tests", "info", stream)
        _log.info("order.first")
        monkeypatch.setattr(os, "write", write)
        room[0] = 30
        for _ in range(7):
            _log.info("order.lost")
        room[0] = 1_000_000
        logging.getLogger("alembic").warning("a library may be the first to speak")
        _log.info("order.last")
        _log.info("order.last")
    first, torn, library, last, told, again = file.read_text().splitlines()
    assert len(torn) == 30
    events = [LogLine.model_validate_json(line).event for line in (first, library, last, told, again)]
    assert events == ["order.first", "library.said", "order.last", "log.lines_dropped", "order.last"]
    assert json.loads(told)["lines"] == 7


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("not even its name")

    __repr__ = __str__


def test_what_cannot_even_be_shown_costs_its_line_only(tmp_path: Path, metrics: Metrics) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    file = tmp_path / "log"
    with file.open("w") as stream:
        logs.configure("tests", "info", stream, metrics.log_lines_dropped)
        _log.info("order.odd", reason=Unspeakable())
        _log.info("order.deep", reason=deep)
        logging.getLogger("alembic").warning("%d of a kind", "no number")
        _log.info("order.surrogate", reason="\ud800")
    assert dropped(metrics) == 3
    events = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert events == ["order.surrogate", "log.lines_dropped"]


def test_a_value_of_any_alphabet_is_written_whatever_the_locale(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w", encoding="ascii") as stream:
        logs.configure("tests", "info", stream)
        _log.info("order.placed", reason="Zoë, Łódź, 東京")
    assert json.loads(file.read_bytes())["reason"] == "Zoë, Łódź, 東京"


def test_many_threads_that_cannot_write_are_all_counted(metrics: Metrics) -> None:
    with Path("/dev/full").open("w") as stream:
        logs.configure("tests", "info", stream, metrics.log_lines_dropped)
        threads = [threading.Thread(target=everybody_speaks) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert dropped(metrics) == 60
