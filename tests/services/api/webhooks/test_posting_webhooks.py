"""One post to one receiver, who may be slow, endless or hostile, or where nobody should post to."""

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.api.webhooks import destinations, signing
from services.api.webhooks.destinations import ForbiddenAddress
from services.api.webhooks.posting import Post, Poster
from tests.support.certificates import certificate
from tests.support.receiver import Receiver, hang, receiver, status

BODY = json.dumps({"type": "sitecrew.install.failed.v1", "note": "ünïcode"}).encode()


@pytest.fixture(name="receiver")
def a_receiver() -> Iterator[Receiver]:
    with receiver() as one:
        yield one


def post(url: str, *secrets: str) -> Post:
    return Post("0190-1", url, BODY, secrets or (signing.new_secret(),))


def test_an_independent_library_verifies_what_is_posted(receiver: Receiver) -> None:
    secret = signing.new_secret()
    assert Poster(to_private=True).post(post(receiver.url(), secret)).status == 204
    [got] = receiver.received
    assert Webhook(secret).verify(got.body, got.headers) == json.loads(BODY)
    assert got.headers["webhook-id"] == "0190-1"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(got.body.replace(b"failed", b"passed"), got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(got.body, got.headers)


def test_while_a_secret_is_rotated_either_verifies(receiver: Receiver) -> None:
    new, old = signing.new_secret(), signing.new_secret()
    Poster(to_private=True).post(post(receiver.url(), new, old))
    [got] = receiver.received
    for secret in (new, old):
        Webhook(secret).verify(got.body, got.headers)


def test_a_receiver_that_fails_is_quoted_shortly(receiver: Receiver) -> None:
    receiver.behaviours["/"] = status(500, b"no\x00\n" + b"x" * 5000)
    result = Poster(to_private=True).post(post(receiver.url()))
    assert (result.status, result.is_delivered, len(result.answer)) == (500, False, 1024)
    assert result.answer.startswith("no  xx")


def test_redirects_are_failures_and_not_followed(receiver: Receiver) -> None:
    receiver.behaviours["/"] = status(302, Location="/elsewhere")
    result = Poster(to_private=True).post(post(receiver.url()))
    assert (result.status, result.is_delivered) == (302, False)
    assert [one.path for one in receiver.received] == ["/"]


def test_one_that_never_answers_is_left_at_the_deadline(receiver: Receiver) -> None:
    receiver.behaviours["/"] = hang(receiver)
    assert Poster(to_private=True, deadline=0.3).post(post(receiver.url()))[:2] == (None, "no answer within 0.3 s")


def test_one_that_drips_its_headers_is_left_at_the_deadline(receiver: Receiver) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not receiver.ended.wait(0.02):
            request.wfile.write(b"x")

    receiver.behaviours["/"] = drip
    assert Poster(to_private=True, deadline=0.4).post(post(receiver.url()))[:2] == (None, "no answer within 0.4 s")


def test_what_drips_its_answer_is_left_at_the_deadline_and_counts_by_its_status(receiver: Receiver) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not receiver.ended.wait(0.02):
            request.wfile.write(b"x")

    receiver.behaviours["/"] = drip
    result = Poster(to_private=True, deadline=0.4).post(post(receiver.url()))
    assert (result.status, result.answer.strip("x")) == (200, "")


@pytest.mark.parametrize(
    ("code", "wish", "seconds"),
    [
        (503, "120", 120),
        (429, "Thu, 01 Jan 1970 00:20:00 GMT", 200),
        (429, "Thu, 01 Jan 1970 00:10:00 GMT", 0),
        (429, "9" * 40, 999_999_999),
        (429, "soon", 0),
        (429, "-5", 0),
        (500, "120", 0),
        (200, "120", 0),
    ],
)
def test_a_busy_receiver_says_how_long_it_wants_to_be_left_alone(
    receiver: Receiver, code: int, wish: str, seconds: int
) -> None:
    receiver.behaviours["/"] = status(code, b"", **{"Retry-After": wish})
    result = Poster(to_private=True, clock=lambda: 1000).post(post(receiver.url()))
    assert (result.status, result.pause) == (code, timedelta(seconds=seconds))


def test_of_an_answer_of_a_megabyte_little_is_kept(receiver: Receiver) -> None:
    receiver.behaviours["/"] = status(200, b"x" * 1024 * 1024)
    result = Poster(to_private=True).post(post(receiver.url()))
    assert (result.is_delivered, result.answer) == (True, "x" * 1024)


def test_of_an_endless_answer_little_is_read(receiver: Receiver) -> None:
    written = 0
    cut = threading.Event()

    def endless(request: BaseHTTPRequestHandler) -> None:
        nonlocal written
        request.send_response(200)
        request.end_headers()
        try:
            while not receiver.ended.is_set():
                request.wfile.write(b"x" * 65536)
                written += 65536
        finally:
            cut.set()

    receiver.behaviours["/"] = endless
    result = Poster(to_private=True, deadline=60).post(post(receiver.url()))
    assert (result.status, len(result.answer)) == (200, 1024)
    assert cut.wait(30)


def test_nobody_there_is_told_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = Poster(to_private=True).post(post(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
    assert result.status is None
    assert result.answer.startswith("no connection")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104  # what must be refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.100.100.200",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_addresses_that_only_we_can_reach_are_refused(address: str) -> None:
    with pytest.raises(ForbiddenAddress):
        destinations.parsed(f"https://{address}/", to_private=False)
    assert Poster(to_private=False).post(post(f"https://{address}/")).status is None


@pytest.mark.parametrize(
    "url", ["ftp://a/", "https://", "https://u:p@a/", "https://a/#b", "https://a:0/", "https://a b/"]
)
def test_odd_urls_are_refused(url: str) -> None:
    with pytest.raises(ForbiddenAddress):
        destinations.parsed(url, to_private=True)


@pytest.mark.parametrize("written", ["127.1", "2130706433", "0x7f.1", "localhost", "localhost."])
def test_no_spelling_of_a_host_leads_to_ourselves(written: str, receiver: Receiver) -> None:
    result = Poster(to_private=False).post(post(f"https://{written}:{receiver.port}/"))
    assert result.status is None
    assert "private" in result.answer or "no address" in result.answer
    assert not receiver.received


def name_leads_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have every name lead to this machine; return the names that are asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: real(host, *a, **k) if host == "127.0.0.1" else resolve(host, *a, **k),
    )
    return asked


def test_a_name_is_resolved_once_and_that_address_is_posted_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = name_leads_here(monkeypatch)
    assert Poster(to_private=True).post(post(receiver.url(host="shop.example"))).status == 204
    assert asked == ["shop.example"]
    assert receiver.received[0].headers["host"] == f"shop.example:{receiver.port}"


@pytest.mark.parametrize(("name", "status"), [("shop.example", 204), ("other.example", None)])
def test_over_tls_the_certificate_must_be_that_of_the_name_in_the_url(
    name: str, status: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = certificate(tmp_path, "shop.example")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(issued.chain, issued.key)
    named: list[str | None] = []
    tls.sni_callback = lambda _socket, asked_for, _context: named.append(asked_for)
    name_leads_here(monkeypatch)
    poster = Poster(to_private=True)
    poster._transport = httpx2.HTTPTransport(verify=ssl.create_default_context(cafile=issued.ca), trust_env=False)
    with receiver(tls) as there:
        assert poster.post(post(f"https://{name}:{there.port}/")).status == status
        assert len(there.received) == (1 if status else 0)
    assert named == [name]


def test_a_name_of_which_one_address_is_private_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [(socket.AF_INET, 1, 6, "", ("93.184.216.34", 443)), (socket.AF_INET6, 1, 6, "", ("::1", 443, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)
    with pytest.raises(ForbiddenAddress, match="::1"):
        destinations.resolved(urlsplit("https://shop.example/"), to_private=False)
