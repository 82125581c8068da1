"""What the installer decides, in memory: its handlers need no database."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from foundation.broker import codec
from foundation.config.keys import Sealer, generate_keys
from foundation.config.settings import Settings
from foundation.errors import Failed, IllegalTransition
from foundation.handling.outcomes import Done, Effect, Outcome, Retry
from foundation.handling.unit_of_work import UnitOfWork
from foundation.hosting import Server
from foundation.store.lease import Terms
from foundation.store.records import Loaded
from schemas.envelope import Event
from schemas.installs import (
    InstallCancel,
    InstallResolve,
    InstallRetry,
    InstallStaged,
    SiteSpec,
    TimerPause,
    TimerResume,
)
from schemas.mails import MailFailed, MailSent
from schemas.orders import OrderAmended
from schemas.servers import ServerPause, ServerResume
from schemas.values import AccountRef, CauseKind, Customer, Model
from services.installer.causes import INSTALL_CAUSES
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.installs import INSTALLS, MAILS, PENDING, TRANSITIONS, Install, MailOfInstall
from services.installer.recovery import Recovery
from services.installer.rows import InstallRows
from services.installer.servers import requirements
from services.installer.sites import InstalledSite, Job, Step
from services.installer.states import MailState, State, WaitingFor
from services.installer.upcoming import what_next
from tests.support.house import START, FakeInstaller, FakeServer, failure, kind
from tests.support.in_memory import redelivered, unit_of_work
from tests.support.rows import install_of

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLIC = generate_keys()[0]
DOWN = failure("db_down").cause
FULL = failure("server_busy", CauseKind.CAPACITY).cause
SITE = (InstalledSite("WordPress", "6.1", "http://x.example/"), 1.5)
INTAKE = "/sitecrew/order-intake"


def staged(generation: int = 1, **changes: Any) -> InstallStaged:
    fields: dict[str, Any] = {
        "install_id": f"order-1-g{generation}",
        "order_id": "order-1",
        "generation": generation,
        "due_at": START,
        "site": SiteSpec(site_type="wordpress", url="http://x.example/", title="X"),
        "account": AccountRef(server="local", username="shopx", domain="x.example", address="203.0.113.7"),
        "customer": Customer(name="Jo", email="jo@customer.example"),
    }
    return InstallStaged(**{**fields, **changes})


def install(state: State = State.STAGED, generation: int = 1) -> Install:
    """An install that has come to a state in the shortest way."""
    new = install_of(staged(generation), START)
    begun = new.begun(Terms("another", timedelta(seconds=15)), START, 6)
    failed = begun.failed(DOWN, 6, START)
    ways: dict[State, Callable[[], Install]] = {
        State.STAGED: lambda: new,
        State.WAITING: lambda: new.waits(WaitingFor.CAPACITY, FULL, START),
        State.INSTALLING: lambda: begun,
        State.INSTALLED: lambda: begun.installed(None, MailState.WAITING, START),  # type: ignore[arg-type]  # nothing looks at it
        State.FAILED: lambda: failed,
        State.RESOLVED: lambda: failed.resolved("by hand", START, None),
        State.CANCELLED: lambda: new.cancelled("on purpose", START),
    }
    return ways[state]()


def mail_of(known: Install) -> MailOfInstall:
    return MailOfInstall(**{name: getattr(known, name) for name in MAILS.names})


class Desk:
    """The installer's handlers over some installs in memory."""

    def __init__(self, *known: Install, **settings: Any) -> None:
        self.rows = InstallRows(Loaded(INSTALLS, known), Loaded(MAILS, map(mail_of, known)))
        self.now = START
        own = Settings(**{"keys": {"public": PUBLIC}, "servers": {"local": {}}, **settings})
        servers, sites = {"local": FakeServer()}, {"wordpress": FakeInstaller()}
        self.installing = Installing(own, servers, sites, Sealer(PUBLIC))
        self.commands = Commands(self.installing, lambda: None)
        self.recovery = Recovery(self.installing)
        self.handlers: dict[type[Model], Any] = {
            **self.installing.due(),
            OrderAmended: self.installing.amend,
            **self.commands.handlers(),
            **self.recovery.mails(),
        }
        self.uow = self.unit()

    def unit(self) -> UnitOfWork[InstallRows]:
        return unit_of_work(self.rows, "installer", (self.now - START).total_seconds())

    def event(self, data: Model, source: str = INTAKE) -> Event[Any]:
        return codec.envelope(data, id="id", source=source, subject="order-1", time=self.now)

    def handle(self, data: Model, source: str = INTAKE) -> Outcome | Effect:
        self.uow = self.unit()
        result: Outcome | Effect = self.handlers[type(data)](self.uow, self.event(data, source))
        return result

    def note(self, data: InstallStaged) -> None:
        self.uow = self.unit()
        self.installing.note(self.uow, self.event(data))

    def begin(self) -> Effect:
        effect = self.handle(staged())
        assert isinstance(effect, Effect)
        self.uow = self.unit()
        return effect

    def conclude(self, step: Any, effect: Effect, *result: Any) -> Outcome:
        outcome: Outcome = step(self.uow, effect.claim, self.event(staged()), *result)
        return outcome

    def recover(self) -> None:
        """The sweep finds that the lease has expired."""
        self.now += timedelta(minutes=1)
        self.uow = self.unit()
        self.recovery._look_around(self.uow, is_paused=False)

    def event_types(self) -> list[str]:
        return [kind(message.type) for message in self.uow.outbox]

    def install(self, generation: int = 1) -> Install:
        found = self.rows.installs.get(f"order-1-g{generation}")
        assert found is not None
        return found


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("after", list(State))
def test_only_the_transitions_of_the_table_are_made(state: State, after: State) -> None:
    known = install(state)
    terms = Terms("me", timedelta(seconds=15))
    make: Any = {
        State.STAGED: lambda: (
            known.staged_again(DOWN, START, START, START) if known.attempt else known.retried(START, START, None)
        ),
        State.WAITING: lambda: known.waits(WaitingFor.SERVER, DOWN, START),
        State.INSTALLING: lambda: known.begun(terms, START, 6),
        State.INSTALLED: lambda: known.installed(None, MailState.OFF, START),  # type: ignore[arg-type]  # likewise
        State.FAILED: lambda: known.failed(DOWN, 6, START),
        State.RESOLVED: lambda: known.resolved("by hand", START, None),
        State.CANCELLED: lambda: known.cancelled("on purpose", START),
    }[after]
    if after in TRANSITIONS[state] and (state, after) != (State.STAGED, State.STAGED):
        assert make().state == after
    elif after not in TRANSITIONS[state]:
        with pytest.raises(IllegalTransition, match=rf"order-1-g1 is {state} and cannot become {after}"):
            make()


