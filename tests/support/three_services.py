"""The three services on records in memory, without a database, a broker or threads: what is on the way is a list, of
which a test lets happen next whatever it wants."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

from foundation.broker import codec
from foundation.broker.sender import OURSELVES, Sender
from foundation.config.keys import Sealer, generate_keys
from foundation.config.queues import (
    INSTALLER_COMMANDS,
    INSTALLER_DUE,
    INSTALLER_MAILS,
    INSTALLER_NOW,
    INSTALLER_STAGED,
    INTAKE_COMMANDS,
    INTAKE_INSTALLS,
    INTAKE_ORDERS,
    MAILER_COMMANDS,
    MAILER_INSTALLS,
)
from foundation.config.settings import Settings
from foundation.errors import Failed
from foundation.handling.outcomes import Done, Effect, GivenUp, Handlers, Outcome, Rejected, Retry
from foundation.handling.unit_of_work import DELAYED, UnitOfWork, new_id
from foundation.store.frozen import replace
from foundation.store.records import Loaded, Records
from schemas import catalogue
from schemas.envelope import Event
from schemas.mails import MailResend
from schemas.values import Model
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.installs import INSTALLS, Install
from services.installer.installs import MAILS as MAILS_OF_INSTALLS
from services.installer.recovery import Recovery
from services.installer.rows import InstallRows
from services.installer.sites import InstalledSite
from services.mailer import recovery
from services.mailer.customers import CUSTOMERS
from services.mailer.delivery import Welcoming
from services.mailer.mails import MAILS, Mail
from services.mailer.recipients import RECIPIENTS
from services.mailer.resend import resend
from services.mailer.rows import MailRows
from services.order_intake.intake import Intake
from services.order_intake.orders import ORDERS, Order
from services.order_intake.rows import OrderRows
from tests.support.house import START, FakeInstaller, FakeServer

PUBLIC = generate_keys()[0]
SITE = InstalledSite("WordPress", "6.1", "http://x.example/"), 1.0
_BY_TIME = (INSTALLER_DUE, INSTALLER_NOW)
"""Queues into which nothing comes but through the delay ladder."""

Decide = Callable[[UnitOfWork[Any]], Outcome | Effect[Any] | None]


@dataclass(frozen=True)
class Message:
    """On its way into a queue, or in it."""

    queue: str
    event: Event[Any]
    sender: Sender
    due_at: datetime


@dataclass(frozen=True)
class Run:
    """A worker at its effect: only its own memory knows of it."""

    message: Message
    effect: Effect[Any]


class ThreeServices:
    """What they have committed, what is on the way between them, and who is at work."""

    def __init__(self, committed: Callable[[], object], *, stage: bool) -> None:
        """`committed` is called after each transaction."""
        settings = Settings(keys={"public": PUBLIC}, sites={"wordpress": {"stage": stage}})
        self.now = START
        self._after = committed
        self.messages: list[Message] = []
        self.runs: list[Run] = []
        self.letters: list[str] = []
        """What the mail server has got: each letter by its install and copy."""
        self.server = FakeServer()
        self._committed: dict[Records[Any], dict[str, Any]] = {
            records: {} for records in (ORDERS, INSTALLS, MAILS, CUSTOMERS, RECIPIENTS)
        }
        self._inbox: set[tuple[str, str]] = set()
        sealer, servers = Sealer(PUBLIC), {"local": self.server}
        intake = Intake(settings, servers, sealer)
        installing = Installing(settings, servers, {"wordpress": FakeInstaller()}, sealer)
        welcoming = Welcoming(settings, MagicMock(), MagicMock(), MagicMock(), lambda: self.now)
        moved_on = Recovery(installing)
        self._handlers: dict[str, Handlers] = {
            INTAKE_ORDERS: intake.orders(),
            INTAKE_INSTALLS: intake.installs(),
            INTAKE_COMMANDS: intake.commands(),
            INSTALLER_STAGED: installing.staged(),
            INSTALLER_COMMANDS: Commands(installing, lambda: None).handlers(),
            INSTALLER_MAILS: moved_on.mails(),
            INSTALLER_DUE: installing.due(),
            INSTALLER_NOW: installing.due(),
            MAILER_INSTALLS: welcoming.handlers(),
            MAILER_COMMANDS: {MailResend: resend},
        }
        self._sweeps: dict[str, Callable[[Any], None]] = {
            "intake": intake.recover,
            "installer": lambda database: database.sweep(None, lambda uow: moved_on._look_around(uow, is_paused=False)),
            "mailer": recovery.wake_stale,
        }

    @property
    def orders(self) -> dict[str, Order]:
        return self._committed[ORDERS]

    @property
    def installs(self) -> dict[str, Install]:
        return self._committed[INSTALLS]

    @property
    def mails(self) -> dict[str, Mail]:
        return self._committed[MAILS]

    # What happens

    def publish(self, data: Model) -> None:
        """A producer or staff ask for something."""
        exchange = catalogue.by_model(type(data)).exchange
        event = codec.envelope(data, id=new_id(), source="/test", subject="order-1", time=self.now)
        self._route(event, Sender(exchange, user_id="somebody"))

    def deliver(self, message: Message) -> None:
        """A worker takes a message, or a copy of it."""
        if (message.queue, message.event.id) not in self._inbox:
            handler = self._handlers[message.queue][type(message.event.data)]
            self._settle(message, self._commit(message.queue, lambda uow: handler(uow, message.event), message.sender))

    def carry_out(self, run: Run) -> Any:
        """The effect is there, and nothing is recorded yet. Raises Failed."""
        claim = run.effect.claim
        if isinstance(claim, Install):
            return SITE
        if isinstance(claim, Mail):
            self.letters.append(f"{claim.install_id} {claim.copy}")
            return self.letters[-1]
        return run.effect.run(claim)

    def finish(self, run: Run, failure: Failed | None = None) -> None:
        """A worker carries out its effect, unless that fails, and records what came of it."""
        effect, event = run.effect, run.message.event
        if failure:
            self._conclude(run, lambda uow: effect.failed(uow, effect.claim, event, failure.cause))
        else:
            result = self.carry_out(run)
            self._conclude(run, lambda uow: effect.succeeded(uow, effect.claim, event, result))

    def give_back(self, run: Run) -> None:
        """Its service stops before a thread was free for it."""
        if not_begun := run.effect.not_begun:
            self._conclude(run, lambda uow: not_begun(uow, run.effect.claim, run.message.event))

    def sweep(self) -> None:
        """The services' recovery sweeps look at all rows."""
        for service, sweep in self._sweeps.items():
            sweep(_Sweeping(self, service))

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # How a service works

    def _conclude(self, run: Run, decide: Decide) -> None:
        self.runs.remove(run)
        self._settle(run.message, self._commit(run.message.queue, decide))

    def _commit(self, queue: str, decide: Decide, sender: Sender = OURSELVES) -> Outcome | Effect[Any] | None:
        loaded = {records: Loaded(records, rows.values()) for records, rows in self._committed.items()}
        loaded[MAILS_OF_INSTALLS] = Loaded(MAILS_OF_INSTALLS, self._mails_of_installs(queue))
        load: dict[str, Callable[[], Any]] = {
            "intake": lambda: OrderRows(loaded[ORDERS]),
            "installer": lambda: InstallRows(loaded[INSTALLS], loaded[MAILS_OF_INSTALLS]),
            "mailer": lambda: MailRows(loaded[MAILS], loaded[CUSTOMERS], loaded[RECIPIENTS]),
        }
        service = queue.partition(".")[0]
        no_connection: Any = None
        source = f"/sitecrew/{service.replace('intake', 'order-intake')}"
        uow = UnitOfWork(load[service](), source, self.now, no_connection, sender)
        outcome = decide(uow)
        for records in self._committed:
            self._committed[records] = {records.key_of(row): row for row in loaded[records].all()}
        for mail in loaded[MAILS_OF_INSTALLS].all():
            install = self.installs[mail.install_id]
            self.installs[mail.install_id] = replace(install, **{name: getattr(mail, name) for name in _OF_MAILS})
        self._after()
        for sent in uow.outbox:
            event = codec.decode(sent.body)
            if sent.exchange == DELAYED:
                self.messages.append(Message(sent.routing_key, event, OURSELVES, sent.due_at or self.now))
            else:
                self._route(event, Sender(sent.exchange, user_id="sitecrew"))
        return outcome

    def _mails_of_installs(self, queue: str) -> list[Any]:
        if queue != INSTALLER_MAILS:
            return []
        return MAILS_OF_INSTALLS.read(MAILS_OF_INSTALLS.values(vars(row)) for row in self.installs.values())

    def _settle(self, message: Message, outcome: Outcome | Effect[Any] | None) -> None:
        if isinstance(outcome, Effect):
            self.runs.append(Run(message, outcome))
        elif isinstance(outcome, Retry):
            self.messages.append(Message(message.queue, message.event, message.sender, outcome.at))
        elif isinstance(outcome, Done) and not isinstance(outcome, GivenUp | Rejected):
            self._inbox.add((message.queue, message.event.id))

    def _route(self, event: Event[Any], sender: Sender) -> None:
        for queue, handlers in self._handlers.items():
            if type(event.data) in handlers and queue not in _BY_TIME:
                self.messages.append(Message(queue, event, sender, self.now))


_OF_MAILS = ("check_at", "mail_state", "mail_cause")


@dataclass(frozen=True)
class _Sweeping:
    """A service's database, as far as its sweep needs one."""

    services: ThreeServices
    service: str

    def sweep(self, _find: object, look: Decide) -> None:
        self.services._commit(self.service, look)
