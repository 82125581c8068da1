"""Hosts and ports, joined and taken apart."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.addresses import HostPort, bare, bracketed, url_of
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.config.queues import sitecrew
from foundation.errors import BrokerUnreachable, Failed
from foundation.hosting.databases import MariaDatabases
from services.mailer.smtp import Smtp

HOSTS = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["localhost", "web1.hosting.example", "fe80::1%eth0", "Web-1"])
)


@given(HOSTS, st.integers(0, 65535))
def test_what_was_joined_is_taken_apart_again_whatever_the_family(host: str, port: int) -> None:
    assert HostPort.parse(str(HostPort(host, port))) == (host, port)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:8080", "::1", 8080), ("localhost:0", "localhost", 0)],
)
def test_host_and_port_are_read(text: str, host: str, port: int) -> None:
    assert HostPort.parse(text) == (host, port)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("::1", r"\[::1\]:80"),
        ("2001:db8::7", r"\[2001:db8::7\]:80"),
        ("[::1]", r"\[::1\]:80"),
        ("2001:db8::7:80", "brackets"),
        ("a:b:80", "brackets"),
        ("[localhost]:80", "brackets"),
        ("localhost", "not host:port"),
        ("localhost:", "not host:port"),
        ("localhost:http", "not host:port"),
        ("localhost:65536", "not host:port"),
        ("localhost:\u0663", "not host:port"),
        (":80", "not host:port"),
        ("[]:80", "not host:port"),
        ("http://localhost:80", "scheme"),
        ("localhost:80/path", "scheme"),
        ("", "not host:port"),
    ],
)
def test_what_is_not_host_and_port_is_told_how_to_write_it(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        HostPort.parse(text)


def test_brackets_are_put_on_once() -> None:
    assert bracketed("::1") == bracketed("[::1]") == "[::1]"
    assert bare("[::1]") == bare("::1") == "::1"
    assert bracketed("192.0.2.7") == "192.0.2.7"


@pytest.mark.parametrize(
    ("scheme", "host", "port", "url"),
    [
        ("http", "ann.example", 80, "http://ann.example/"),
        ("http", "ann.example", 8080, "http://ann.example:8080/"),
        ("https", "ann.example", 443, "https://ann.example/"),
        ("https", "ann.example", 80, "https://ann.example:80/"),
        ("http", "2001:db8::7", 80, "http://[2001:db8::7]/"),
        ("https", "2001:db8::7", 8443, "https://[2001:db8::7]:8443/"),
    ],
)
def test_a_url_leaves_its_schemes_own_port_out(scheme: str, host: str, port: int, url: str) -> None:
    assert url_of(scheme, host, port) == url


def test_messages_name_ipv6_places_as_settings_write_them(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"\[::1\]:1"):
        Smtp(host="::1", port=1).check("staff@hosting.example")
    with pytest.raises(Failed, match=r"db_down: .* at \[::1\]:1 \(servers\.x\.databases\)"):
        MariaDatabases(host="::1", port=1, setting="servers.x.databases").names("x")
    with pytest.raises(BrokerUnreachable, match=r"cannot use RabbitMQ at \[::1\]:1"):
        RabbitBroker(["amqp://guest:guest@[::1]:1/"], sitecrew(Ladder(1000, 20))).version()
    assert str(tmp_path) in MariaDatabases(socket=tmp_path / "sock").place


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("10.0.0.5", False),
        ("db1", False),
    ],
)
def test_a_database_server_is_on_this_machine_by_its_address(host: str, here: bool) -> None:
    assert MariaDatabases(host=host).on_this_machine is here