def test_what_is_noted_again_changes_nothing() -> None:
    desk = Desk()
    desk.note(staged())
    first = desk.install()
    assert (first.state, first.attempt, first.current_attempt) == (State.STAGED, 0, 1)
    desk.note(staged(due_at=START + timedelta(hours=1)))
    assert desk.install() is first


@pytest.mark.parametrize("state", list(State))
def test_a_newer_generation_takes_the_place_of_what_waits_or_has_failed(state: State) -> None:
    desk = Desk(install(state))
    desk.note(staged(2))
    gone = state in (State.STAGED, State.WAITING, State.FAILED)
    assert desk.install().state == (State.CANCELLED if gone else state)
    assert desk.event_types() == ["install.cancelled"] * gone
    if gone:
        assert desk.install().reason == "superseded by order-1-g2"


def test_one_that_no_news_came_of_is_noted_and_begun() -> None:
    desk = Desk()
    effect = desk.handle(staged())
    assert isinstance(effect, Effect)
    assert effect.claim == desk.install()
    assert (effect.claim.state, effect.claim.attempt, effect.claim.fence) == (State.INSTALLING, 1, 1)
    assert desk.event_types() == ["install.started"]


@pytest.mark.parametrize("state", [state for state in State if state not in PENDING])
def test_a_message_about_what_is_not_staged_begins_nothing(state: State) -> None:
    desk = Desk(install(state))
    assert isinstance(desk.handle(staged()), Done)
    assert (desk.install().state, desk.event_types()) == (state, [])


def test_what_is_not_due_comes_again_when_it_is() -> None:
    due_at = START + timedelta(minutes=1)
    outcome = Desk().handle(staged(due_at=due_at))
    assert isinstance(outcome, Retry)
    assert (outcome.at, outcome.cause.code) == (due_at, "early")


def test_a_clock_that_was_put_back_makes_nothing_early() -> None:
    desk = Desk(install())
    desk.now -= timedelta(hours=1)
    assert isinstance(desk.handle(staged()), Effect)


