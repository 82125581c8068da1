"""Orders by hand: what is checked before anything is sent, and what is sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.topology import EVENTS, ORDERS
from foundation.clock import utc_now
from foundation.config.queues import INTAKE_COMMANDS, INTAKE_ORDERS
from foundation.config.queues import sitecrew as topology
from foundation.testing.memory import MemoryBroker
from schemas.accounts import AccountCreated, AccountFailed
from schemas.envelope import Event
from schemas.installs import InstallCancelled, InstallCompleted, InstallFailed, InstallStaged, InstallStarted, SiteSpec
from schemas.mails import MailFailed, MailSent
from schemas.orders import OrderPlaced, OrderReinstallRequested, OrderRejected
from schemas.values import AccountRef, Cause, CauseKind, Customer, Model
from sitecrew.cli.client import sending, session
from sitecrew.cli.client.orders.following import exit_code
from sitecrew.cli.client.orders.progress import OrderProgress
from tests.support.cli import Ran, settings_file, sitecrew
from tests.support.house import PATIENCE

ORDER: dict[str, Any] = {
    "order_id": "1042",
    "site_type": "wordpress",
    "domain": "Shop.Example",
    "customer": {"name": "Ann Smith", "email": "ann@example.org"},
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "their-id",
    "source": "/shop",
    "type": "sitecrew.order.placed.v1",
    "data": ORDER,
    "theirextension": "kept",
}


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryBroker]:
    """The broker that commands find, on which nothing is declared yet."""
    made = MemoryBroker(topology(Ladder()), utc_now)
    monkeypatch.setattr(session, "broker_of", lambda _settings, _name: made)
    yield made
    made.close()


@pytest.fixture
def config(tmp_path: Path) -> str:
    return settings_file(tmp_path)


def sent(broker: MemoryBroker) -> list[Event[Any]]:
    return [codec.decode(delivery.body) for delivery in broker.browse(INTAKE_ORDERS, 1000)]


def given(broker: MemoryBroker) -> list[Event[Any]]:
    return [codec.decode(delivery.body) for delivery in broker.browse(INTAKE_COMMANDS, 1000)]


def place(config: str, content: object, *options: str) -> Ran:
    given = content if isinstance(content, str) else json.dumps(content)
    return sitecrew("--config", config, "order", "place", "-", *options, given=given)


def test_bare_order_data_is_sent_as_an_event_of_ours(broker: MemoryBroker, config: str) -> None:
    ran = place(config, ORDER)
    assert (ran.exit_code, ran.stdout) == (0, "1042\n")
    (event,) = sent(broker)
    assert (event.source, event.subject, event.data.domain) == ("/sitecrew/cli", "1042", "shop.example")
    assert event.time is not None
    assert event.traceparent is not None
    (delivery,) = broker.browse(INTAKE_ORDERS, 10)
    assert (delivery.message_id, delivery.type) == (event.id, "sitecrew.order.placed.v1")
    assert delivery.content_type == "application/cloudevents+json"


def test_an_envelope_is_sent_as_it_is(broker: MemoryBroker, config: str) -> None:
    assert place(config, ENVELOPE).stdout == "1042\n"
    (delivery,) = broker.browse(INTAKE_ORDERS, 10)
    assert json.loads(delivery.body) == ENVELOPE


@pytest.mark.parametrize(
    "content",
    [
        json.dumps([ORDER, {**ORDER, "order_id": "1043"}, ENVELOPE]),
        "\n".join(json.dumps(one) for one in (ORDER, {**ORDER, "order_id": "1043"}, ENVELOPE)),
        "\n\n".join(json.dumps(one) for one in (ORDER, {**ORDER, "order_id": "1043"}, ENVELOPE)) + "\r\n",
    ],
)
def test_a_list_and_json_lines_hold_several_orders(broker: MemoryBroker, config: str, content: str) -> None:
    assert place(config, content).lines == ["1042", "1043", "1042"]
    assert [event.data.order_id for event in sent(broker)] == ["1042", "1043", "1042"]


def test_a_file_is_read_like_stdin(broker: MemoryBroker, config: str, tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    path.write_text(json.dumps(ORDER, indent=2), "utf-8-sig")
    assert sitecrew("--config", config, "order", "place", str(path)).stdout == "1042\n"
    assert len(sent(broker)) == 1
    ran = sitecrew("--config", config, "order", "place", str(tmp_path / "none.json"))
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "none.json: No such file" in ran.stderr


def test_options_make_an_order(broker: MemoryBroker, config: str) -> None:
    given = {"order-id": "7", "domain": "a.example", "site-type": "static", "name": "Ann", "email": "ann@example.org"}
    options = [part for name, value in {**given, "server": "one"}.items() for part in (f"--{name}", value)]
    urgent = ("--priority", "high")
    assert sitecrew("--config", config, "order", "place", *options, "--blog-name", "A title", *urgent).stdout == "7\n"
    (event,) = sent(broker)
    assert event.data == OrderPlaced(
        order_id="7",
        site_type="static",
        domain="a.example",
        customer=Customer(name="Ann", email="ann@example.org"),
        server="one",
        blog_name="A title",
        priority="high",
    )


def test_every_faulty_field_of_every_order_is_named_and_nothing_is_sent(broker: MemoryBroker, config: str) -> None:
    faulty = {**ORDER, "order_id": "a b", "customer": {"name": "Ann", "email": "nobody"}}
    ran = place(config, [ORDER, faulty, 5, {**ENVELOPE, "data": {}}])
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "nothing was sent" in ran.stderr
    for fault in ("order 2: order_id: ", "order 2: customer.email: ", "order 3: is not", "order 4: data.customer: "):
        assert f"stdin, {fault}" in ran.stderr
    assert "order 1:" not in ran.stderr
    assert broker.depth(INTAKE_ORDERS) is None


def test_faulty_options_are_called_by_their_names(config: str) -> None:
    ran = sitecrew("--config", config, "order", "place", "--order-id", "1", "--domain", "shop", "--email", "nobody")
    assert ran.exit_code == 2
    for option in ("--domain: is not a host name", "--email: ", "--name: must be given", "--site-type: "):
        assert option in ran.stderr


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("  \n ", "is empty"),
        ("[]", "the list is empty"),
        ('{"order_id": ', "is not valid JSON"),
        (json.dumps(ORDER) + '\n{"order_id"', "is not valid JSON: line 2"),
        ({**ENVELOPE, "type": "sitecrew.order.cancelled.v1", "data": {"order_id": "1"}}, "this command only sends"),
        ({**ENVELOPE, "type": "sitecrew.order.placed.v9"}, "send sitecrew.order.placed.v1"),
        ({**ENVELOPE, "id": ""}, "id: "),
        ({**ENVELOPE, "padding": "x" * 300_000}, "the limit is 262144"),
    ],
)
def test_what_is_no_order_is_refused_with_the_reason(config: str, content: object, complaint: str) -> None:
    ran = place(config, content)
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert complaint in ran.stderr


def test_a_file_and_options_together_or_neither_are_wrong_usage(config: str) -> None:
    assert place(config, ORDER, "--order-id", "1").exit_code == 2
    assert sitecrew("--config", config, "order", "place").exit_code == 2


def test_placed_orders_as_json(broker: MemoryBroker, config: str) -> None:
    (record,) = place(config, ORDER, "--json").json
    assert record["order_id"] == "1042"
    assert record["state"] == "sent"
    assert [event.id for event in sent(broker)] == [record["event_id"]]


def test_cancel_and_reinstall_send_staffs_commands_with_who_gave_them(broker: MemoryBroker, config: str) -> None:
    for line in (
        ("cancel", "1042", "--reason", "not paid"),
        ("reinstall", "1042", "--blog-name", "New", "--yes"),
        ("amend", "1042", "--email", "new@example.org", "--as", "maria"),
    ):
        ran = sitecrew("--config", config, "order", *line, "--no-wait")
        assert (ran.exit_code, ran.stdout) == (0, "1042  published  no answer yet\n")
    cancel, reinstall, amend = given(broker)
    assert (cancel.type, cancel.data.reason) == ("sitecrew.order.cancel.v1", "not paid")
    assert (reinstall.type, reinstall.data.blog_name) == ("sitecrew.order.reinstall.v1", "New")
    assert (amend.data.email, amend.authtype, amend.authid) == ("new@example.org", "user", "maria")
    assert sitecrew("--config", config, "order", "cancel", "no order").exit_code == 2


def test_an_order_that_no_queue_takes_is_refused(
    broker: MemoryBroker, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.declare()
    lost = Message(ORDERS, "x", b"", mandatory=True)
    monkeypatch.setattr(sending, "message", lambda *_: Message("delay.0", "nobody", lost.body))
    ran = place(config, ORDER)
    assert (ran.exit_code, ran.stdout) == (6, "")
    assert "sitecrew topology check" in ran.stderr


def test_waiting_ends_with_an_error_if_nothing_is_heard(broker: MemoryBroker, config: str) -> None:
    ran = place(config, ORDER, "--wait", "--timeout", "0")
    assert (ran.exit_code, ran.stdout) == (1, "1042\n")
    assert "not finished after 0 seconds: 1042" in ran.stderr
    assert broker.depth(INTAKE_ORDERS) == 1


def test_an_event_from_before_a_rule_was_tightened_is_not_overlooked(broker: MemoryBroker) -> None:
    broker.declare()
    watching = broker.watch(EVENTS, "#")
    body = codec.encode(says(staged())).replace(b"ann@example.org", b"root@localhost")
    broker.publisher().publish([Message(EVENTS, "install.staged.v1", body, "e", "sitecrew.install.staged.v1")])
    assert next(sending.incoming(watching, monotonic() + PATIENCE)).data.customer.email == "root@localhost"


# The progress of an order, from its events


CAUSE = Cause(code="db_down", kind=CauseKind.TRANSIENT, detail="no answer", remedy="start it")
REF = {"install_id": "1042-g1", "order_id": "1042", "generation": 1}
ACCOUNT = AccountRef(server="local", username="shop", domain="shop.example", address="203.0.113.7")
CUSTOMER = Customer(name="Ann", email="ann@example.org")
SITE = SiteSpec(site_type="wordpress", url="http://shop.example/", title="Shop")


def says(data: Model, trace: str | None = None) -> Event[Any]:
    return codec.envelope(data, id="e", source="/test", subject="1042", time=utc_now(), traceparent=trace)


def staged(**changes: Any) -> InstallStaged:
    fields: dict[str, Any] = {**REF, "due_at": utc_now(), "site": SITE, "account": ACCOUNT, "customer": CUSTOMER}
    return InstallStaged(**{**fields, **changes})


def completed(**changes: Any) -> InstallCompleted:
    fields: dict[str, Any] = {**REF, "attempt": 1, "site": SITE, "application": "WordPress", "version": "6.1"}
    return InstallCompleted(**{**fields, "account": ACCOUNT, "customer": CUSTOMER, "seconds": 1.5, **changes})


def progress_of(data: Model, *events: Event[Any], unmailed: tuple[str, ...] = ()) -> OrderProgress:
    progress = OrderProgress.of(sending.event(data, "1042"), unmailed)
    for event in events:
        progress = progress.after(event)
    return progress


PLACED = OrderPlaced.model_validate(ORDER)


def test_progress_goes_from_account_to_mail() -> None:
    progress = progress_of(PLACED)
    seen = []
    for data in (
        AccountCreated(order_id="1042", site_type="wordpress", account=ACCOUNT),
        staged(),
        InstallStarted(**REF, attempt=1, worker="w"),
        completed(),
        MailSent(**REF, recipient="ann@example.org", message_id="<m>"),
    ):
        progress = progress.after(says(data))
        seen.append((progress.state, progress.ended))
    open_states = ["account created", "staged", "installing", "installed"]
    assert seen == [*((state, False) for state in open_states), ("mailed", True)]
    assert exit_code([progress]) == 0
    assert progress.record()["url"] == "http://shop.example/"
    assert progress.record()["install_id"] == "1042-g1"


@pytest.mark.parametrize(
    ("data", "state", "code"),
    [
        (AccountFailed(order_id="1042", cause=CAUSE), "account failed", 1),
        (InstallFailed(**REF, attempt=6, cause=CAUSE), "failed", 1),
        (MailFailed(**REF, recipient="ann@example.org", cause=CAUSE), "mail failed", 1),
        (InstallCancelled(**REF, reason="by staff"), "cancelled", 6),
    ],
)
def test_an_order_that_ends_badly_says_why(data: Model, state: str, code: int) -> None:
    progress = progress_of(PLACED, says(data))
    assert (progress.state, progress.ended, exit_code([progress])) == (state, True, code)
    assert progress.message == ("by staff" if state == "cancelled" else "db_down: no answer. What to do: start it")


def test_without_a_welcome_email_the_order_ends_with_the_install() -> None:
    progress = progress_of(PLACED, says(completed()), unmailed=("wordpress",))
    assert (progress.state, progress.ended, exit_code([progress])) == ("installed", True, 0)
    assert not progress_of(PLACED, says(completed())).ended


def test_only_the_rejection_of_this_very_event_counts() -> None:
    progress = progress_of(PLACED)
    rejected = OrderRejected(order_id="1042", event_id="another", event_source="/shop", cause=CAUSE)
    assert progress.after(says(rejected)) is progress
    after = progress.after(says(rejected.model_copy(update={"event_id": progress.event_id})))
    assert (after.state, exit_code([after])) == ("rejected", 6)


def test_a_reinstall_does_not_listen_to_its_forerunners() -> None:
    progress = progress_of(OrderReinstallRequested(order_id="1042"))
    second = {"install_id": "1042-g2", "generation": 2}
    for data in (staged(), completed(), InstallCancelled(**REF, reason="superseded by 1042-g2")):
        assert progress.after(says(data)) is progress
    progress = progress.after(says(staged(**second), f"00-{progress.trace}-00f067aa0ba902b7-01"))
    assert progress.install_id == "1042-g2"
    assert progress.after(says(MailSent(**REF, recipient="ann@example.org", message_id="<m>"))) is progress
    progress = progress.after(says(MailSent(**{**REF, **second}, recipient="ann@example.org", message_id="<m>")))
    assert (progress.state, progress.ended) == ("mailed", True)


def test_a_failure_outweighs_a_refusal_and_whoever_is_still_open_has_failed() -> None:
    refused, done = (
        progress_of(PLACED, says(InstallCancelled(**REF, reason="x"))),
        progress_of(PLACED, says(completed())),
    )
    assert exit_code([refused]) == 6
    assert exit_code([refused, done]) == 1
    assert exit_code([]) == 0
