"""What order intake loads and writes for a batch, on both kinds of database."""

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import event

from foundation.config.keys import Sealer, generate_keys
from foundation.config.settings import Limits, Settings
from foundation.handling.outcomes import Effect, Outcome, Park, Retry
from foundation.handling.unit_of_work import Database
from schemas.envelope import Event
from schemas.installs import InstallCompleted
from services.order_intake import rows as loading
from services.order_intake.intake import Intake
from services.order_intake.orders import ORDERS, Order, candidate
from services.order_intake.rows import OrderRows, load
from services.order_intake.service import MIGRATIONS
from tests.services.order_intake.test_intake import ACCOUNT, ANN, cause, of_install, placed
from tests.support.house import START, FakeServer
from tests.support.in_memory import event_of
from tests.support.rows import on_each_store
from tests.support.statements import statements

pytestmark = pytest.mark.usefixtures("quiet")


database = on_each_store("order-intake", MIGRATIONS, load)


def intake(**limits: int) -> Intake:
    public, sites = generate_keys()[0], {"static": {"stage": False}}
    settings = Settings(keys={"public": public}, limits=Limits(**limits), sites=sites)
    return Intake(settings, {"local": FakeServer()}, Sealer(public))


def place(database: Database[OrderRows], *events: Event[Any], **limits: int) -> list[Outcome | Effect]:
    """All of them in one batch."""
    with database.begin(events) as uow:
        return [intake(**limits).place(uow, event) for event in events]


def stored(database: Database[OrderRows], number: int) -> Order:
    with database.store.reading() as connection:
        found = ORDERS.get(connection, f"order-{number}")
    assert found
    return found


def installed(database: Database[OrderRows], numbers: Sequence[int]) -> int:
    """Place orders, create their accounts and hear of their installs; how many statements that took."""
    one, events = intake(orders_per_minute=1000), [event_of(placed(number)) for number in numbers]
    news = [event_of(of_install(InstallCompleted, order_id=f"order-{number}")) for number in numbers]
    with statements(database) as executed:
        with database.begin(events) as uow:
            effects = [one.place(uow, event) for event in events]
        with database.begin(events) as uow:
            for effect, event in zip(effects, events, strict=True):
                assert isinstance(effect, Effect)
                effect.succeeded(uow, effect.claim, event, ACCOUNT)
        with database.begin(news) as uow:
            for event in news:
                one.install_completed(uow, event)
    return len(executed)


def test_many_orders_take_no_more_statements_than_one(database: Database[OrderRows]) -> None:
    assert installed(database, [1]) == installed(database, range(2, 60))
    assert all(stored(database, number).has_site for number in (1, 59))


def test_no_statement_compares_all_orders_with_those_of_a_batch(database: Database[OrderRows]) -> None:
    place(database, *(event_of(placed(number)) for number in range(300)), orders_per_minute=1000)
    seen: list[tuple[str, Any]] = []

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            seen.append((statement, parameters))

    event.listen(database.store.engine, "before_cursor_execute", note)
    place(database, *(event_of(placed(number)) for number in range(300, 400)), orders_per_minute=1000)
    explain = "EXPLAIN QUERY PLAN" if database.store.is_sqlite else "EXPLAIN"
    assert seen
    with database.store.reading() as connection:
        for statement, parameters in seen:
            plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
            assert "SCAN orders" not in plan
            assert "Join Filter" not in plan


def test_usernames_that_are_taken_are_passed_over(
    database: Database[OrderRows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of other orders, and those of the same batch."""
    monkeypatch.setattr(loading, "candidate", lambda _domain, _id, number: f"name{number}")
    place(database, event_of(placed(1)))
    place(database, *[event_of(placed(number)) for number in (2, 3, 4)])
    assert {stored(database, number).username for number in (1, 2, 3, 4)} == {"name0", "name1", "name2", "name3"}


def test_the_first_username_is_that_of_the_domain(database: Database[OrderRows]) -> None:
    place(database, event_of(placed(1)))
    assert stored(database, 1).username == candidate("shop1.example", "order-1", 0)


@pytest.mark.parametrize(
    ("held", "wished"),
    [
        ("idx.example", "mail.idx.example"),
        ("a.b.idx.example", "idx.example"),
        ("xn--mller-kva.example", "www.xn--mller-kva.example"),
    ],
)
def test_domains_around_those_of_a_batch_are_found(database: Database[OrderRows], held: str, wished: str) -> None:
    place(database, event_of(placed(1, domain=held)), event_of(placed(2, domain="other.example")))
    batch = [placed(3, domain=wished, customer=ANN), placed(4, domain=wished), placed(5, domain=f"x{held}")]
    refused, same_customer, beside = place(database, *map(event_of, batch))
    assert isinstance(refused, Park)
    assert isinstance(same_customer, Effect)
    assert isinstance(beside, Effect)


def test_a_domain_that_its_order_has_given_back_is_not_found(database: Database[OrderRows]) -> None:
    place(database, event_of(placed(1, domain="idx.example")))
    with database.begin([event_of(placed(1))]) as uow:
        (order,) = uow.rows.orders.all()
        uow.rows.orders.save(order.failed(cause(), START).without_domain(START))
    (sold,) = place(database, event_of(placed(2, domain="mail.idx.example", customer=ANN)))
    assert isinstance(sold, Effect)
    (again,) = place(database, event_of(placed(1, domain="idx.example")))
    assert isinstance(again, Park)


def test_copies_in_one_batch_are_one_order(database: Database[OrderRows]) -> None:
    first, copy, other = place(
        database,
        event_of(placed(1)),
        event_of(placed(1)).model_copy(update={"id": "a copy"}),
        event_of(placed(1, domain="other.example")),
    )
    assert isinstance(first, Effect)
    assert not isinstance(copy, Effect)
    assert isinstance(other, Park)
    assert stored(database, 1).domain == "shop1.example"


def test_turns_go_on_from_those_that_are_stored(database: Database[OrderRows]) -> None:
    place(database, event_of(placed(1)), event_of(placed(2)), orders_per_minute=2)
    results = place(database, event_of(placed(3)), event_of(placed(4)), event_of(placed(5)), orders_per_minute=2)
    waits = [(result.at - START).total_seconds() for result in results if isinstance(result, Retry)]
    assert waits == [60, 60, 120]


def test_orders_that_nobody_moves_are_woken_once(database: Database[OrderRows]) -> None:
    place(database, event_of(placed(1)))
    said: list[Any] = []
    later = Database(
        database.store, "order-intake", lambda: START.replace(hour=14), lambda it, _: said.extend(it), load
    )
    for _ in range(2):
        intake().recover(later)
    assert [message.routing_key for message in said] == ["intake.orders"]
