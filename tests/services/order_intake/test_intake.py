"""What becomes of an order: every way a handler can decide, on rows in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from foundation.broker.sender import OURSELVES, Sender
from foundation.config.keys import Sealer, generate_keys
from foundation.config.queues import INSTALLER_NOW, INTAKE_ORDERS
from foundation.config.settings import Limits, Settings
from foundation.errors import IllegalTransition
from foundation.handling.outcomes import Done, Effect, GivenUp, Outcome, Park, Retry
from foundation.handling.unit_of_work import UnitOfWork
from schemas.envelope import Event
from schemas.installs import InstallCancelled, InstallCompleted, InstallFailed, SiteSpec
from schemas.orders import (
    OrderAmend,
    OrderCancel,
    OrderCancelled,
    OrderPlaced,
    OrderReinstall,
    OrderReinstallRequested,
)
from schemas.values import AccountRef, Cause, CauseKind, Customer, Model
from services.order_intake.creating import MAX_WAITS
from services.order_intake.intake import Intake
from services.order_intake.orders import LEASE, MAX_ATTEMPTS, OVERDUE, TRANSITIONS, Order
from services.order_intake.rows import OrderRows
from services.order_intake.states import InstallState, OrderState
from tests.support.house import FakeServer
from tests.support.in_memory import at, emitted, event_of, event_types, redelivered, unit_of_work

pytestmark = pytest.mark.usefixtures("quiet")

JO, ANN = (Customer(name=name, email=f"{name}@customer.example") for name in ("Jo", "Ann"))
ACCOUNT = AccountRef(server="local", username="shopx", domain="shop.example", address="203.0.113.7")
SHOP = Sender("orders", user_id="shop")


def cause(code: str = "server_down", kind: CauseKind = CauseKind.TRANSIENT) -> Cause:
    return Cause(code=code, kind=kind, detail="on purpose", remedy="")


def placed(number: int = 1, *, domain: str = "", customer: Customer = JO, **more: Any) -> OrderPlaced:
    domain = domain or f"shop{number}.example"
    fields = {"order_id": f"order-{number}", "site_type": "static", "domain": domain, "customer": customer}
    return OrderPlaced(**{**fields, **more})


def of_install(kind: type[Model], generation: int = 1, **more: Any) -> Any:
    ref = {"install_id": f"order-1-g{generation}", "order_id": "order-1", "generation": generation}
    site = SiteSpec(site_type="static", url="http://x.example/", title="X")
    return kind.model_validate(
        {**ref, "site": site, "account": ACCOUNT, "customer": JO, "application": "S", "version": "1", "seconds": 1}
        | {"attempt": 1, "next": "try again", "reason": "staff did", **more}
    )


@dataclass
class Desk:
    """An order intake and its rows."""

    limits: Limits = field(default_factory=Limits)
    rows: OrderRows = field(default_factory=OrderRows)
    said: list[str] = field(default_factory=list)
    redelivered: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sites = {"static": {"stage": False}}
        settings = Settings(keys={"public": generate_keys()[0]}, limits=self.limits, sites=sites)
        self.intake = Intake(settings, {"local": FakeServer()}, Sealer(settings.keys.public))

    @property
    def order(self) -> Order:
        found = self.rows.orders.get("order-1")
        assert found
        return found

    def does(
        self,
        handler: Callable[[UnitOfWork[OrderRows], Event[Any]], Outcome | Effect],
        data: Model,
        seconds: float = 0,
        *,
        source: str = "/test",
        sender: Sender = SHOP,
        id: str = "id",
    ) -> Outcome | Effect:
        uow = unit_of_work(self.rows, "order-intake", seconds)
        uow.sender = sender
        event = event_of(data, source, seconds).model_copy(update={"id": id})
        result = handler(uow, event)
        self.event_types, self.redelivered, self.events = event_types(uow), redelivered(uow), emitted(uow)
        return result

    def place(self, seconds: float = 0, data: OrderPlaced | None = None, **how: Any) -> Outcome | Effect:
        return self.does(self.intake.place, data or placed(), seconds, **how)

    def claimed(self, seconds: float = 0, data: OrderPlaced | None = None, **how: Any) -> Effect:
        effect = self.place(seconds, data, **how)
        assert isinstance(effect, Effect)
        return effect

    def succeeds(self, effect: Effect, seconds: float = 0, result: Any = ACCOUNT) -> Outcome | Effect:
        return self.does(lambda uow, event: effect.succeeded(uow, effect.claim, event, result), placed(), seconds)

    def fails(self, effect: Effect, why: Cause, seconds: float = 0) -> Outcome | Effect:
        return self.does(lambda uow, event: effect.failed(uow, effect.claim, event, why), placed(), seconds)

    def create(self) -> None:
        self.succeeds(self.claimed())

    def fail(self) -> None:
        self.fails(self.claimed(), cause("server_denied", CauseKind.CONFIGURATION))

    def take_back(self, seconds: float = 0) -> Outcome | Effect:
        """Handle what it has sent to itself."""
        withdrawn = OrderCancelled(order_id="order-1")
        return self.does(
            self.intake.changes.cancel, withdrawn, seconds, source="/sitecrew/order-intake", sender=OURSELVES
        )


# Placed


def test_a_new_order_is_claimed() -> None:
    desk = Desk()
    assert desk.claimed().claim == desk.order
    assert (desk.order.state, desk.order.attempt, desk.order.fence) == (OrderState.ACCEPTED, 1, 1)
    assert (desk.order.lease_until, desk.order.check_at) == (at(0) + LEASE, at(0) + LEASE + OVERDUE)
    assert (desk.order.install_state, desk.order.user_id) == (InstallState.NONE, "shop")


def test_what_cannot_be_sold_leaves_no_row() -> None:
    desk = Desk()
    assert isinstance(desk.place(data=placed(site_type="nothing")), Park)
    assert (desk.event_types, desk.rows.orders.all()) == (["order.rejected"], [])


def test_orders_of_one_batch_see_each_others_domains() -> None:
    desk = Desk()
    desk.claimed(data=placed(1, domain="idx.example"))
    for number, domain in ((2, "mail.idx.example"), (3, "a.b.idx.example")):
        assert isinstance(desk.place(data=placed(number, domain=domain, customer=ANN)), Park)
    desk.claimed(data=placed(4, domain="mail.idx.example"))
    desk.claimed(data=placed(5, domain="xidx.example", customer=ANN))
    assert isinstance(desk.place(data=placed(6, domain="idx.example", customer=ANN)), Park), "it is above another's"


def test_a_domain_that_was_given_back_in_the_same_batch_is_free() -> None:
    desk = Desk()
    desk.fails(desk.claimed(data=placed(domain="idx.example")), cause(kind=CauseKind.CONFIGURATION))
    release = desk.take_back()
    assert isinstance(release, Effect)
    assert isinstance(desk.place(data=placed(2, domain="a.idx.example", customer=ANN)), Park)
    desk.succeeds(release, result=True)
    desk.claimed(data=placed(2, domain="a.idx.example", customer=ANN))
    again = desk.place(data=placed(domain="idx.example"))
    assert isinstance(again, Park), "it has found its domain taken"


def test_an_order_above_the_limit_waits_its_turn() -> None:
    desk = Desk(Limits(orders_per_minute=2))
    desk.claimed(data=placed(7))
    desk.claimed(data=placed(8))
    waits = desk.place()
    assert isinstance(waits, Retry)
    assert waits.at == at(60)
    assert (desk.order.attempt, desk.order.due_at, desk.order.check_at) == (0, at(60), at(60) + OVERDUE)
    desk.claimed(data=placed(9), sender=Sender("orders", user_id="other"))
    assert desk.claimed(60).claim.attempt == 1


def test_the_same_order_again_waits_only_if_it_moves_the_order() -> None:
    desk = Desk()
    desk.claimed()
    moves_it = desk.place(1)
    assert isinstance(moves_it, Retry)
    assert moves_it.at == at(0) + LEASE
    assert desk.place(1, id="a copy") == Done()
    assert desk.event_types == ["order.known"]
    woken = desk.place(1, source="/sitecrew/order-intake", sender=OURSELVES)
    assert isinstance(woken, Retry)


def test_an_order_whose_worker_was_lost_is_another_attempt() -> None:
    desk = Desk()
    desk.claimed()
    assert desk.claimed(31, id="a copy").claim.fence == 2
    assert (desk.order.attempt, desk.order.event_id) == (2, "a copy")
    assert desk.event_types == ["account.retrying"]
    assert desk.order.cause is not None
    assert desk.order.cause.code == "worker_lost"


def test_an_order_that_has_lost_too_many_workers_fails() -> None:
    desk = Desk()
    for number in range(MAX_ATTEMPTS + 1):
        desk.claimed(31 * number)
    lost = desk.place(1000)
    assert isinstance(lost, GivenUp)
    assert desk.order.cause
    assert desk.order.cause.code == "worker_lost"
    assert (desk.event_types, desk.redelivered) == (["account.failed"], [INTAKE_ORDERS])


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (placed(domain="other.example"), {}),
        (placed(), {"source": "/other"}),
        (placed(), {"sender": Sender("orders", user_id="other")}),
        (placed(), {"source": "/sitecrew/order-intake"}),
    ],
)
def test_another_order_under_its_id_is_rejected(data: OrderPlaced, how: dict[str, Any]) -> None:
    desk = Desk()
    desk.claimed()
    before = desk.order
    conflict = desk.place(data=data, **how)
    assert isinstance(conflict, Park)
    assert (conflict.cause.code, desk.order) == ("order_conflict", before)


def test_an_order_that_is_created_or_cancelled_is_known() -> None:
    desk = Desk()
    desk.create()
    assert desk.place() == Done()
    assert [event.data.install_state for event in desk.events] == ["staged"]
    desk.does(desk.intake.changes.cancel, OrderCancelled(order_id="order-1"))
    assert desk.place() == Done()
    assert [event.data.state for event in desk.events] == ["cancelled"]
    assert desk.place(source="/sitecrew/order-intake", sender=OURSELVES) == Done()
    assert desk.event_types == [], "nobody waits for what we have woken"


def test_a_failed_order_has_all_its_attempts_again() -> None:
    desk = Desk()
    desk.fail()
    assert desk.claimed(1).claim.fence == 2
    assert (desk.order.attempt, desk.order.attempts_before, desk.order.cause) == (1, 1, None)


def test_a_failed_order_whose_server_is_gone_fails_again() -> None:
    desk = Desk()
    desk.fail()
    vars(desk.intake._staging)["_servers"] = {}
    gone = desk.place(1)
    assert isinstance(gone, GivenUp)
    assert desk.order.cause
    assert (desk.order.cause.code, desk.order.state) == ("not_configured", OrderState.FAILED)


# Its account


def test_the_account_is_there_and_the_install_is_staged() -> None:
    desk = Desk()
    desk.create()
    assert (desk.event_types, desk.redelivered) == (["account.created", "install.staged"], [INSTALLER_NOW])
    assert (desk.order.state, desk.order.generation) == (OrderState.CREATED, 1)
    assert (desk.order.lease_owner, desk.order.install_state) == (None, InstallState.STAGED)


def test_what_was_corrected_meanwhile_is_staged() -> None:
    desk = Desk()
    effect = desk.claimed()
    desk.does(desk.intake.commands()[OrderAmend], OrderAmend(order_id="order-1", name="Ann"))
    desk.succeeds(effect)
    assert desk.events[-1].data.customer.name == "Ann"


def test_an_account_for_a_cancelled_order_has_its_domain_taken_back() -> None:
    desk = Desk()
    effect = desk.claimed()
    desk.does(desk.intake.changes.cancel, OrderCancelled(order_id="order-1"))
    assert isinstance(desk.take_back(), Retry), "its account is being created"
    desk.succeeds(effect)
    assert (desk.event_types, desk.redelivered, desk.order.holds_domain) == ([], [INTAKE_ORDERS], True)
    assert isinstance(desk.take_back(), Effect)


def test_what_a_worker_brings_back_that_lost_its_order_is_dropped() -> None:
    desk = Desk()
    first = desk.claimed()
    second = desk.claimed(31, id="a copy")
    before = desk.order
    assert desk.succeeds(first) == Done()
    assert isinstance(desk.fails(first, cause(kind=CauseKind.CONFIGURATION)), Retry)
    assert (desk.order, desk.event_types, desk.redelivered) == (before, [], [])
    desk.succeeds(second)
    assert desk.order.state == OrderState.CREATED


def test_pauses_double_and_the_last_attempt_fails() -> None:
    desk, now, pauses = Desk(), 0.0, []
    for _ in range(MAX_ATTEMPTS - 1):
        again = desk.fails(desk.claimed(now), cause(), now)
        assert isinstance(again, Retry)
        pauses.append((again.at - at(now)).total_seconds())
        now += pauses[-1]
        assert isinstance(desk.place(now - 1), Retry), "its time has not come"
    assert pauses == [10, 20, 40, 80, 160]
    assert isinstance(desk.fails(desk.claimed(now), cause(), now), GivenUp)
    assert (desk.event_types, desk.redelivered) == (["account.failed"], [INTAKE_ORDERS])


def test_a_username_that_is_taken_costs_an_attempt_and_no_pause() -> None:
    desk, names = Desk(), []
    for number in range(MAX_ATTEMPTS):
        effect = desk.claimed()
        names.append(effect.claim.username)
        last = desk.fails(effect, cause("username_taken", CauseKind.CONFLICT))
        assert isinstance(last, Retry if number < MAX_ATTEMPTS - 1 else GivenUp)
    assert len(set(names)) == MAX_ATTEMPTS


def test_waiting_for_room_costs_no_attempt_but_does_not_last_for_ever() -> None:
    desk, now, full = Desk(), 0.0, cause("disk_full", CauseKind.CAPACITY)
    for _ in range(MAX_WAITS):
        again = desk.fails(desk.claimed(now), full, now)
        assert isinstance(again, Retry)
        assert again.at - at(now) <= timedelta(minutes=10)
        assert desk.order.attempt == 0
        now = (again.at - at(0)).total_seconds()
    assert isinstance(desk.fails(desk.claimed(now), full, now), GivenUp)


def test_an_order_that_was_not_begun_is_anybodys() -> None:
    desk = Desk()
    effect = desk.claimed()
    given_back = effect.not_begun
    assert given_back
    assert isinstance(desk.does(lambda uow, event: given_back(uow, effect.claim, event), placed()), Retry)
    assert desk.order.attempt == 0
    assert desk.claimed().claim.attempt == 1


# Its domain


def test_a_domain_is_given_back_under_a_claim() -> None:
    desk = Desk()
    desk.fail()
    release = desk.take_back()
    assert isinstance(release, Effect)
    assert isinstance(desk.place(1), Retry), "nobody tries it meanwhile"
    desk.fails(release, cause(), 5)
    assert (desk.order.holds_domain, desk.order.check_at) == (True, at(5) + OVERDUE)
    release = desk.take_back(6)
    assert isinstance(release, Effect)
    desk.succeeds(release, 7, True)
    assert (desk.order.holds_domain, desk.order.check_at, desk.order.attempt) == (False, None, 1)
    assert desk.order.cause, "why it failed is still to be seen"
    assert desk.take_back(8) == Done()


def test_a_release_that_has_lost_its_order_changes_nothing() -> None:
    desk = Desk()
    desk.fail()
    release = desk.take_back()
    assert isinstance(release, Effect)
    desk.claimed(31)
    before = desk.order
    desk.succeeds(release, 32, True)
    desk.fails(release, cause(), 32)
    assert desk.order == before


# Its installs


def test_a_completed_install_ends_the_announcements() -> None:
    desk = Desk()
    desk.create()
    desk.does(desk.intake.install_completed, of_install(InstallCompleted))
    assert (desk.order.has_site, desk.order.check_at, desk.order.is_installed) == (True, None, True)
    refused = desk.does(desk.intake.changes.cancel, OrderCancelled(order_id="order-1"))
    assert isinstance(refused, Park)
    assert refused.cause.code == "already_installed"


def test_a_cancel_that_came_too_late_is_undone() -> None:
    desk = Desk()
    desk.create()
    desk.does(desk.intake.changes.cancel, OrderCancelled(order_id="order-1"))
    assert desk.event_types == ["install.cancel", "order.withdrawn"]
    desk.does(desk.intake.install_completed, of_install(InstallCompleted))
    assert (desk.order.state, desk.order.gives_domain_back) == (OrderState.CREATED, False)


def test_a_failed_install_is_announced_no_more_but_its_cancel_is() -> None:
    desk = Desk()
    desk.create()
    desk.does(desk.intake.install_failed, of_install(InstallFailed, cause=cause()))
    assert (desk.order.install_state, desk.order.check_at) == (InstallState.FAILED, None)
    desk = Desk()
    desk.create()
    desk.does(desk.intake.changes.cancel, OrderCancelled(order_id="order-1"))
    desk.does(desk.intake.install_failed, of_install(InstallFailed, cause=cause()))
    assert desk.order.check_at == at(0) + OVERDUE


def test_news_of_an_end_stay_whatever_comes_after_them() -> None:
    desk = Desk()
    desk.create()
    desk.does(desk.intake.install_completed, of_install(InstallCompleted))
    before = desk.order
    desk.does(desk.intake.install_failed, of_install(InstallFailed, cause=cause()), 1)
    assert desk.order == before


def test_a_withdrawn_order_gives_its_domain_back_when_all_its_installs_are_over() -> None:
    desk = Desk()
    desk.create()
    desk.does(desk.intake.changes.reinstall, OrderReinstallRequested(order_id="order-1"))
    desk.does(desk.intake.changes.cancel, OrderCancelled(order_id="order-1"))
    assert desk.event_types == ["install.cancel", "install.cancel", "order.withdrawn"]
    desk.does(desk.intake.install_cancelled, of_install(InstallCancelled, generation=2))
    assert (desk.redelivered, desk.order.check_at) == ([], at(0) + OVERDUE)
    for told in ([INTAKE_ORDERS], []):
        desk.does(desk.intake.install_cancelled, of_install(InstallCancelled))
        assert desk.redelivered == told, "it is told once"


def test_an_install_that_staff_cancelled_leaves_its_order() -> None:
    desk = Desk()
    desk.create()
    desk.does(desk.intake.install_cancelled, of_install(InstallCancelled))
    assert (desk.order.state, desk.order.check_at, desk.redelivered) == (OrderState.CREATED, None, [])
    assert desk.order.cancel_reason == "staff did"


@pytest.mark.parametrize("kind", [InstallCompleted, InstallFailed, InstallCancelled])
def test_news_of_unknown_orders_change_nothing(kind: type[Model]) -> None:
    desk = Desk()
    assert desk.does(desk.intake.installs()[kind], of_install(kind, cause=cause())) == Done()
    assert desk.rows.orders.all() == []


# What is asked of it


def test_reinstalls_are_counted_within_the_hour() -> None:
    desk = Desk(Limits(reinstalls_per_hour=2))
    desk.create()
    again = OrderReinstallRequested(order_id="order-1", blog_name="Anew")
    for seconds, rejected in ((0, False), (10, False), (20, True), (3601, False), (3605, True), (3611, False)):
        assert isinstance(desk.does(desk.intake.changes.reinstall, again, seconds), Park) == rejected
    assert (desk.order.generation, desk.order.title) == (5, "Anew")
    desk.does(desk.intake.commands()[OrderReinstall], OrderReinstall(order_id="order-1"), 3612)
    assert desk.order.generation == 6, "staff may"


def test_a_reinstall_waits_for_the_account() -> None:
    desk = Desk()
    effect = desk.claimed()
    again = OrderReinstallRequested(order_id="order-1")
    waits = desk.does(desk.intake.changes.reinstall, again)
    assert isinstance(waits, Retry)
    assert waits.at == at(0) + LEASE
    desk.fails(effect, cause(kind=CauseKind.CONFIGURATION))
    failed = desk.does(desk.intake.changes.reinstall, again)
    assert isinstance(failed, Park)
    assert failed.cause.code == "order_failed"


@pytest.mark.parametrize("data", [OrderCancelled(order_id="order-1"), OrderReinstallRequested(order_id="order-1")])
def test_what_speaks_of_an_unknown_order_may_be_early_or_somebody_elses(data: Model) -> None:
    desk = Desk()
    handler = desk.intake.orders()[type(data)]
    assert isinstance(desk.does(handler, data), Retry)
    desk.claimed()
    foreign = desk.does(handler, data, source="/other")
    assert isinstance(foreign, Park)
    assert foreign.cause.code == "not_yours"


@pytest.mark.parametrize("command", [OrderCancel, OrderReinstall, OrderAmend])
def test_staff_are_told_that_there_is_no_such_order(command: type[Model]) -> None:
    desk = Desk()
    assert desk.does(desk.intake.commands()[command], command(order_id="order-1")) == Done()
    assert desk.event_types == ["command.refused"]


# Its states


@pytest.mark.parametrize("state", OrderState)
def test_an_order_goes_only_where_its_states_lead(state: OrderState) -> None:
    desk = Desk()
    desk.claimed()
    order = desk.order
    vars(order)["state"] = state
    ways: list[tuple[OrderState, Callable[[], Order]]] = [
        (OrderState.ACCEPTED, lambda: order.again(at(1))),
        (OrderState.ACCEPTED, lambda: order.renamed(at(1))),
        (OrderState.CREATED, lambda: order.created(ACCOUNT, at(1), at(1))),
        (OrderState.FAILED, lambda: order.failed(cause(), at(1))),
        (OrderState.CANCELLED, lambda: order.cancelled("no", at(1))),
    ]
    for target, way in ways:
        if target in TRANSITIONS[state]:
            assert way().state == target
        else:
            with pytest.raises(IllegalTransition):
                way()
