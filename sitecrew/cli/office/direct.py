"""The office of those who have the settings: it reads the services' databases, and sends commands over the broker."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from time import sleep
from typing import Any

from sqlalchemy import Connection

from foundation.broker.topology import PARKING, UNROUTED
from foundation.config.settings import Settings, Timer
from foundation.config.shown import flat
from foundation.errors import BrokerUnreachable, NotFound, Refused, StoreUnreachable
from foundation.handling import parking
from foundation.handling.parking import Parked
from foundation.service.site_types import SiteTypes
from schemas.installs import TimerRunNow
from schemas.services import ServerStatus, ServiceDescribed, SiteTypeConfigure, SiteTypeConfigured
from services.api.alerts.alerts import Alert
from services.api.finding import listing as activity
from services.api.finding.filters import ActivityFilter
from services.api.projection.activity import Entry
from services.installer import installs as installer
from services.installer import listing as installs
from services.installer.installs import Install
from services.installer.servers.overview import statuses
from services.installer.states import State
from services.mailer import listing as mails
from services.mailer.mails import Mail
from services.mailer.states import State as MailState
from services.order_intake import listing as orders
from services.order_intake.orders import Order as OrderRow
from services.order_intake.orders import counts as order_counts
from services.order_intake.states import OrderState
from sitecrew.cli.client import asking, configuring, sending, session
from sitecrew.cli.client.commands import Answer
from sitecrew.cli.client.describing import describe
from sitecrew.cli.client.orders import placing, stream
from sitecrew.cli.client.orders.files import Order
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.office.interface import ActivityQuestion, InstallQuestion, MailQuestion
from sitecrew.cli.office.needs import needs, unanswering
from sitecrew.cli.office.places import OnBroker, Place
from sitecrew.cli.office.records import Records
from sitecrew.cli.office.rows import install_of, mail_of, order_of
from sitecrew.cli.office.seen import (
    AlertSeen,
    Counts,
    InstallSeen,
    LineSeen,
    MailSeen,
    OrderSeen,
    Overview,
    ServerSeen,
    ServiceSeen,
    SiteTypeSeen,
    Story,
    TimerSeen,
)
from sitecrew.cli.output import terminal
from sitecrew.cli.run import COMMANDED, Service

_MANY = 100_000
_GLANCE = 0.5
"""Seconds between looks for new lines of the activity log."""


class Direct:
    """Works with the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    # Orders

    def orders(
        self, states: Sequence[OrderState], narrowed: Filters, limit: int, after: str
    ) -> tuple[Sequence[OrderSeen], Counts]:
        wanted = orders.Wanted(states=states, **narrowed.fields())
        with session.reading(self._settings, Service.ORDER_INTAKE) as connection:
            found = orders.listing(connection, wanted, limit, after)
            return [order_of(order) for order in found], _named(order_counts(connection))

    def story(self, order_id: str) -> Story:
        """Those databases that cannot be read are warned of; all of them are an error."""
        records = Records(self._settings)
        order = records.orders(lambda connection: orders.find(connection, order_id), None)
        found = records.installs(lambda connection: installs.of_order(connection, order_id), ())
        letters = records.letters(lambda connection: _letters(connection, found), {})
        records.require_one()
        records.tell()
        if order is None and not found and records.absent:
            raise records.absent[0]
        if order is None and not found:
            raise NotFound(f"there is no order {order_id}; see `sitecrew order list`, or `sitecrew parked list`")
        seen = {name: mail_of(letter) for name, letter in letters.items()}
        return Story(order_of(order) if order else None, [install_of(one) for one in found], seen, self._told(order_id))

    def _told(self, order_id: str) -> Sequence[LineSeen] | None:
        """Return what the api has heard of an order; None if no api has run here."""
        try:
            return self.activity(ActivityQuestion(_MANY, order_id))[::-1] or None
        except StoreUnreachable:
            return None

    # Installs

    def installs(self, question: InstallQuestion) -> tuple[Sequence[InstallSeen], Counts]:
        wanted = installs.Wanted(
            states=question.states,
            failed_letters=question.failed_letters,
            order_id=question.order_id,
            **question.narrowed.fields(),
        )
        with session.reading_installs(self._settings) as connection:
            found = installs.listing(
                connection, wanted, question.limit, after=question.after, newest_first=question.newest_first
            )
            return [install_of(install) for install in found], _named(installer.counts(connection))

    def installs_named(self, names: Sequence[str]) -> list[InstallSeen]:
        with session.reading_installs(self._settings) as connection:
            found = {name: installs.named(connection, name) for name in names}
        for name, those in found.items():
            if not those:
                unknown = f"there is no install or order {name}; see `sitecrew install list --state all`"
                raise NotFound(self._denial(name) or unknown)
            if len(those) > 1:
                raise Refused(f"{name} matches several: {', '.join(install.install_id for install in those)}; name one")
        return [install_of(those[0]) for those in found.values()]

    def _denial(self, name: str) -> str:
        """Return why an order has no install; empty if no order has this id."""
        records = Records(self._settings)
        order = records.orders(lambda connection: orders.find(connection, name), None)
        return order_of(order).without_install() if order else ""

    # Emails

    def mails(self, question: MailQuestion) -> Sequence[MailSeen]:
        with session.reading_letters(self._settings) as connection:
            found = mails.listing(
                connection,
                question.states,
                question.limit,
                order_id=question.order_id,
                recipient=question.recipient,
                since=question.since,
                causes=question.causes,
            )
        return [mail_of(mail) for mail in found]

    def failed_mails(self, narrowed: Filters) -> Sequence[MailSeen]:
        with session.reading_letters(self._settings) as connection:
            failed = mails.listing(connection, [MailState.FAILED], _MANY, since=narrowed.since, causes=narrowed.causes)
            return [mail_of(mail) for mail in mails.newest(connection, failed)]

    def mail(self, name: str) -> MailSeen:
        with session.reading_letters(self._settings) as connection:
            return mail_of(the_mail(connection, name))

    # What there is and runs

    def overview(self, timeout: float) -> Overview:
        records = Records(self._settings)
        failed, of_orders = records.orders(_failed_orders, ([], {}))
        found, of_installs = records.installs(_failed_installs, ([], {}))
        letters, of_mails = records.letters(_failed_letters, ([], {}))
        described: Mapping[str, ServiceDescribed] = {}
        parked: list[Parked] = []
        unreachable = None
        try:
            with session.ready_broker(self._settings) as broker:
                parked = [one for queue in (PARKING, UNROUTED) for one in parking.browse(broker, queue)]
                described = describe(broker, timeout)
        except BrokerUnreachable as error:
            records.require_one()
            unreachable = error
        records.tell()
        silent = [] if unreachable or not timeout else [name for name in COMMANDED if name not in described]
        told = described.get(Service.INSTALLER)
        return Overview(
            services={name: _service(described.get(name)) for name in COMMANDED},
            counts={"orders": of_orders, "installs": of_installs, "mails": of_mails},
            parked=None if unreachable else len(parked),
            needs=[*(unanswering(name) for name in silent), *needs(failed, found, letters, parked)],
            alerts=self._alerts(),
            next_batch_at=told.next_tick if told else None,
            paused_since=told.paused_since if told else None,
            unreachable=unreachable,
        )

    def _alerts(self) -> Sequence[AlertSeen] | None:
        """Return what the api has told of; None if none has run here."""
        try:
            with session.reading(self._settings, Service.API) as connection:
                found = Alert.of_late(connection, session.now())
        except StoreUnreachable:
            return None
        states = {True: "raised", False: "recovered"}
        return [
            AlertSeen(states[one.is_raised], one.about.headline, one.about.since, one.about.command) for one in found
        ]

    def timer(self, ticks: int, timeout: float) -> TimerSeen:
        running, own = self._installer(timeout), self._settings.timer
        every = (running.timer if running else None) or own.every
        zone = (running.timezone if running else None) or own.timezone
        return TimerSeen(
            every=every,
            timezone=zone,
            source=running.instance if running else "",
            whose="the settings here",
            ticks=list(islice(Timer(every=every, timezone=zone).ticks(session.now()), ticks)),
            next_tick=running.next_tick if running else None,
            paused_since=running.paused_since if running else None,
            budget=f"{own.budget_seconds:g}s per batch, {own.jitter_seconds:g}s jitter, from the settings here",
        )

    def _installer(self, timeout: float) -> ServiceDescribed | None:
        try:
            with session.ready_broker(self._settings) as broker:
                return describe(broker, timeout, [Service.INSTALLER]).get(Service.INSTALLER)
        except BrokerUnreachable as error:
            terminal.warn(str(error))
            return None

    def servers(self) -> Sequence[ServerSeen]:
        standing: Mapping[str, ServerStatus] = {}
        try:
            with session.reading(self._settings, Service.INSTALLER) as connection:
                standing = {status.name: status for status in statuses(connection, self._settings.servers)}
        except StoreUnreachable as error:
            terminal.note(f"these are the settings; how the servers stand is unknown: {error}")
        return [
            ServerSeen(
                name=name,
                is_default=name == self._settings.default_server,
                driver=server.driver,
                address=server.address,
                web_address=server.web_address,
                has_databases=server.databases is not None,
                status=standing.get(name),
                record=dict(flat(server, "")),
            )
            for name, server in self._settings.servers.items()
        ]

    def site_types(self) -> Sequence[SiteTypeSeen]:
        known = SiteTypes(Service.ORDER_INTAKE, self._settings)
        try:
            with session.reading(self._settings, Service.ORDER_INTAKE) as connection:
                known.read(connection)
        except StoreUnreachable as error:
            terminal.note(f"these are the settings; what staff have switched since is unknown: {error}")
        return [
            SiteTypeSeen(
                name=name,
                sold=site.sold,
                installer=site.installer or name,
                settle_seconds=site.settle_seconds,
                address=site.address,
                stage=known.told(name).stage,
                welcome_email=known.told(name).welcome_email,
                overrides=known.told(name).overrides,
                record=site.model_dump(mode="json"),
            )
            for name, site in self._settings.sites.items()
        ]

    def configure(self, wanted: SiteTypeConfigure, timeout: float) -> Sequence[SiteTypeConfigured]:
        with session.ready_broker(self._settings) as broker:
            answers = configuring.configure(broker, wanted, timeout)
        return [answers[name] for name in COMMANDED if name in answers]

    # What happened

    def activity(self, question: ActivityQuestion) -> Sequence[LineSeen]:
        """The api's own database has it."""
        wanted, after = _wanted(question), ""
        found: list[Entry] = []
        with session.reading(self._settings, Service.API) as connection:
            while len(found) < question.limit:
                page = activity.activity(connection, wanted, after, question.limit - len(found))
                found += page.rows
                if not page.next:
                    break
                after = page.next
        return [_line(entry) for entry in found]

    def follow(self, question: ActivityQuestion) -> Iterator[LineSeen]:
        with session.reading(self._settings, Service.API) as connection:
            newest = activity.activity(connection, ActivityFilter(), "", 1).rows
        after = newest[0].id if newest else 0
        while True:
            with session.reading(self._settings, Service.API) as connection:
                found = activity.news(connection, after, None, 500)
            for entry in found:
                after = entry.id
                if (line := _line(entry)).fits(question):
                    yield line
            sleep(_GLANCE)

    def watch(self, *, json: bool) -> None:
        with session.ready_broker(self._settings) as broker:
            stream.show(broker, json=json)

    @contextmanager
    def parked(self, queue: str) -> Iterator[Place]:
        with session.broker(self._settings) as broker:
            with terminal.working("reaching the broker"):
                missing = broker.is_missing(queue)
            if missing:
                raise NotFound(f"the broker has no queue {queue}; create it with `sitecrew topology declare`")
            yield OnBroker(broker, queue)

    # What is asked for

    def ask(self, wanted: Sequence[Any], timeout: float | None) -> list[Answer]:
        with session.ready_broker(self._settings) as broker:
            return asking.ask(broker, wanted, timeout)

    def run_now(self) -> str:
        event = sending.event(TimerRunNow(), None)
        with session.ready_broker(self._settings) as broker:
            sending.require_confirmed(sending.publish(broker, [sending.message(event)]))
        return event.id

    def warn_of_unknown(self, orders: Sequence[Order]) -> None:
        placing.warn_of_unknown(self._settings, orders)

    def send(self, orders: Sequence[Order], *, wait: bool, timeout: float, json: bool) -> None:
        placing.send(self._settings, orders, wait=wait, timeout=timeout, json=json)


