"""The catalogue of events: one row for each, and each travels as it was said."""

import json
from datetime import UTC, datetime

import pytest

from foundation.broker import codec
from foundation.broker.delay import Ladder
from foundation.config.queues import sitecrew
from schemas import catalogue
from schemas.accounts import AccountCreated, AccountFailed, AccountRetrying
from schemas.alerts import AlertRaised, AlertRecovered, MailAlerts
from schemas.catalogue import CATALOGUE, EventType
from schemas.installs import (
    ApplicationLogin,
    CommandRefused,
    InstallCancel,
    InstallCancelled,
    InstallCompleted,
    InstallFailed,
    InstallProgress,
    InstallResolve,
    InstallResolved,
    InstallRetry,
    InstallStaged,
    InstallStarted,
    InstallWaiting,
    SiteSpec,
    TimerPause,
    TimerPaused,
    TimerResume,
    TimerResumed,
    TimerRunNow,
)
from schemas.mails import (
    MailFailed,
    MailPreview,
    MailResend,
    MailSent,
    MailSuppressed,
    MailWaiting,
    PreviewRendered,
)
from schemas.orders import (
    FieldError,
    OrderAccepted,
    OrderAmend,
    OrderAmended,
    OrderCancel,
    OrderCancelled,
    OrderKnown,
    OrderPlaced,
    OrderReinstall,
    OrderReinstallRequested,
    OrderRejected,
    OrderRetry,
    OrderWithdrawn,
)
from schemas.servers import ServerClosed, ServerOpened, ServerPause, ServerResume
from schemas.services import (
    MessagePurged,
    MessageRequeued,
    ServiceDescribe,
    ServiceDescribed,
    ServiceHeartbeat,
    ServiceReplay,
    ServiceReplayed,
    SiteTypeConfigure,
    SiteTypeConfigured,
)
from schemas.values import AccountRef, Cause, CauseKind, ControlPanelLogin, Customer, Model, install_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
REF = {"install_id": install_id("order-1", 2), "order_id": "order-1", "generation": 2}
ANN = Customer(name="Ann Größe", email="ann@example.org")
CAUSE = Cause(code="db_down", kind=CauseKind.TRANSIENT, detail="no answer", remedy="look at the database")
PANEL = ControlPanelLogin(url="https://panel.example/", username="ann", sealed_password="c2VhbGVk")
ACCOUNT = AccountRef(server="one", username="ann01", domain="shop.example", address="192.0.2.7", control_panel=PANEL)
SITE = SiteSpec(site_type="wordpress", url="http://shop.example/", title="Ann's shop")
LOGIN = ApplicationLogin(login_url="http://shop.example/wp-login.php", username="ann", sealed_password="c2VhbGVk")

ALERT = {"kind": "install", "subject": "db_down", "headline": "4 installs failed: db_down", "since": NOON}

