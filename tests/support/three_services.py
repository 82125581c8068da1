"""The three services on records in memory, without a database, a broker or threads: what is on the way is a list, of
which a test lets happen next whatever it wants."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
from foundation.hosting import Server
from foundation.store.frozen import replace
from foundation.store.records import Loaded, Records
from schemas import catalogue
from schemas.envelope import Event
from schemas.mails import MailResend
from schemas.servers import ServerClosed, ServerOpened
from schemas.values import Model
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.installs import INSTALLS, Install
from services.installer.installs import MAILS as MAILS_OF_INSTALLS
from services.installer.recovery import Recovery
from services.installer.rows import InstallRows
from services.installer.servers.postponing import Postponing
from services.installer.servers.standing import Standings
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.causes import failed
from services.installer.states import State
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
from tests.support.house import START, FakeServer, Killed

PUBLIC = generate_keys()[0]
STEPS = ("preflight", "build", "swap", "verify", "marker", "retire")
_BY_TIME = (INSTALLER_DUE, INSTALLER_NOW)
"""Queues into which nothing comes but through the delay ladder."""
_UNHEARD = {ServerOpened, ServerClosed}
"""Order intake keeps what it hears of servers where only a database can."""

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


@dataclass
class Account:
    """A site installer that keeps in memory what an account serves, as `docroot` does on a disk."""

    served: str | None = None
    """The install whose tree is in the document root."""
    verified: str | None = None
    """The one that the marker names."""
    latest: tuple[int, int] = (0, 0)
    """Generation and fence of the latest run: earlier ones may put nothing in place any more."""
    meanwhile: Callable[[str], None] = lambda _step: None
    """Called as a step begins."""

    def install(self, job: Job, _server: Server, step: Step) -> InstalledSite:
        run = (job.generation, job.fence)
        site = InstalledSite("WordPress", "6.1", job.url)
        with step("preflight"):
            self.meanwhile("preflight")
            self.served = self.verified
            if self.verified == job.install_id:
                return site
            self._refuse_superseded(run)
            self.latest = run
        with step("build"):
            self.meanwhile("build")
        self._refuse_superseded(run)
        with step("swap"):
            self.meanwhile("swap")
            self.served = job.install_id
        with step("verify"):
            self.meanwhile("verify")
        with step("marker"):
            self.meanwhile("marker")
            self.verified = job.install_id
        with step("retire"):
            self.meanwhile("retire")
        return site

    def check(self, server: Server) -> None:
        return

    def _refuse_superseded(self, run: tuple[int, int]) -> None:
        if self.latest > run:
            raise failed("superseded", "a later run has begun")


class ThreeServices:
    """What they have committed, what is on the way between them, and who is at work."""

    def __init__(self, committed: Callable[[], object], *, stage: bool) -> None:
        """`committed` is called after each transaction."""
        site = {"stage": stage, "require": ["dns"]}
        settings = Settings(keys={"public": PUBLIC}, sites={"wordpress": site}, servers={"local": {}})
        self.now = START
        self._after = committed
        self.messages: list[Message] = []
        self.runs: list[Run] = []
        self.letters: list[str] = []
        """What the mail server has got: each letter by its install and copy."""
        self.server = FakeServer()
        self.account = Account()
        self.standings = Standings()
        self._overtaken_later = False
        self._committed: dict[Records[Any], dict[str, Any]] = {
            records: {} for records in (ORDERS, INSTALLS, MAILS, CUSTOMERS, RECIPIENTS)
        }
        self._inbox: set[tuple[str, str]] = set()
        sealer, servers = Sealer(PUBLIC), {"local": self.server}
        intake = Intake(settings, servers, sealer)
        installing = Installing(settings, servers, {"wordpress": self.account}, sealer, goes_on=self._goes_on)
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
            "installer": lambda database: database.sweep(None, self._waking(moved_on, installing.later)),
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
        if isinstance(claim, Mail):
            self.letters.append(f"{claim.install_id} {claim.copy}")
            return self.letters[-1]
        return run.effect.run(claim)

    def finish(self, run: Run, failure: Failed | None = None, *, blindly: bool = False) -> None:
        """A worker carries out its effect, unless that fails, and records what came of it; `blindly` if it last looked
        into its row before that was changed."""
        effect, event = run.effect, run.message.event
        with self._working(blindly=blindly, fails=failure):
            try:
                if failure and not isinstance(effect.claim, Install):
                    raise failure
                result = self.carry_out(run)
            except Failed as it:
                cause = it.cause
                self._conclude(run, lambda uow: effect.failed(uow, effect.claim, event, cause))
            else:
                self._conclude(run, lambda uow: effect.succeeded(uow, effect.claim, event, result))

    def kill(self, run: Run, step: str | None) -> None:
        """A worker's process ends as that step of an install begins, or when all is done; its message comes again. At
        none, it had not begun."""
        if step and not isinstance(run.effect.claim, Install):
            self.carry_out(run)
        elif step:
            with self._working(dies_at=step), suppress(Killed, Failed):
                self.carry_out(run)
        self.runs.remove(run)
        self.messages.append(run.message)

    @contextmanager
    def _working(
        self, *, blindly: bool = False, fails: Failed | None = None, dies_at: str | None = None
    ) -> Iterator[None]:
        def meanwhile(step: str) -> None:
            if step == dies_at:
                raise Killed
            if step == "build" and fails:
                raise fails

        self._overtaken_later, self.account.meanwhile = blindly, meanwhile
        yield
        self._overtaken_later = False

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

    def _goes_on(self, claim: Install) -> bool:
        row = self.installs[claim.install_id]
        is_mine = (row.fence, row.state, row.ending) == (claim.fence, State.INSTALLING, None)
        return is_mine or self._overtaken_later

    def _waking(self, recovery: Recovery, later: Postponing) -> Decide:
        """Look around as the installer does, which asks its database for those that wait for their server."""

        def look(uow: UnitOfWork[InstallRows]) -> None:
            for install in uow.rows.installs.all():
                if install.is_asleep and not uow.rows.standings.of(install.server).is_shut(uow.now):
                    check_at = later.overdue_at(install, uow.now)
                    uow.rows.installs.save(replace(install, woken_at=uow.now, check_at=check_at))
                    later.deliver_again(uow, install)
            recovery._look_around(uow, is_paused=False)

        return look

    def _conclude(self, run: Run, decide: Decide) -> None:
        self.runs.remove(run)
        self._settle(run.message, self._commit(run.message.queue, decide))

    def _commit(self, queue: str, decide: Decide, sender: Sender = OURSELVES) -> Outcome | Effect[Any] | None:
        loaded = {records: Loaded(records, rows.values()) for records, rows in self._committed.items()}
        loaded[MAILS_OF_INSTALLS] = Loaded(MAILS_OF_INSTALLS, self._mails_of_installs(queue))
        load: dict[str, Callable[[], Any]] = {
            "intake": lambda: OrderRows(loaded[ORDERS]),
            "installer": lambda: InstallRows(loaded[INSTALLS], loaded[MAILS_OF_INSTALLS], standings=self.standings),
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
            if type(event.data) in handlers.keys() - _UNHEARD and queue not in _BY_TIME:
                self.messages.append(Message(queue, event, sender, self.now))


_OF_MAILS = ("check_at", "mail_state", "mail_cause")


@dataclass(frozen=True)
class _Sweeping:
    """A service's database, as far as its sweep needs one."""

    services: ThreeServices
    service: str

    def sweep(self, _find: object, look: Decide) -> None:
        self.services._commit(self.service, look)