@pytest.mark.parametrize(
    ("state", "begun"),
    [(State.STAGED, False), (State.INSTALLING, False), (State.INSTALLED, False), (State.CANCELLED, True)],
)
def test_an_older_generation_gives_way_for_good_unless_the_newer_is_cancelled(state: State, begun: bool) -> None:
    desk = Desk(install(), install(state, generation=2))
    assert isinstance(desk.handle(staged()), Effect) == begun
    assert desk.install().state == (State.INSTALLING if begun else State.CANCELLED)


def test_two_do_not_work_in_one_account() -> None:
    desk = Desk(install(State.INSTALLING), install(generation=2))
    outcome = desk.handle(staged(2))
    assert isinstance(outcome, Retry)
    assert (outcome.at, outcome.cause.code) == (START + timedelta(seconds=15), "account_busy")
    assert desk.install(2).state == State.STAGED


@pytest.mark.parametrize(("wanted", "mail"), [(True, MailState.WAITING), (False, MailState.OFF)])
def test_a_site_that_answers_is_recorded(wanted: bool, mail: MailState) -> None:
    desk = Desk(sites={"wordpress": {"welcome_email": wanted}})
    effect = desk.begin()
    assert isinstance(desk.conclude(effect.succeeded, effect, SITE), Done)
    done = desk.install()
    assert (done.state, done.mail_state, done.lease_owner, done.attempt) == (State.INSTALLED, mail, None, 1)
    assert bool(done.check_at) == wanted, "news of a mail is waited for"
    assert [entry.what for entry in done.history.entries] == ["installed"]
    assert desk.event_types() == ["install.completed"]


@pytest.mark.parametrize(("others", "replaced"), [((), None), ((3,), 3), ((2, 3), 3)])
def test_a_site_is_recorded_with_the_newest_that_it_has_replaced(others: tuple[int, ...], replaced: int | None) -> None:
    desk = Desk()
    effect = desk.begin()
    for generation in others:  # by whatever mistake: it is what the audit looks for
        desk.rows.installs.save(install(State.INSTALLED, generation))
    desk.rows.installs.save(install(State.FAILED, 4))
    desk.conclude(effect.succeeded, effect, SITE)
    assert desk.install().replaced == replaced


def test_whoever_lost_the_install_records_nothing() -> None:
    desk = Desk()
    effect = desk.begin()
    staged_again = desk.install().staged_again(DOWN, START, START, START)
    taken = desk.rows.installs.save(staged_again.begun(Terms("another", timedelta(15)), START, 6))
    desk.conclude(effect.succeeded, effect, SITE)
    desk.conclude(effect.failed, effect, DOWN)
    assert effect.not_begun
    desk.conclude(effect.not_begun, effect)
    assert (desk.install(), desk.event_types()) == (taken, [])


def test_a_transient_cause_stages_the_next_attempt_and_the_last_fails_for_good() -> None:
    desk = Desk(installer={"max_attempts": 2})
    effect = desk.begin()
    desk.conclude(effect.failed, effect, DOWN)
    assert desk.event_types() == ["install.staged", "install.staged"], "to those who watch, and to whoever begins it"
    again = desk.install()
    assert (again.state, again.attempt, again.current_attempt, again.cause) == (State.STAGED, 1, 2, DOWN)
    assert timedelta(seconds=48) <= again.due_at - START <= timedelta(seconds=72)
    desk.now = again.due_at
    effect = desk.begin()
    desk.conclude(effect.failed, effect, DOWN)
    assert (desk.install().state, desk.install().attempt, desk.event_types()) == (State.FAILED, 2, ["install.failed"])


def test_a_cause_that_does_not_pass_fails_at_once() -> None:
    desk = Desk()
    effect = desk.begin()
    desk.conclude(effect.failed, effect, failure("php_missing", CauseKind.CONFIGURATION).cause)
    assert desk.install().state == State.FAILED


def test_what_was_not_begun_when_the_service_stops_was_no_attempt() -> None:
    desk = Desk()
    effect = desk.begin()
    assert effect.not_begun
    outcome = desk.conclude(effect.not_begun, effect)
    assert isinstance(outcome, Retry)
    assert (outcome.at, desk.install().state, desk.install().attempt) == (START, State.STAGED, 0)
    assert desk.event_types() == ["install.staged"], "for it was told of as started"