def the_mail(connection: Connection, name: str) -> Mail:
    """Return the email of this install, or of this order's latest install. Raises NotFound."""
    mail = mails.latest(connection, name)
    if mail is None:
        raise NotFound(f"there is no email for {name}; `sitecrew install show {name}` shows what it waits for")
    return mail


def _letters(connection: Connection, found: Sequence[Install]) -> dict[str, Mail]:
    letters = {install.install_id: mails.latest(connection, install.install_id) for install in found}
    return {name: letter for name, letter in letters.items() if letter}


def _failed_orders(connection: Connection) -> tuple[Sequence[OrderRow], Counts]:
    wanted = orders.Wanted(states=[OrderState.FAILED])
    return orders.listing(connection, wanted, _MANY), _named(order_counts(connection))


def _failed_installs(connection: Connection) -> tuple[Sequence[Install], Counts]:
    wanted = installs.Wanted(states=[State.FAILED])
    return installs.listing(connection, wanted, _MANY), _named(installer.counts(connection))


def _failed_letters(connection: Connection) -> tuple[Sequence[Mail], Counts]:
    failed = mails.listing(connection, [MailState.FAILED], _MANY)
    return mails.newest(connection, failed), _named(mails.counts(connection))


def _named(counts: Mapping[Any, int]) -> Counts:
    return {str(state): number for state, number in counts.items()}


def _service(told: ServiceDescribed | None) -> ServiceSeen | None:
    if told is None:
        return None
    return ServiceSeen(told.instance, told.version, told.started_at, told.model_dump(mode="json"))


def _wanted(question: ActivityQuestion) -> ActivityFilter:
    return ActivityFilter(order_id=question.order_id, actor=question.actor, kinds=question.kinds, since=question.since)


def _line(entry: Entry) -> LineSeen:
    return LineSeen(**{name: value for name, value in vars(entry).items() if name != "key"})
