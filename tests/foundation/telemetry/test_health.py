"""What a service answers to those who ask how it is."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Any

import httpx2
import pytest

from foundation.errors import BrokerUnreachable, ConfigurationError, SitecrewError, StoreUnreachable
from foundation.service.dependencies import Dependencies
from foundation.telemetry import health
from foundation.telemetry.health import HealthServer, Heartbeats, wellness
from foundation.telemetry.metrics import Metrics
from tests.support.brokers import until

Ask = Callable[[str], httpx2.Response]


class Patient:
    """Is well until it is told otherwise."""

    def __init__(self) -> None:
        self.trouble = ""

    def __call__(self) -> None:
        if self.trouble:
            raise SitecrewError(self.trouble)


@pytest.fixture
def broker() -> Patient:
    return Patient()


@pytest.fixture
def heartbeats() -> Heartbeats:
    return Heartbeats()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("tests")


@pytest.fixture
def ask(broker: Patient, heartbeats: Heartbeats, metrics: Metrics) -> Iterator[Ask]:
    probes: dict[str, Callable[[], None]] = {"broker": broker, "store": lambda: None}
    server = HealthServer("127.0.0.1:0", "x.listen", heartbeats.require_alive, probes, metrics.registry)
    with ExitStack() as opened:
        opened.callback(server.close)
        url = f"http://127.0.0.1:{server.port}"
        client = opened.enter_context(httpx2.Client(base_url=url, trust_env=False, timeout=60))
        yield client.get


def test_who_is_well_says_so_shortly(ask: Ask) -> None:
    for path in ("/livez", "/readyz"):
        assert (ask(path).status_code, ask(path).text) == (200, "ok\n")


def test_verbosely_each_thing_is_named(ask: Ask) -> None:
    assert ask("/readyz?verbose").text == "[+]broker ok\n[+]store ok\n"


def test_who_is_not_ready_says_what_is_missing_and_lives_all_the_same(ask: Ask, broker: Patient) -> None:
    broker.trouble = "no connection for installer.due"
    assert ask("/readyz").status_code == 503
    assert ask("/readyz").text == "[-]broker failed: no connection for installer.due\n[+]store ok\n"
    assert ask("/livez").status_code == 200


def test_a_loop_that_does_not_come_round_any_more_is_named(
    ask: Ask, heartbeats: Heartbeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats.beat("relay")
    heartbeats.beat("intake.orders")
    heartbeats.end("intake.orders")
    assert ask("/livez").status_code == 200
    monkeypatch.setattr(health, "STALLED", -1.0)
    assert ask("/livez").status_code == 503
    assert ask("/livez").text.endswith(": relay\n")


def test_how_long_a_loop_is_silent_can_be_asked_for_until_it_ends(
    heartbeats: Heartbeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "monotonic", lambda: 100.0)
    heartbeats.beat("relay")
    heartbeats.beat("intake.orders")
    monkeypatch.setattr(health, "monotonic", lambda: 107.0)
    heartbeats.beat("intake.orders")
    assert heartbeats.ages() == {"relay": 7.0, "intake.orders": 0.0}
    heartbeats.end("relay")
    assert heartbeats.ages() == {"intake.orders": 0.0}


def test_what_a_service_needs_can_be_asked_for_as_numbers(broker: Patient) -> None:
    broker.trouble = "no connection for installer.due"
    assert wellness({"broker": broker, "store": lambda: None}) == {"broker": 0.0, "store": 1.0}


def test_metrics_are_in_the_form_that_prometheus_reads(ask: Ask, metrics: Metrics) -> None:
    metrics.processed.labels("installer.due", "done").inc(3)
    answer = ask("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'sitecrew_received_processed_messages_total{queue="installer.due",status="done"} 3.0' in answer.text
    assert 'sitecrew_build_info{service="tests",version="' in answer.text


def test_what_is_read_from_the_store_is_left_out_while_that_is_away(ask: Ask, metrics: Metrics) -> None:
    answers: Any = iter([{"staged": 2.0}, StoreUnreachable("gone")])

    def read() -> dict[str, float]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    metrics.on_scrape("installs", "Installs by state", "state", read)
    assert 'sitecrew_installs{state="staged"} 2.0' in ask("/metrics").text
    away = ask("/metrics")
    assert away.status_code == 200
    assert "sitecrew_installs" not in away.text


def test_who_hangs_up_before_the_answer_leaves_no_traceback_between_the_log_lines(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once = struct.pack("ii", 1, 0)
    with socket.create_connection(("127.0.0.1", ask("/").url.port or 0)) as caller:
        caller.sendall(b"GET /metr")
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    ask("/livez")  # was taken after the other one
    until(lambda: not any("process_request" in thread.name for thread in threading.enumerate()), 60)
    assert capsys.readouterr().err == ""


# Who is not kind


def port_of(ask: Ask) -> int:
    return ask("/livez").url.port or 0


def test_any_number_of_silent_connections_keeps_nobody_from_asking(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_REQUEST_SECONDS", 3600)  # none ends by its deadline
    port = port_of(ask)
    with ExitStack() as opened:
        for _ in range(300):
            opened.enter_context(socket.create_connection(("127.0.0.1", port)))
        assert ask("/readyz").text == "ok\n"
        until(lambda: sum("process_request" in thread.name for thread in threading.enumerate()) <= 32, 60)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 9_000, b"GET /" + b"x" * 60_000, b"x" * 60_000])
def test_a_request_without_end_is_cut(ask: Ask, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port_of(ask)), timeout=60) as caller:
        caller.sendall(sent)
        with suppress(ConnectionResetError):
            while caller.recv(4096):
                pass
    assert ask("/livez").text == "ok\n"


def test_who_sends_a_letter_now_and_then_is_not_waited_for(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_REQUEST_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", port_of(ask)), timeout=60) as caller:
        began = monotonic()
        with suppress(OSError):
            while not select.select([caller], [], [], 0.05)[0]:
                caller.sendall(b"x")
            caller.recv(1)
        assert monotonic() - began < 30
    assert ask("/livez").text == "ok\n"


# While it starts


def test_what_was_not_reached_yet_says_why_until_it_is() -> None:
    dependencies, stop = Dependencies("store", "broker"), threading.Event()
    errors: list[SitecrewError] = [BrokerUnreachable("refused"), BrokerUnreachable("no such user")]
    seen: list[str] = []

    def declare() -> None:
        dependencies.require("store")
        if errors:
            raise errors.pop(0)

    def wait(_seconds: float) -> bool:
        with pytest.raises(SitecrewError) as found:
            dependencies.require("broker")
        seen.append(str(found.value))
        return False

    stop.wait = wait  # type: ignore[method-assign, assignment]
    with pytest.raises(SitecrewError, match="not tried yet"):
        dependencies.require("store")
    assert str(dependencies) == "store and its broker"
    assert dependencies.reach({"store": lambda: None, "broker": declare}, stop)
    assert seen == ["refused", "no such user"]
    assert not dependencies
    dependencies.require("broker")


def test_any_other_path_says_which_there_are(ask: Ask) -> None:
    assert ask("/").status_code == 404
    assert "/readyz?verbose" in ask("/").text


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "203.0.113.1:80", "no such host:80"])
def test_an_address_that_can_not_be_listened_at_is_told_with_its_setting(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^mailer\.listen: cannot listen on "):
        HealthServer(address, "mailer.listen", lambda: None, {}, Metrics().registry)


def test_an_ipv6_address_is_listened_at() -> None:
    server = HealthServer("[::1]:0", "mailer.listen", lambda: None, {}, Metrics().registry)
    try:
        assert httpx2.get(f"http://[::1]:{server.port}/livez", trust_env=False, timeout=60).status_code == 200
    finally:
        server.close()


def test_an_address_that_is_in_use_is_told_with_what_to_do() -> None:
    first = HealthServer("127.0.0.1:0", "mailer.listen", lambda: None, {}, Metrics().registry)
    with pytest.raises(ConfigurationError, match=r"in use\. Each replica on this machine needs its own address"):
        HealthServer(f"127.0.0.1:{first.port}", "mailer.listen", lambda: None, {}, Metrics().registry)
    first.close()