@pytest.mark.parametrize("state", list(State))
def test_a_customer_is_corrected_in_what_is_not_over(state: State) -> None:
    desk = Desk(install(state))
    desk.handle(OrderAmended(order_id="order-1", customer=Customer(name="Ann", email="ann@customer.example")))
    over = state in (State.INSTALLED, State.RESOLVED, State.CANCELLED)
    assert desk.install().staged.customer.name == ("Jo" if over else "Ann")


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("command", [InstallCancel, InstallRetry])
def test_staff_cancel_and_retry_what_waits_or_has_failed(state: State, command: Any) -> None:
    desk = Desk(install(state))
    desk.handle(command(install_id="order-1-g1"), "/staff")
    if (state, command) == (State.INSTALLING, InstallCancel):
        assert (desk.install().state, desk.event_types()) == (state, [])
    elif state not in (*PENDING, State.FAILED) and (state, command) != (State.RESOLVED, InstallCancel):
        assert (desk.install().state, desk.event_types()) == (state, ["command.refused"])
    elif command is InstallCancel:
        assert (desk.install().state, desk.event_types()) == (State.CANCELLED, ["install.cancelled"])
    else:
        made = int(state == State.FAILED)
        assert (desk.install().state, desk.event_types()) == (State.STAGED, ["install.staged", "install.staged"])
        assert (desk.install().attempt, desk.install().attempts_before) == (0, made)


_ENDS: dict[str, tuple[Any, list[str]]] = {
    "its worker saw that": (lambda desk, run: desk.conclude(run.failed, run, DOWN), ["install.cancelled"]),
    "it was not begun": (lambda desk, run: desk.conclude(run.not_begun, run), ["install.cancelled"]),
    "it was too late": (lambda desk, run: desk.conclude(run.succeeded, run, SITE), ["install.completed"]),
}


@pytest.mark.parametrize("end", _ENDS)
def test_a_cancel_of_a_running_install_is_answered_once_the_install_has_ended(end: str) -> None:
    desk, command = Desk(), InstallCancel(install_id="order-1-g1", reason="wrong customer")
    run = desk.begin()
    for _ in range(2):
        outcome = desk.handle(command, "/staff")
        assert isinstance(outcome, Retry)
        assert (outcome.cause.code, desk.install().state, desk.event_types()) == ("ending", State.INSTALLING, [])
    desk.uow = desk.unit()
    conclude, told = _ENDS[end]
    conclude(desk, run)
    assert desk.event_types() == told
    assert isinstance(desk.handle(command, "/staff"), Done)
    if told == ["install.completed"]:
        assert (desk.install().state, desk.event_types()) == (State.INSTALLED, ["command.refused"])
    else:
        assert (desk.install().state, desk.install().reason, desk.event_types()) == (
            *(State.CANCELLED, "wrong customer"),
            [],
        )


LOOKED = INSTALL_CAUSES.cause("cancelled", "before the step database")
LOST = INSTALL_CAUSES.cause("worker_lost", "killed")
NOW = ["installer.now"]
"""Where an install comes due that waits for no batch."""


def lost(desk: Desk, attempts: int = 1) -> None:
    """The install's worker is lost, in each of so many attempts."""
    for _ in range(attempts):
        desk.now = max(desk.now, desk.install().due_at) if desk.rows.installs.all() else desk.now
        desk.begin()
        desk.recover()


@pytest.mark.parametrize("while_it_runs", [True, False])
@pytest.mark.parametrize("is_complete", [True, False])
def test_one_whose_worker_was_lost_is_cancelled_once_the_next_attempt_has_looked_at_once(
    is_complete: bool, while_it_runs: bool
) -> None:
    desk, command = Desk(), InstallCancel(install_id="order-1-g1", reason="wrong customer")
    desk.begin()
    if while_it_runs:
        desk.handle(command, "/staff")
        desk.recover()
    else:
        desk.recover()
        assert isinstance(desk.handle(command, "/staff"), Retry)
    assert (desk.install().state, desk.event_types()) == (State.STAGED, ["install.staged", "install.staged"])
    assert redelivered(desk.uow) == NOW, "it waits for no batch"
    outcome = desk.handle(command, "/staff")
    assert isinstance(outcome, Retry)
    assert (outcome.cause.code, desk.event_types()) == ("ending", []), "it is on its way already"
    run = desk.begin()
    desk.conclude(run.not_begun, run)
    assert (desk.install().state, redelivered(desk.uow)) == (State.STAGED, NOW)
    run = desk.begin()
    if is_complete:
        desk.conclude(run.succeeded, run, SITE)
        assert (desk.install().state, desk.event_types()) == (State.INSTALLED, ["install.completed"])
    else:
        desk.conclude(run.failed, run, LOOKED)
        assert (desk.install().state, desk.event_types()) == (State.CANCELLED, ["install.cancelled"])
        assert [entry.what for entry in desk.install().history.entries] == ["attempt failed", "looked", "cancelled"]
    assert desk.install().current_attempt == 1, "to look is no attempt"
    assert isinstance(desk.handle(command, "/staff"), Done)


