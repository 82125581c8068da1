"""What a broker's house may do to our queues without touching them, and that the doctor sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.broker import Confirmation, Message
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING
from foundation.config import queues as table
from foundation.config.settings import load
from sitecrew.cli.checks.broker import of_broker
from sitecrew.cli.checks.findings import Finding, examine
from tests.support.brokers import MANAGEMENT, Brokers, Node, add_vhosts, eventually, until
from tests.support.cli import settings_file, sitecrew

pytestmark = pytest.mark.timeout(150)

SECONDS = 60.0


@pytest.fixture(scope="module")
def vhosts(managed_node: Node) -> Iterator[str]:
    return iter(add_vhosts(managed_node, ["policies-1", "policies-2", "policies-3"]))


@pytest.fixture
def broker(brokers: Brokers) -> RabbitBroker:
    broker = brokers.broker(table.sitecrew(Ladder()))
    broker.declare()
    return broker


def url_of(broker: RabbitBroker) -> str:
    node = broker._nodes[0]
    return f"amqp://{node.credentials.username}:{node.credentials.password}@{node.host}:{node.port}/{node.virtual_host}"


def test_the_doctor_sees_policies_alarms_and_sizes(broker: RabbitBroker, managed_node: Node, tmp_path: Path) -> None:
    api = f"http://127.0.0.1:{managed_node.plugin_ports[MANAGEMENT]}"
    config = settings_file(tmp_path, amqp_url=url_of(broker), amqp_management_url=api)
    vhost = broker._nodes[0].virtual_host

    def found(name: str) -> Finding:
        ill: set[str] = set()  # a check is skipped after a failed one that it needs
        findings = (examine(check, ill) for check in of_broker(load(Path(config)), broker))
        return next(finding for finding in findings if finding.name == name)

    well = [found(name) for name in ("broker policies", "broker alarms")]
    assert [finding.result for finding in well] == ["ok", "ok"], well
    size = found("message size")
    assert size.result == "note", "RabbitMQ's own limit is 16 MiB or more"
    assert "max_message_size = 1048576" in size.remedy

    managed_node.ctl("set_policy", "-p", vhost, "--apply-to", "queues", "house", ".*", '{"message-ttl":86400000}')
    try:
        harm = "the policy 'house' deletes messages after 86400000 ms (message-ttl): parking"
        until(lambda: harm in found("broker policies").detail, SECONDS)  # it reaches one queue after another
        assert found("broker policies").result == "failed"
        said = sitecrew("--config", config, "topology", "check")
        assert said.exit_code == 1
        assert harm in said.stdout
    finally:
        managed_node.ctl("clear_policy", "-p", vhost, "house")

    managed_node.ctl("set_disk_free_limit", "9000000000000")
    try:
        until(lambda: found("broker alarms").result == "failed", SECONDS)
        assert "the broker accepts no messages: low on disk" in found("broker alarms").detail
        assert found("message size").result == "skipped"
    finally:
        managed_node.ctl("set_disk_free_limit", "50000000")


def test_a_policy_that_shortens_parking_makes_it_refuse_and_forgets_nothing(
    broker: RabbitBroker, managed_node: Node
) -> None:
    """By default a queue that is full drops its oldest message, in silence."""
    vhost, policy = broker._nodes[0].virtual_host, '{"max-length":3}'
    managed_node.ctl(
        "set_policy", "-p", broker._nodes[0].virtual_host, "--apply-to", "queues", "house", "^parking$", policy
    )
    try:
        publisher, outcomes = broker.publisher(), list[Confirmation]()
        while Confirmation.REFUSED not in outcomes:
            assert len(outcomes) < 2000
            outcomes += publisher.publish([Message(PARKING, "", b"parked", message_id=f"m{len(outcomes)}")], SECONDS)
        kept = outcomes.count(Confirmation.CONFIRMED)
        eventually(lambda: broker.depth(PARKING), kept, SECONDS)
        assert [delivery.message_id for delivery in broker.browse(PARKING, 1)] == ["m0"]
    finally:
        managed_node.ctl("clear_policy", "-p", vhost, "house")


def test_an_exchange_of_another_application_is_told_with_the_way_out(broker: RabbitBroker, tmp_path: Path) -> None:
    with broker._channel() as channel:
        channel.exchange_delete("orders")
        channel.exchange_declare("orders", "direct", durable=True)
    ran = sitecrew("--config", settings_file(tmp_path, amqp_url=url_of(broker)), "topology", "declare")
    assert ran.exit_code == 2
    assert "give Sitecrew its own virtual host: rabbitmqctl add_vhost sitecrew" in " ".join(ran.stderr.split())
