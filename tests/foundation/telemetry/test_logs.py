"""Log lines: one JSON object each, with no secret in any of them."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from foundation.telemetry import logs


class Lines(io.StringIO):
    """What was logged, read back."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().split("\n")[:-1]]

    def only(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers, logging.root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.root.handlers, logging.root.level = handlers, level


@pytest.fixture
def lines() -> Lines:
    stream = Lines()
    logs.configure("installer", stream=stream)
    return stream


def test_a_line_is_one_json_object_with_time_level_event_service_and_version(lines: Lines) -> None:
    structlog.get_logger("x").info("install.completed", order_id="1042", duration_seconds=0.25)
    line = lines.only()
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("version")
    assert line == {
        "event": "install.completed",
        "level": "info",
        "service": "installer",
        "order_id": "1042",
        "duration_seconds": 0.25,
    }


def test_a_text_of_many_lines_stays_one_line(lines: Lines) -> None:
    structlog.get_logger().warning("message.parked", reason="one\ntwo\u2028three")
    assert lines.getvalue().count("\n") == 1
    assert lines.only()["reason"] == "one\ntwo\u2028three"


def test_what_is_bound_to_the_context_is_on_every_line_of_it(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(install_id="1042-g1"):
        structlog.get_logger().info("install.step", step="database")
    structlog.get_logger().info("other")
    assert [line.get("install_id") for line in lines.all()] == ["1042-g1", None]


def test_a_traceback_shows_where_and_what_but_no_local_variable(lines: Lines) -> None:
    def fail() -> None:
        canary = "canary-" + "password"
        raise LookupError("not this one" if canary else "")

    try:
        fail()
    except LookupError:
        structlog.get_logger().exception("act.unexpected", queue="installer.due")
    (exception,) = lines.only()["exception"]
    assert (exception["exc_type"], exception["exc_value"]) == ("LookupError", "not this one")
    assert exception["frames"][-1]["name"] == "fail"
    assert "canary-password" not in lines.getvalue()
    assert "canary-password" not in _on_a_terminal()


def _on_a_terminal() -> str:
    stream = Lines(terminal=True)
    logs.configure("installer", stream=stream)
    try:
        _look_for("canary-" + "password")
    except LookupError:
        structlog.get_logger().exception("act.unexpected")
    assert "LookupError: 15" in stream.getvalue()
    return stream.getvalue()


def _look_for(canary: str) -> None:
    raise LookupError(len(canary))


@pytest.mark.parametrize(
    "key", ["password", "db_password", "secret", "access_token", "private_key", "Password", "TOKEN"]
)
def test_a_key_that_sounds_like_a_secret_loses_its_value(lines: Lines, key: str) -> None:
    structlog.get_logger().info("settings", **{key: "canary", "inner": {key: "canary", "list": [{key: "canary"}]}})
    assert "canary" not in lines.getvalue()
    assert lines.only()[key] == "[redacted]"
    assert lines.only()["inner"] == {key: "[redacted]", "list": [{key: "[redacted]"}]}


def test_on_a_terminal_too(lines: Lines) -> None:
    stream = Lines(terminal=True)
    logs.configure("installer", stream=stream)
    structlog.get_logger().info("settings", password="canary")
    assert "canary" not in stream.getvalue()
    assert "[redacted]" in stream.getvalue()
    assert lines.getvalue() == ""


@pytest.mark.parametrize("value", [2**70, "\ud800", {1: "a"}, {(1, 2): "b"}, object(), b"\xff", float("nan"), {1, 2}])
def test_nothing_that_is_logged_can_break_the_one_who_logs_it(lines: Lines, value: object) -> None:
    structlog.get_logger().info("odd", value=value)
    assert lines.only()["event"] == "odd"


def test_lines_of_libraries_look_like_ours(lines: Lines) -> None:
    logging.getLogger("sqlalchemy.pool").warning("connection %s is stale", 7)
    line = lines.only()
    assert (line["event"], line["level"], line["service"]) == ("library.said", "warning", "installer")
    assert (line["said"], line["logger"]) == ("connection 7 is stale", "sqlalchemy.pool")
    assert line["timestamp"]


def test_tracebacks_of_libraries_show_no_local_variable_either(lines: Lines) -> None:
    try:
        _look_for("canary-" + "password")
    except LookupError:
        logging.getLogger("httpx2").exception("it broke")
    assert lines.only()["said"] == "it broke"
    assert lines.only()["exception"][0]["exc_type"] == "LookupError"
    assert "canary-password" not in lines.getvalue()


def test_libraries_are_heard_from_warnings_on_and_pika_not_at_all(lines: Lines) -> None:
    logging.getLogger("alembic").info("running upgrade")
    logging.getLogger("pika.adapters").error("the broker module says this, once and plainly")
    assert lines.all() == []


def test_what_is_less_severe_than_the_level_is_not_written() -> None:
    stream = Lines()
    logs.configure("mailer", "warning", stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert stream.only()["event"] == "loud"


def test_lines_of_many_threads_do_not_mix(lines: Lines) -> None:
    def talk(number: int) -> None:
        for _ in range(50):
            structlog.get_logger().info("talk", number=number, text="x" * 200)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines.all()) == 400