def test_one_whose_last_attempt_lost_its_worker_fails_once_another_has_looked() -> None:
    desk = Desk(installer={"max_attempts": 2})
    lost(desk, attempts=2)
    assert (desk.install().state, redelivered(desk.uow)) == (State.STAGED, NOW)
    run = desk.begin()
    desk.conclude(run.failed, run, LOOKED)
    failed = desk.install()
    assert (failed.state, failed.attempt, failed.cause and failed.cause.code) == (State.FAILED, 2, "worker_lost")
    assert (desk.event_types(), failed.may_stand) == (["install.failed"], False)
    desk.handle(InstallCancel(install_id="order-1-g1"), "/staff")
    assert desk.install().state == State.CANCELLED, "somebody has looked"


def test_one_that_cannot_be_looked_at_is_tried_again_as_often_as_there_are_attempts_but_once_at_least() -> None:
    desk, full = Desk(installer={"max_attempts": 3}), failure("disk_full", CauseKind.CAPACITY).cause
    lost(desk)
    desk.handle(InstallCancel(install_id="order-1-g1"), "/staff")
    for state in (State.STAGED, State.CANCELLED):
        desk.now = desk.install().due_at
        run = desk.begin()
        desk.conclude(run.failed, run, full)
        assert desk.install().state == state
    desk = Desk(installer={"max_attempts": 2})
    lost(desk, attempts=3)
    assert desk.install().state == State.FAILED, "what kills its workers does not do so for ever"
    assert isinstance(desk.handle(InstallCancel(install_id="order-1-g1"), "/staff"), Retry)
    assert (desk.install().state, redelivered(desk.uow)) == (State.STAGED, NOW), "it may still stand"


def test_one_that_is_cancelled_in_its_last_attempt_is_looked_at_if_that_is_lost() -> None:
    desk = Desk(installer={"max_attempts": 1})
    desk.begin()
    desk.handle(InstallCancel(install_id="order-1-g1"), "/staff")
    desk.recover()
    assert desk.install().state == State.STAGED


def test_a_newer_generation_has_what_a_lost_worker_left_looked_at_before_the_older_is_cancelled() -> None:
    desk = Desk()
    lost(desk)
    desk.note(staged(2))
    assert (desk.install().state, redelivered(desk.uow)) == (State.STAGED, NOW)
    run = desk.begin()
    desk.conclude(run.failed, run, LOOKED)
    assert (desk.install().state, desk.install().reason) == (State.CANCELLED, "superseded by order-1-g2")


def test_one_that_is_looked_at_waits_for_its_server_as_long_as_that_takes_and_says_so() -> None:
    desk = Desk()
    lost(desk)
    desk.handle(ServerPause(server="local"), "/staff")
    desk.handle(InstallCancel(install_id="order-1-g1"), "/staff")
    assert what_next(desk.install()) == (
        "its worker was lost and may have left a site: an attempt looks for that now, and then it is cancelled"
    )
    assert isinstance(desk.handle(staged()), Done)
    waits = desk.install()
    assert (waits.state, waits.waiting_for, waits.waiting_until) == (State.WAITING, WaitingFor.SERVER, None)
    assert "looks for that once what it waits for is there, and then it is cancelled" in what_next(waits)
    desk.now += timedelta(days=30)
    desk.recover()
    assert desk.install().state == State.WAITING
    desk.handle(ServerResume(server="local"), "/staff")
    run = desk.begin()
    assert "cancelled before its next step" in what_next(desk.install())
    desk.conclude(run.failed, run, LOOKED)
    assert desk.install().state == State.CANCELLED


def test_one_that_waits_in_vain_fails_once_somebody_has_looked_what_its_lost_worker_left() -> None:
    desk = Desk(installer={"waiting_hours": 1})
    lost(desk)
    missing = INSTALL_CAUSES.cause("dns_missing", "it leads elsewhere")
    run = desk.begin()
    desk.conclude(run.failed, run, missing)
    assert desk.install().state == State.WAITING
    desk.now += timedelta(hours=2)
    run = desk.begin()
    desk.conclude(run.failed, run, missing)
    assert (desk.install().state, redelivered(desk.uow)) == (State.STAGED, NOW)
    run = desk.begin()
    desk.conclude(run.failed, run, LOOKED)
    assert (desk.install().state, desk.install().cause) == (State.FAILED, missing)


