"""What comes from the network: slow, large, malformed or too much; and what every answer says to browsers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from foundation.broker.limits import MAX_BYTES
from services.api.access.identity import Scope
from services.api.gate import bodies, connections
from services.api.http.limits import FAILURES_PER_MINUTE
from tests.support.api import HouseWithApi

PATIENCE = 30


@pytest.fixture
def house(tmp_path: Path) -> HouseWithApi:
    return HouseWithApi(tmp_path)


def another(directory: Path, **api: Any) -> HouseWithApi:
    directory.mkdir()
    return HouseWithApi(directory, api={"address": "127.0.0.1:0", **api})


@contextmanager
def connected(address: str) -> Iterator[socket.socket]:
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as line:
        yield line


def answer(line: socket.socket) -> bytes:
    """Return all that comes until the connection is closed."""
    pieces = bytearray()
    try:
        while piece := line.recv(65536):
            pieces += piece
    except ConnectionResetError:
        pass  # closed with something of ours unread
    return bytes(pieces)


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *headers, "", ""]).encode()


# What every answer says


@pytest.mark.parametrize(
    "path",
    ["/", "/sign-in", "/nowhere", "/static/console.css", "/static/none", "/v1/me", "/v1/none", "/v1/openapi.json"],
)
def test_every_answer_tells_browsers_to_trust_nothing_else(house: HouseWithApi, path: str) -> None:
    _require_safe(TestClient(house.api.server._app, follow_redirects=False), path)


def _require_safe(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] in {"same-origin", "no-referrer"}
    assert headers["cache-control"] in {"no-cache", "no-store", "private, no-cache"}


@pytest.mark.parametrize("path", ["/sign-in", "/v1/me", "/status/order-1.guessed"])
def test_an_error_that_nobody_foresaw_is_told_without_its_details(
    house: HouseWithApi, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def broken(*_given: object) -> None:
        raise ValueError("a secret detail")

    for place in ("services.api.console.sign_in.inside", "services.api.http.caller.tokens.identify"):
        monkeypatch.setattr(place, broken)
    monkeypatch.setattr("services.api.status.links.order_of", broken)
    client = TestClient(house.api.server._app, raise_server_exceptions=False, headers={"Authorization": "Bearer x"})
    answer = client.get(path)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    _require_safe(client, path)


def test_browsers_that_come_by_https_are_told_to_stay_there(house: HouseWithApi, tmp_path: Path) -> None:
    plain, safe = (TestClient(house.api.server._app, base_url=f"{scheme}://here") for scheme in ("http", "https"))
    assert "strict-transport-security" not in plain.get("/sign-in").headers
    assert "max-age=31536000" in safe.get("/sign-in").headers["strict-transport-security"]
    behind = another(tmp_path / "behind", public_url="https://console.example")
    assert "strict-transport-security" in TestClient(behind.api.server._app).get("/v1/me").headers


def test_no_address_leads_to_another_host(house: HouseWithApi) -> None:
    client = TestClient(house.api.server._app, follow_redirects=False, headers={"Host": "evil.example"})
    for path in (
        "/",
        "/installs/",
        "//evil.example",
        "/%2F/evil.example",
        "/static",
        "/v1/orders/",
        "/.//evil.example",
    ):
        answer = client.get(path)
        assert answer.headers.get("location", "/").startswith("/sign-in") or answer.status_code in {401, 404}, path
        assert "evil.example" not in answer.headers.get("location", "").partition("?")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2faccess%2ftokens.py",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "/static/.%00./app.py",
    ],
)
def test_no_file_but_the_consoles_own_is_served(house: HouseWithApi, path: str) -> None:
    with house.served() as address, connected(address) as line:
        line.sendall(head("GET", path, "Connection: close"))
        assert answer(line).split(b" ", 2)[1] in {b"400", b"404", b"303"}


# What is taken in


def test_a_body_is_refused_as_soon_as_it_is_too_large(house: HouseWithApi) -> None:
    with house.served() as address, connected(address) as line:
        line.sendall(head("POST", "/v1/orders", f"Content-Length: {100 * MAX_BYTES}") + b"x" * (MAX_BYTES + 1))
        assert answer(line).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_not_waited_for(house: HouseWithApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SECONDS", 0.2)
    with house.served() as address, connected(address) as line:
        line.sendall(head("POST", "/v1/orders", "Content-Length: 10") + b"x")
        assert answer(line).startswith(b"HTTP/1.1 408 ")


def test_large_requests_together_have_a_limit(house: HouseWithApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_TOGETHER", MAX_BYTES)
    half = head("POST", "/v1/orders", f"Content-Length: {MAX_BYTES}") + b"x" * (MAX_BYTES // 2)
    with house.served() as address, ExitStack() as opened:
        slow = [opened.enter_context(connected(address)) for _ in range(3)]
        for line in slow:
            line.sendall(half)
        slow[2].sendall(b"x" * (MAX_BYTES // 4))
        refused = [line for line in slow if _is_refused(line)]
        assert refused
        for line in slow:
            line.close()
        with connected(address) as line:
            line.sendall(head("GET", "/v1/me", "Connection: close"))
            assert answer(line).startswith(b"HTTP/1.1 401 ")


def _is_refused(line: socket.socket) -> bool:
    line.settimeout(1)
    try:
        return line.recv(20).startswith(b"HTTP/1.1 503 ")
    except TimeoutError:
        return False


def test_a_head_that_drips_in_is_not_waited_for(house: HouseWithApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SECONDS", 0.2)
    with house.served() as address:
        with connected(address) as silent:
            assert answer(silent) == b""
        with connected(address) as line:
            line.sendall(head("GET", "/v1/openapi.json"))
            line.sendall(b"GET / HTTP/1.1\r\n")
            assert answer(line).count(b"HTTP/1.1 ") == 1


def test_more_connections_than_we_bear_are_closed(house: HouseWithApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 3)
    with house.served() as address, ExitStack() as opened:
        lines = [opened.enter_context(connected(address)) for _ in range(4)]
        assert answer(lines[3]) == b""
        lines[0].sendall(head("GET", "/v1/me", "Connection: close"))
        assert answer(lines[0]).startswith(b"HTTP/1.1 401 ")


def test_the_kernel_keeps_no_part_of_an_answer_back(house: HouseWithApi, monkeypatch: pytest.MonkeyPatch) -> None:
    made, set_on = connections.Impatient.connection_made, list[int]()

    def spy(self: connections.Impatient, transport: Any) -> None:
        made(self, transport)
        set_on.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(connections.Impatient, "connection_made", spy)
    with house.served() as address, connected(address) as line:
        line.sendall(head("GET", "/v1/me", "Connection: close"))
        assert answer(line).startswith(b"HTTP/1.1 401 ")
    assert set_on == [1]


def test_a_head_without_end_is_refused(house: HouseWithApi) -> None:
    with house.served() as address, connected(address) as line:
        line.sendall(head("GET", "/", *(f"X-{number}: {'x' * 1000}" for number in range(100)))[:-2])
        assert answer(line).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "lengths",
    [
        ("Content-Length: 3", "Content-Length: 4"),
        ("Content-Length: +3",),
        ("Content-Length: 3, 4",),
        ("Transfer-Encoding: identity, chunked",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
    ],
)
def test_a_request_whose_length_can_be_read_in_two_ways_is_refused(
    house: HouseWithApi, lengths: tuple[str, ...]
) -> None:
    smuggled = head("GET", "/v1/openapi.json")
    with house.served() as address, connected(address) as line:
        line.sendall(head("POST", "/v1/orders", *lengths) + smuggled)
        line.shutdown(socket.SHUT_WR)
        told = answer(line)
    assert told.split(b" ", 2)[1] in {b"400", b"501"}
    assert told.count(b"HTTP/1.1 ") == 1


def test_no_text_has_what_no_database_takes(house: HouseWithApi) -> None:
    client = TestClient(house.api.server._app)
    for path in ("/status/%00", "/installs/%00", "/v1/orders/%00", "/installs?search=%00", "/v1/orders?search=a%00"):
        assert client.get(path).status_code == 400, path
    form = {"name": "a\0b", "password": "x"}
    assert client.post("/sign-in", data=form).status_code == 400
    assert client.post("/sign-in", data=form, files={"x": b""}).status_code == 400


# Who it comes from


def spoofing(house: HouseWithApi) -> str:
    """Return the address that unknown tokens of a request are counted by, which says that it comes from elsewhere."""
    seen = house.api.server._app.state.doorkeeper.failures._left
    with house.served() as address, connected(address) as line:
        claims = ("X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.7", "X-Real-IP: 203.0.113.7")
        line.sendall(head("GET", "/v1/me", "Authorization: Bearer no", *claims, "Connection: close"))
        answer(line)
    (counted,) = seen
    return str(counted)


def test_an_address_in_a_header_is_believed_from_configured_proxies_alone(house: HouseWithApi, tmp_path: Path) -> None:
    assert spoofing(house) == "127.0.0.1"
    elsewhere = another(tmp_path / "elsewhere", trusted_proxies=["192.0.2.1"])
    assert spoofing(elsewhere) == "127.0.0.1"
    proxied = another(tmp_path / "proxied", trusted_proxies=["127.0.0.1"])
    assert spoofing(proxied) == "203.0.113.7"


def test_whoever_shares_an_address_with_one_who_guesses_is_not_locked_out(house: HouseWithApi) -> None:
    good = house.caller("/shop", Scope.ORDERS_READ)
    guesser = TestClient(house.api.server._app, headers={"Authorization": "Bearer sct_guess"})
    answers = [guesser.get("/v1/me").status_code for _ in range(FAILURES_PER_MINUTE + 1)]
    assert set(answers[:-1]) == {401}
    assert answers[-1] == 429
    assert good.get("/v1/me").status_code == 200
