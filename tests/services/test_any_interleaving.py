"""Orders, installs and mails: whatever is asked, in whatever order and however often it is delivered, whatever is lost,
and whoever ends or comes back late, the rows only do what they may, and in the end they agree."""

from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from structlog.testing import capture_logs

from schemas.installs import InstallCancel, InstallResolve, InstallRetry
from schemas.mails import MailResend
from schemas.orders import (
    OrderAmend,
    OrderCancel,
    OrderCancelled,
    OrderPlaced,
    OrderReinstall,
    OrderReinstallRequested,
    OrderRetry,
)
from schemas.servers import ServerPause, ServerResume
from schemas.values import CauseKind, Customer
from services.installer import installs
from services.installer.auditing import InstallFacts
from services.installer.causes import INSTALL_CAUSES
from services.installer.servers import requirements
from services.installer.states import State as Install
from services.mailer import mails
from services.mailer.auditing import MailFacts
from services.mailer.states import State as Letter
from services.order_intake import orders
from services.order_intake.auditing import OrderFacts
from sitecrew.audit import agreement
from sitecrew.audit import rows as audited
from sitecrew.audit.cases import Case
from tests.support.house import failure
from tests.support.machines import of_machine
from tests.support.three_services import STEPS, Message, ThreeServices

ORDER = "order-1"
ASKED = (
    OrderCancelled(order_id=ORDER),
    OrderReinstallRequested(order_id=ORDER),
    OrderCancel(order_id=ORDER, reason="by staff"),
    OrderReinstall(order_id=ORDER),
    OrderRetry(order_id=ORDER),
    OrderAmend(order_id=ORDER, email="right@customer.example"),
    *(
        ask
        for install_id in (f"{ORDER}-g1", f"{ORDER}-g2")
        for ask in (
            InstallCancel(install_id=install_id),
            InstallRetry(install_id=install_id),
            InstallResolve(install_id=install_id, note="by hand"),
            MailResend(install_id=install_id),
        )
    ),
    ServerPause(server="local"),
    ServerResume(server="local"),
)
PLACED = OrderPlaced(
    order_id=ORDER,
    site_type="wordpress",
    domain="shop.example",
    customer=Customer(name="Jo", email="jo@customer.example"),
)
UNWANTED = (
    InstallCancel(install_id=f"{ORDER}-g1"),
    InstallCancel(install_id=f"{ORDER}-g2"),
    OrderCancelled(order_id=ORDER),
    OrderReinstallRequested(order_id=ORDER),
    ServerPause(server="local"),
)
ANY = st.integers(0, 99)
NOT_INSTALLED = (Install.FAILED, Install.CANCELLED)
TRANSITIONS: Any = {"orders": orders.TRANSITIONS, "installs": installs.TRANSITIONS, "mails": mails.TRANSITIONS}


