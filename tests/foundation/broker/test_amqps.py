"""RabbitMQ behind TLS, on a node of our own with a CA of our own."""

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from foundation.broker import Confirmation, Message
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.tls import Tls
from foundation.broker.topology import ORDERS
from foundation.config import queues as table
from foundation.config.queues import INTAKE_ORDERS
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable, ConfigurationError
from foundation.service.process import broker_of
from sitecrew.cli.checks.broker import of_broker
from sitecrew.cli.checks.findings import examine
from sitecrew.stack.ports import free_port
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from tests.support.authority import Authority, Issued
from tests.support.brokers import BOOT, gather

pytestmark = pytest.mark.timeout(300)

TOPOLOGY = table.sitecrew(Ladder(unit_ms=50, levels=2))
NAME = "rabbit.example"
SECONDS = 60.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Issued:
    return authority.issue("sitecrew")


@pytest.fixture(scope="module")
def secured(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a node that shows a certificate for another name than its address, and wants one of ours."""
    port, its = free_port(), authority.issue(NAME)
    settings = {
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": str(authority.ca_file),
        "ssl_options.certfile": str(its.certificate),
        "ssl_options.keyfile": str(its.key),
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true",
    }
    try:
        node = PrivateRabbit(tmp_path_factory.mktemp("node"), settings=settings, patience=BOOT)
    except ConfigurationError as missing:
        pytest.skip(str(missing))
    with node:
        yield node.amqp_url.replace("amqp://", "amqps://").replace(f":{node.port}/", f":{port}/")


def broker(url: str, tls: Tls | None = None) -> RabbitBroker:
    return RabbitBroker([url], TOPOLOGY, tls=tls)


def test_orders_go_through_tls_with_certificates_on_both_sides(
    secured: str, authority: Authority, ours: Issued
) -> None:
    tls = Tls(authority.ca_file, ours.certificate, ours.key, NAME)
    with closing(broker(secured, tls)) as opened:
        opened.declare()
        assert opened.differences() == []
        sent = Message(ORDERS, "order.placed.v1", b"order", message_id="m1")
        assert opened.publisher().publish([sent], SECONDS) == [Confirmation.CONFIRMED]
        assert gather(opened.consumer(INTAKE_ORDERS, 1), 1, SECONDS)[0].message_id == "m1"


def test_which_of_the_files_is_wrong_is_told(secured: str, authority: Authority, ours: Issued, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    theirs = stranger.issue("stranger-sitecrew")
    trusted = authority.ca_file
    for tls, said in (
        (Tls(), r"not trusted .*set amqp_tls\.ca_file"),
        (Tls(stranger.ca_file, ours.certificate, ours.key, NAME), r"not trusted .*set amqp_tls\.ca_file"),
        (Tls(trusted, ours.certificate, ours.key), r"another name .*127\.0\.0\.1.*amqp_tls\.server_name"),
        (Tls(trusted, ours.certificate, ours.key, "else.example"), r"another name .*amqp_tls\.server_name"),
        (Tls(trusted, server_name=NAME), r"rejects our certificate: check amqp_tls\.certificate and amqp_tls\.key"),
        (Tls(trusted, theirs.certificate, theirs.key, NAME), r"rejects our certificate: check amqp_tls\.certificate"),
    ):
        with pytest.raises(BrokerUnreachable, match=said):
            broker(secured, tls).declare()


def test_settings_are_enough_and_doctor_says_which_file_is_wrong(
    secured: str, authority: Authority, ours: Issued
) -> None:
    right = {"ca_file": authority.ca_file, "certificate": ours.certificate, "key": ours.key, "server_name": NAME}
    for wrong, said in (
        ({}, "answers"),
        ({"ca_file": None}, "amqp_tls.ca_file"),
        ({"server_name": "else.example"}, "amqp_tls.server_name"),
        ({"certificate": None, "key": None}, "amqp_tls.certificate"),
    ):
        settings = Settings.model_validate({"amqp_url": secured, "amqp_tls": {**right, **wrong}})
        with closing(broker_of(settings, "cli")) as opened:
            first = next(of_broker(settings, opened))
            finding = examine(first, set())
        assert (first.name, finding.ok) == ("broker", not wrong)
        assert said in finding.detail


def test_the_port_for_tls_is_spoken_to_without(secured: str) -> None:
    with pytest.raises(BrokerUnreachable, match=r"closed the connection .*TLS \(amqps://"):
        broker(secured.replace("amqps://", "amqp://")).declare()


@pytest.mark.parametrize("aborted", [True, False])
def test_a_refusal_of_our_certificate_is_told_also_when_its_alert_is_lost(
    aborted: bool, authority: Authority, ours: Issued
) -> None:
    its = authority.issue(NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(its.certificate, its.key)

    def hang_up(listening: socket.socket) -> None:
        with context.wrap_socket(listening.accept()[0], server_side=True) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", aborted, 0))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Thread(target=hang_up, args=(listening,))
        server.start()
        url = f"amqps://sitecrew:secret@127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(BrokerUnreachable, match=r"rejects our certificate: check amqp_tls\.certificate"):
            broker(url, Tls(authority.ca_file, ours.certificate, ours.key, NAME)).declare()
        server.join()
