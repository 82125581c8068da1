"""What may stand in `amqp_url`, and what is said of one that can't be read. Passwords are never repeated."""

from pathlib import Path

import pytest

from foundation.broker.address import nodes_of, shown
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.tls import Tls
from foundation.config.queues import sitecrew
from foundation.config.settings import load
from foundation.errors import ConfigurationError

TOPOLOGY = sitecrew(Ladder(levels=2))


def broker(url: str, tls: Tls | None = None) -> RabbitBroker:
    return RabbitBroker([url], TOPOLOGY, tls=tls)


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password", "vhost"),
    [
        ("amqp://ann:pa%2Css%23%2F%40%3A%25@rabbit:5673/%2F", "rabbit", 5673, "ann", "pa,ss#/@:%", "/"),
        ("amqp://ann%40host:pw@rabbit", "rabbit", 5672, "ann@host", "pw", "/"),
        ("amqp://ann:pw@rabbit/", "rabbit", 5672, "ann", "pw", "/"),
        ("amqp://ann:pw@rabbit//", "rabbit", 5672, "ann", "pw", "/"),
        ("amqp://ann:pw@rabbit/shop", "rabbit", 5672, "ann", "pw", "shop"),
        ("amqp://ann:pw@rabbit/a%2Fb", "rabbit", 5672, "ann", "pw", "a/b"),
        ("amqp://ann:pw@[2001:db8::7]:5673/x", "2001:db8::7", 5673, "ann", "pw", "x"),
        ("amqps://ann:pw@rabbit/x\n", "rabbit", 5671, "ann", "pw", "x"),
        ("amqp://ann:p@ss@rabbit/x", "rabbit", 5672, "ann", "p@ss", "x"),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int, user: str, password: str, vhost: str) -> None:
    (node,) = broker(url)._nodes
    assert (node.host, node.port, node.virtual_host) == (host, port, vhost)
    assert (node.credentials.username, node.credentials.password) == (user, password)


def test_a_comma_separates_nodes_and_a_stray_one_does_no_harm() -> None:
    assert nodes_of("amqp://a/x, amqp://b/x,\n") == ["amqp://a/x", "amqp://b/x"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is empty"),
        (" , ", "is empty"),
        ("localhost", "must start with amqp://"),
        ("http://localhost/", "must start with amqp://"),
        ("amqp://ann:hunter2,x@rabbit/", r"address 1 of 2.*%2C"),
        ("amqp://a:b@one/,amqp://ann:hunter2,x@two/", r"address 2 of 3.*a comma separates nodes"),
        ("amqp://ann:hunter2#x@rabbit/", "host or port|contains a #"),
        ("amqp://ann:1#hunter2@rabbit/", "contains a #"),
        ("amqp://ann:1/hunter2@rabbit:5672/", "contains an @ after the first /"),
        ("amqp://ann:1?hunter2@rabbit/", r"contains an @ after the first / or \?"),
        ("amqp://ann:hunter2@rabbit:port/", "port is not valid"),
        ("amqp://ann:hunter2@rabbit:99999/", "port is not valid"),
        ("amqp://ann:hunter2@rabbit:0/", "port 0 is not valid"),
        ("amqp://ann:hunter2@2001:db8::7/", "IPv6 addresses go in brackets"),
        ("amqp://ann:hunter2@[2001:db8/", "IPv6 addresses go in brackets"),
        ("amqp://ann:hunter2@/x", "has no host"),
        ("amqp://hunter2@rabbit/x", r"its user has no password.*amqp://user:password@host:5672/vhost"),
        ("amqp://hunter2:@rabbit/x", "its user has no password"),
        ("amqp://@rabbit/x", "neither user nor password"),
        ("amqp://ann:hunter2@one/,amqp://hunter2@two/", "address 2 of 2.*its user has no password"),
        ("amqp://ann:hunter2@rabbit/a/b", "virtual host contains a /"),
        ("amqp://ann:hunter2 @rabbit/", "white space"),
        ("amqp://ann:hunter2@rabbit/?cacertfile=/x", r"unknown parameter 'cacertfile' after the \?.*amqp_tls"),
        ("amqp://ann:hunter2@rabbit/?heartbeat=often", r"after the \? are not valid"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_without_repeating_it(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        broker(url)
    assert str(caught.value).startswith("amqp_url")
    assert "hunter2" not in str(caught.value)


def test_an_address_is_shown_without_its_password() -> None:
    assert shown("amqp://ann:p%40ss@rabbit/x,amqps://two:5673/x") == "amqp://ann:[redacted]@rabbit/x,amqps://two:5673/x"


def test_settings_refuse_such_an_address_before_anything_is_contacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SITECREW_AMQP_URL", "amqp://ann:hunt,er2@rabbit/")
    with pytest.raises(ConfigurationError, match=r"AMQP_URL.*Percent-encode.*a comma separates nodes") as caught:
        load()
    assert "er2@" not in str(caught.value)


def test_a_connection_is_given_up_when_it_falls_silent_or_stays_blocked() -> None:
    (node,) = broker("amqp://rabbit/")._nodes
    assert (node.heartbeat, node.blocked_connection_timeout) == (30, 300)
    assert (node.socket_timeout, node.stack_timeout, node.connection_attempts) == (15, 15, 1)


def test_an_address_may_say_otherwise() -> None:
    (node,) = broker("amqp://rabbit/?heartbeat=5&blocked_connection_timeout=60&stack_timeout=2")._nodes
    assert (node.heartbeat, node.blocked_connection_timeout, node.stack_timeout) == (5, 60, 2)


def test_tls_that_the_address_does_not_ask_for_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"amqp_tls is set, but amqp_url begins with amqp://"):
        broker("amqp://rabbit/", Tls(server_name="rabbit.example"))