class AnyInterleaving(RuleBasedStateMachine):
    @initialize(stage=st.booleans(), rounds=st.integers(0, 6))
    def an_order_is_placed_and_all_goes_well_for_a_while(self, stage: bool, rounds: int) -> None:
        self.around = ExitStack()
        self.around.enter_context(capture_logs())
        self.around.enter_context(patch.object(requirements, "check", self.the_domain_leads_here))
        self.is_led_here = True
        self.given_up = set[str]()
        self.sent: set[tuple[str, int]] = set()
        self.before: dict[str, dict[str, Any]] = {"orders": {}, "installs": {}, "mails": {}}
        self.services = ThreeServices(self.rows_only_do_what_they_may, stage=stage)
        self.services.publish(PLACED)
        self.all_goes_well_for_a_while(rounds)

    # What happens

    @rule(what=st.sampled_from((PLACED, *ASKED)))
    def somebody_asks(self, what: Any) -> None:
        self.services.publish(what)

    @precondition(lambda self: self.services.messages)
    @rule(which=ANY)
    def one_is_delivered(self, which: int) -> None:
        message = self.message(which)
        self.services.messages.remove(message)
        self.services.deliver(message)

    @precondition(lambda self: self.services.messages)
    @rule(which=ANY)
    def one_is_delivered_and_will_come_again(self, which: int) -> None:
        self.services.deliver(self.message(which))

    @precondition(lambda self: self.services.messages)
    @rule(which=ANY)
    def the_broker_loses_one(self, which: int) -> None:
        self.services.messages.remove(self.message(which))

    @precondition(lambda self: self.services.runs)
    @rule(which=ANY, blindly=st.booleans())
    def a_worker_has_done_it_in_time_or_late(self, which: int, blindly: bool) -> None:
        run = self.worker(which)
        known = self.row_of(run.effect.claim)
        is_late = known is not None and known.fence != run.effect.claim.fence
        self.services.finish(run, blindly=blindly)
        assert not is_late or self.row_of(run.effect.claim) is known

    @precondition(lambda self: self.services.runs)
    @rule()
    def workers_stand_still_and_others_take_over(self) -> None:
        for _ in range(3):
            self.services.pass_time(700)
            self.services.sweep()
            self.all_goes_well(finishing=False)

    @precondition(lambda self: self.services.runs)
    @rule(which=ANY, kind=st.sampled_from([CauseKind.TRANSIENT, CauseKind.PERMANENT, CauseKind.CAPACITY]))
    def a_worker_fails(self, which: int, kind: CauseKind) -> None:
        self.services.finish(self.worker(which), failure("x_down", kind))

    @precondition(lambda self: self.services.runs)
    @rule(which=ANY, step=st.sampled_from([None, *STEPS]))
    def a_worker_is_killed(self, which: int, step: str | None) -> None:
        self.services.kill(self.worker(which), step)

    @rule(step=st.sampled_from([None, *STEPS]), unwanted=st.sampled_from([None, *UNWANTED]), attempts=st.integers(1, 7))
    def an_install_loses_its_workers(self, step: str | None, unwanted: Any, attempts: int) -> None:
        for _ in range(attempts):
            if run := self.begun_install():
                self.services.kill(run, step)
                self.services.pass_time(20)
                self.services.sweep()
        if unwanted:
            self.somebody_asks(unwanted)
            self.services.deliver(self.services.messages.pop())

    @precondition(lambda self: self.services.runs)
    @rule(which=ANY)
    def a_service_stops(self, which: int) -> None:
        self.services.give_back(self.worker(which))

    @rule()
    def the_domain_is_led_here_or_away(self) -> None:
        self.is_led_here = not self.is_led_here

    @rule(seconds=st.sampled_from([1, 20, 60, 400, 2000]))
    def time_passes(self, seconds: int) -> None:
        self.services.pass_time(seconds)

    @rule(rounds=st.integers(1, 4))
    def all_goes_well_for_a_while(self, rounds: int) -> None:
        for _ in range(rounds):
            self.all_goes_well(finishing=True)
            self.services.pass_time(100)

    @rule()
    def all_is_delivered_that_is_due(self) -> None:
        self.all_goes_well(finishing=False)

    @rule()
    def sweeps_look_around(self) -> None:
        self.services.sweep()

    def the_domain_leads_here(self, *_: object) -> None:
        if not self.is_led_here:
            raise INSTALL_CAUSES.failed("dns_missing", "it leads elsewhere")

    def message(self, which: int) -> Message:
        return self.services.messages[which % len(self.services.messages)]

    def worker(self, which: int) -> Any:
        return self.services.runs[which % len(self.services.runs)]

    def begun_install(self) -> Any:
        """Have all go well until an install is begun; return who works at it, or None if none is soon."""
        for _ in range(6):
            if runs := [run for run in self.services.runs if isinstance(run.effect.claim, installs.Install)]:
                return runs[0]
            self.all_goes_well(finishing=False)
            for run in [*self.services.runs]:
                if not isinstance(run.effect.claim, installs.Install):
                    self.services.finish(run)
            self.services.pass_time(100)
        return None

    def row_of(self, claim: Any) -> Any:
        """Return the install or mail as it is now; of orders, a late account is noted."""
        install_id = getattr(claim, "install_id", None)
        rows: Any = self.services.installs if isinstance(claim, installs.Install) else self.services.mails
        return rows.get(install_id)

    # What is true at any time

    def rows_only_do_what_they_may(self) -> None:
        for kind, before in self.before.items():
            now = getattr(self.services, kind)
            for key, row in now.items():
                known = before.get(key)
                if known is None or row is known:
                    continue
                assert row.fence >= known.fence
                assert row.state == known.state or row.state in TRANSITIONS[kind][known.state]
                if (known.state, row.state) == (Letter.SENDING, Letter.SENT):
                    assert (key, row.copy) not in self.sent, "staff had it sent once more"
                    self.sent.add((key, row.copy))
                if kind == "installs" and row.state != known.state and row.state in NOT_INSTALLED and row.may_stand:
                    self.nobody_could_look(known)
            self.before[kind] = dict(now)

    def nobody_could_look(self, known: Any) -> None:
        assert (known.state, known.only_looks) == (Install.INSTALLING, True)
        assert known.attempt >= known.max_attempts, "as long as there are attempts, another one looks"
        self.given_up.add(known.install_id)

    @invariant()
    def an_order_has_one_account(self) -> None:
        assert len(self.services.server.accounts) <= 1

    @invariant()
    def one_install_runs_at_a_time_and_none_replaces_a_newer_one(self) -> None:
        rows = self.services.installs.values()
        assert sum(row.state == Install.INSTALLING for row in rows) <= 1
        assert all(row.replaced is None or row.replaced < row.generation for row in rows)

    @invariant()
    def no_site_stands_of_an_install_that_has_ended_otherwise(self) -> None:
        served = self.services.account.served
        ended = {row.install_id for row in self.services.installs.values() if row.state in NOT_INSTALLED}
        assert served not in ended - self.given_up

    # What is true in the end

    def teardown(self) -> None:
        try:
            self.heal()
            self.the_services_agree()
        finally:
            self.around.close()

    def heal(self) -> None:
        services = self.services
        self.is_led_here = True
        services.publish(ServerResume(server="local"))
        for seconds in (*[61] * 60, *[4000] * 40, 100_000):
            services.pass_time(seconds)
            services.sweep()
            while self.all_goes_well(finishing=True):
                pass

    def all_goes_well(self, *, finishing: bool) -> bool:
        """Deliver all that is due, once; with `finishing`, workers do what they are at. Return whether that was any."""
        services = self.services
        due = [message for message in services.messages if message.due_at <= services.now]
        for message in due:
            services.messages.remove(message)
            services.deliver(message)
        for run in [*services.runs] if finishing else ():
            services.finish(run)
        return bool(due)

    def the_services_agree(self) -> None:
        services = self.services
        assert [message for message in services.messages if message.due_at <= services.now] == []
        case = Case(
            ORDER,
            orders=[
                facts(OrderFacts, row, has_reason=bool(row.cause or row.cancel_reason))
                for row in services.orders.values()
            ],
            installs=[
                facts(InstallFacts, row, has_outcome=bool(row.completed or row.cause or row.reason))
                for row in services.installs.values()
            ],
            mails=[
                facts(MailFacts, row, has_outcome=bool(row.message_id or row.cause or row.reason))
                for row in services.mails.values()
            ],
        )
        assert [*audited.check(case, services.now), *agreement.check(case)] == []
        assert all(
            row.lease_owner is None
            for rows in (services.orders, services.installs, services.mails)
            for row in rows.values()
        )
        done = [row for row in services.installs.values() if row.state == Install.INSTALLED]
        newest = max(done, key=lambda row: row.generation).install_id if done else None
        assert services.account.served in {newest, *self.given_up}
        assert {row.state for row in services.mails.values()} <= {Letter.SENT, Letter.FAILED, Letter.SUPPRESSED}


def facts(kind: Any, row: Any, **known: bool) -> Any:
    """Return what an audit reads of a row."""
    derived = {"has_account": getattr(row, "account", None) is not None, **known}
    return kind(**{name: derived.get(name, getattr(row, name, None)) for name in kind._fields})


def test_whatever_is_delivered_lost_or_late_orders_installs_and_mails_agree() -> None:
    run_state_machine_as_test(AnyInterleaving, settings=of_machine(examples=100, steps=50))
