"""What a site type requires before its sites are installed: their domain's DNS entry, a certificate."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foundation.addresses import HostPort
from foundation.config.servers import servers_of
from foundation.config.settings import Settings
from foundation.errors import Failed
from schemas.installs import InstallWaiting
from schemas.values import AccountRef
from services.installer.servers import requirements
from services.installer.states import State, WaitingFor
from tests.support.certificates import Certificate, certificate
from tests.support.house import House

ACCOUNT = AccountRef(server="local", username="shopx", domain="shop.example", address="203.0.113.7")


def server(**settings: Any) -> Any:
    return servers_of(Settings(servers={"local": {"address": "203.0.113.7", **settings}}))["local"]


def missing(what: str, account: AccountRef = ACCOUNT, **settings: Any) -> str:
    """Return what is missing, in words; empty if nothing is."""
    try:
        requirements.check([what], account, server(**settings))
    except Failed as failure:
        return failure.cause.detail
    return ""


@contextmanager
def answering(tls: Certificate) -> Iterator[str]:
    """Run a server that shakes hands; yields its `host:port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.chain, tls.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def shake_hands() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=shake_hands, daemon=True)
        thread.start()
        yield str(HostPort(*listening.getsockname()))
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """What the resolver knows."""
    known: dict[str, set[str]] = {"203.0.113.7": {"203.0.113.7"}, "127.0.0.1": {"127.0.0.1"}}
    monkeypatch.setattr(requirements, "addresses", lambda host: known.get(host, set()))
    return known


def test_the_domain_and_its_alias_must_lead_to_the_server(names: dict[str, set[str]]) -> None:
    assert missing("dns") == "shop.example has no address yet, not to 127.0.0.1 or 203.0.113.7"
    names["shop.example"] = {"198.51.100.1"}
    assert missing("dns").startswith("shop.example leads to 198.51.100.1, not to")
    names["shop.example"] = {"198.51.100.1", "203.0.113.7"}
    assert missing("dns") == ""
    aliased = ACCOUNT.model_copy(update={"aliases": ("www.shop.example",)})
    assert missing("dns", aliased).startswith("www.shop.example has no address yet")


def test_a_name_that_cannot_be_resolved_leads_nowhere() -> None:
    assert requirements.addresses("127.0.0.1") == {"127.0.0.1"}
    assert requirements.addresses(f"{'x' * 80}.invalid") == set()


def test_the_certificate_must_be_valid_for_the_name(tmp_path: Path) -> None:
    tls = certificate(tmp_path, "shop.example")
    with answering(tls) as place:
        trusted: dict[str, Any] = {"scheme": "https", "web_address": place, "web_ca_file": str(tls.ca)}
        assert missing("tls", **trusted) == ""
        other = ACCOUNT.model_copy(update={"domain": "another.example"})
        assert "no valid certificate for another.example: " in missing("tls", other, **trusted)
        assert "no valid certificate for shop.example: " in missing("tls", **{**trusted, "web_ca_file": None})
    assert "does not speak TLS: " in missing("tls", **trusted)


def test_an_install_waits_until_its_domain_is_here_and_is_looked_at_less_and_less_often(
    tmp_path: Path, names: dict[str, set[str]]
) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False, "require": ["dns"]}})
    house.order()
    house.settle()
    waits = house.install()
    assert (waits.state, waits.waiting_for, waits.attempt) == (State.WAITING, WaitingFor.DNS, 0)
    began, looks = waits.waiting_since, list[float]()
    while len(looks) < 5:
        looks.append((house.install().due_at - house.clock.moment).total_seconds())
        house.advance(looks[-1] + 1)
    assert looks == sorted(looks)
    assert (looks[0], looks[-1] > 400) == (60, True)
    again = house.install()
    assert (again.state, again.attempt, again.waiting_since) == (State.WAITING, 0, began)
    names |= {"shop1.example": {"203.0.113.7"}, "www.shop1.example": {"203.0.113.7"}}
    house.advance((again.due_at - house.clock.moment).total_seconds() + 1)
    assert house.mailed(1)
    assert house.install().attempt == 1
    told = [event.data for event in house.events() if isinstance(event.data, InstallWaiting)]
    assert {(data.waiting_for, data.cause.code) for data in told} == {("dns", "dns_missing")}
    assert all(data.due_at and data.until for data in told)


def test_an_install_whose_domain_never_comes_fails_for_that(tmp_path: Path, names: dict[str, set[str]]) -> None:
    house = House(
        tmp_path,
        sites={"wordpress": {"stage": False, "require": ["dns"]}},
        installer={"waiting_hours": 2, "retry_longest_seconds": 1800},
    )
    house.order()
    house.settle()
    house.let_time_pass(4, 1500)
    assert (names.get("shop1.example"), house.is_in(State.WAITING)) == (None, True)
    house.let_time_pass(2, 1500)
    failed = house.install()
    assert (failed.state, failed.cause and failed.cause.code) == (State.FAILED, "dns_missing")