def test_staff_who_try_it_again_have_it_not_end() -> None:
    desk = Desk()
    lost(desk)
    desk.handle(InstallCancel(install_id="order-1-g1"), "/staff")
    desk.handle(InstallRetry(install_id="order-1-g1"), "/staff")
    assert (desk.install().state, desk.install().ending, desk.install().attempt) == (State.STAGED, None, 0)


class Stepping(FakeInstaller):
    """Says which steps were begun."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[str] = []

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        for name in ("preflight", "database"):
            with step(name):
                self.begun.append(name)
        return super().install(job, server, step)


@pytest.mark.parametrize("against", ["it is to end", "something is missing"])
def test_of_one_whose_worker_was_lost_the_first_step_is_begun_whatever_is_against_it(
    against: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = against == "it is to end"
    own = Settings(keys={"public": PUBLIC}, sites={"wordpress": {"require": ["dns"]}})
    checked = MagicMock(side_effect=None if ends else INSTALL_CAUSES.failed("dns_missing", "it leads elsewhere"))
    monkeypatch.setattr(requirements, "check", checked)
    terms = Terms("me", timedelta(15))
    claim = install().begun(terms, START, 6)
    again = claim.staged_again(LOST, START, START, START).begun(terms, START, 6)
    for one, steps in ((claim, []), (again, ["preflight"])):
        stepping = Stepping()
        tools = ({"local": FakeServer()}, {"wordpress": stepping}, Sealer(PUBLIC))
        with pytest.raises(Failed) as raised:
            Installing(own, *tools, goes_on=lambda _claim: not ends)._run(one)
        assert (stepping.begun, raised.value.cause.code) == (steps, "cancelled" if ends else "dns_missing")


@pytest.mark.parametrize("state", list(State))
def test_staff_resolve_what_has_failed(state: State) -> None:
    desk = Desk(install(state))
    desk.handle(InstallResolve(install_id="order-1-g1", note="installed it by hand"), "/staff")
    if state != State.FAILED:
        assert (desk.install().state, desk.event_types()) == (state, ["command.refused"])
        return
    assert (desk.install().state, desk.event_types()) == (State.RESOLVED, ["install.resolved"])
    assert (desk.install().reason, desk.install().check_at) == ("installed it by hand", None)
    assert desk.install().history.entries[-1].what == "resolved"


def test_a_pause_lasts_since_it_began_and_for_the_latest_reason() -> None:
    desk = Desk()
    desk.handle(TimerPause(reason="moving a server"), "/staff")
    desk.now += timedelta(minutes=1)
    desk.handle(TimerPause(reason="still moving it"), "/staff")
    assert (desk.rows.timer.paused_since, desk.rows.timer.reason) == (START, "still moving it")
    assert desk.event_types() == ["timer.paused"]
    desk.handle(TimerResume(), "/staff")
    assert (desk.rows.timer.paused_since, desk.event_types()) == (None, ["timer.resumed"])


def test_order_intake_may_cancel_before_the_news_has_come_and_staff_are_told() -> None:
    desk = Desk()
    assert isinstance(desk.handle(InstallCancel(install_id="order-1-g1")), Retry)
    assert isinstance(desk.handle(InstallCancel(install_id="order-1-g1"), "/staff"), Done)
    assert desk.event_types() == ["command.refused"]


def test_order_intake_is_told_again_that_an_install_is_cancelled() -> None:
    desk = Desk(install(State.CANCELLED))
    desk.handle(InstallCancel(install_id="order-1-g1"))
    assert desk.event_types() == ["install.cancelled"]


def test_the_news_of_a_mail_end_the_wait_for_them() -> None:
    told = {"install_id": "order-1-g1", "order_id": "order-1", "generation": 1, "recipient": "jo@customer.example"}
    desk = Desk(install(State.INSTALLED))
    desk.handle(MailFailed(**told, cause=DOWN), "/sitecrew/mailer")
    failed = desk.rows.mails.all()[0]
    assert (failed.mail_state, failed.mail_cause) == (MailState.FAILED, DOWN)
    desk.handle(MailSent(**told, message_id="<1@x>"), "/sitecrew/mailer")
    after = desk.rows.mails.all()[0]
    assert (after.mail_state, after.mail_cause, after.check_at) == (MailState.SENT, None, None)