SAID: tuple[Model, ...] = (
    OrderPlaced(order_id="order-1", site_type="wordpress", domain="shop.example", customer=ANN, blog_name="Shop"),
    OrderReinstallRequested(order_id="order-1"),
    OrderCancelled(order_id="order-1", reason="changed their mind"),
    OrderAccepted(
        order_id="order-1",
        site_type="wordpress",
        domain="shop.example",
        customer=ANN,
        server="one",
        username="ann01",
        title="Ann's shop",
        placed_at=NOON,
        placed_by="/shop",
        due_at=NOON,
    ),
    OrderRejected(
        order_id="order-1",
        event_id="1",
        event_source="/shop",
        cause=CAUSE,
        errors=(FieldError(field="data.domain", message="is not a host name"),),
    ),
    OrderKnown(order_id="order-1", event_id="2", state="created", placed_at=NOON),
    OrderAmended(order_id="order-1", customer=ANN),
    OrderWithdrawn(order_id="order-1", reason="changed their mind"),
    OrderCancel(order_id="order-1"),
    OrderReinstall(order_id="order-1", blog_name="Shop"),
    OrderAmend(order_id="order-1", email="ann@example.net"),
    OrderRetry(order_id="order-1"),
    AccountCreated(order_id="order-1", site_type="wordpress", account=ACCOUNT),
    AccountRetrying(order_id="order-1", attempt=1, due_at=NOON, cause=CAUSE),
    AccountFailed(order_id="order-1", cause=CAUSE),
    InstallStaged(**REF, attempt=3, due_at=NOON, site=SITE, account=ACCOUNT, customer=ANN, cause=CAUSE),
    InstallWaiting(**REF, attempt=1, waiting_for="capacity", since=NOON, cause=CAUSE),
    InstallStarted(**REF, attempt=1, worker="host:1"),
    InstallProgress(**REF, attempt=1, step="database", seconds=0.25),
    InstallCompleted(
        **REF,
        attempt=1,
        site=SITE,
        application="WordPress",
        version="6.1.9",
        login=LOGIN,
        account=ACCOUNT,
        customer=ANN,
        seconds=0.5,
    ),
    InstallFailed(**REF, attempt=1, cause=CAUSE),
    InstallCancelled(**REF, reason="cancelled by staff"),
    InstallResolved(**REF, note="installed by hand"),
    InstallCancel(install_id=REF["install_id"]),
    InstallRetry(install_id=REF["install_id"]),
    InstallResolve(install_id=REF["install_id"], note="installed by hand"),
    TimerRunNow(),
    TimerPause(reason="the database moves"),
    TimerResume(),
    TimerPaused(since=NOON),
    TimerResumed(),
    ServerPause(server="local"),
    ServerResume(server="local"),
    ServerOpened(server="local", state="open", since=NOON, cause=CAUSE),
    ServerClosed(server="local"),
    MailResend(install_id=REF["install_id"], recipient="ann@example.org"),
    MailPreview(install_id=REF["install_id"]),
    MailAlerts(raised=(AlertRaised(**ALERT, number=4),), recovered=(AlertRecovered(**ALERT),), more=1),
    AlertRaised(**ALERT, number=4, detail="no answer", remedy="start it", command="sitecrew status"),
    AlertRecovered(**ALERT),
    CommandRefused(command_id="1", cause=CAUSE),
    MailWaiting(**REF, recipient="ann@example.org", due_at=NOON),
    MailSuppressed(**REF, recipient="ann@example.org", reason="replaced by a newer install"),
    MailSent(**REF, recipient="ann@example.org", message_id="<1@example.org>"),
    MailFailed(**REF, recipient="ann@example.org", cause=CAUSE),
    PreviewRendered(**REF, recipient="ann@example.org", subject="Your site", text="Hello\n", html="<p>Hello</p>"),
    ServiceDescribe(),
    ServiceDescribed(service="mailer", instance="host/1", version="0.1.0", started_at=NOON),
    ServiceHeartbeat(
        service="mailer", instance="host/1", version="0.1.0", started_at=NOON, queues=("mailer.installs",)
    ),
    ServiceReplay(after="order-1"),
    ServiceReplayed(service="mailer", command_id="1", rows=3),
    SiteTypeConfigure(site_type="wordpress", stage="off"),
    SiteTypeConfigured(service="mailer", site_type="wordpress", stage=False, welcome_email=True, overrides=("stage",)),
    MessageRequeued(message_id="1", queue="intake.orders", order_id="order-1"),
    MessagePurged(message_id="1"),
)


def test_the_examples_here_are_of_every_event() -> None:
    assert [type(data) for data in SAID] == [entry.model for entry in CATALOGUE]


@pytest.mark.parametrize("data", SAID, ids=lambda data: type(data).__name__)
def test_every_event_arrives_as_it_was_said(data: Model) -> None:
    said = codec.envelope(data, id="018f-1", source="/sitecrew/tests", subject="order-1", time=NOON)
    heard = codec.decode(codec.encode(said))
    assert heard == said
    assert type(heard.data) is type(data)
    assert heard.type == catalogue.by_model(type(data)).name


@pytest.mark.parametrize("data", SAID, ids=lambda data: type(data).__name__)
def test_a_newer_minor_version_may_say_more(data: Model) -> None:
    said = codec.envelope(data, id="018f-1", source="/sitecrew/tests", subject="order-1")
    document = json.loads(codec.encode(said))
    newer = {**document, "newattribute": "x", "data": {**document["data"], "new_field": {"deep": [1]}}}
    assert codec.decode(json.dumps(newer).encode()) == said


def test_names_and_models_are_each_listed_once() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len({entry.model for entry in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_every_event_has_an_exchange_and_a_routing_key(entry: EventType) -> None:
    topology = sitecrew(Ladder())
    assert topology.has_exchange(entry.exchange)
    assert entry.name == f"sitecrew.{entry.routing_key}"
    assert len(entry.routing_key.split(".")) == 3
    assert catalogue.by_type(entry.name) is catalogue.by_model(entry.model) is entry


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.exchange != "events"], ids=lambda entry: entry.name)
def test_what_asks_for_something_reaches_somebody(entry: EventType) -> None:
    assert sitecrew(Ladder()).expects(entry.exchange, entry.routing_key)


def test_other_versions_of_an_event_are_known_by_its_name() -> None:
    assert catalogue.versions_of("sitecrew.order.placed.v7") == ["sitecrew.order.placed.v1"]
    assert catalogue.versions_of("sitecrew.order.placed") == []
    assert catalogue.versions_of("sitecrew.order.eaten.v1") == []
    assert catalogue.versions_of(".v1") == []
    assert catalogue.versions_of("") == []


def test_what_is_no_event_has_no_row() -> None:
    assert catalogue.by_type("sitecrew.order.placed") is None
    with pytest.raises(KeyError):
        catalogue.by_model(Customer)
