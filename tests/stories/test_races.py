"""Several at once on one store: exactly one wins, and the losers say nothing."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import MagicMock

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from foundation.broker import codec
from foundation.config.keys import Sealer, generate_keys
from foundation.config.queues import INSTALLER_NOW
from foundation.config.settings import Limits, Settings
from foundation.errors import Failed, StoreUnreachable
from foundation.handling.outcomes import Done, Effect, Retry
from foundation.handling.relay import Relay
from foundation.handling.unit_of_work import Database, Load, UnitOfWork
from foundation.handling.worker import Worker
from foundation.hosting.causes import failed
from foundation.store import Store
from foundation.store.lease import Terms
from foundation.store.outbox import OutboxMessage  # noqa: TC001  # as every import here
from schemas.envelope import Event
from schemas.installs import InstallCancel, InstallCompleted, InstallStaged, SiteSpec
from schemas.orders import OrderCancelled, OrderPlaced, OrderReinstallRequested
from schemas.values import AccountRef, Customer, Model
from services.installer import rows as install_rows
from services.installer.commands import Commands
from services.installer.install import Installing
from services.installer.installs import INSTALLS, Install, goes_on
from services.installer.recovery import Recovery
from services.installer.service import MIGRATIONS as INSTALLER
from services.installer.sites import Job
from services.installer.states import MailState, State
from services.mailer import rows as mail_rows
from services.mailer.delivery import Welcoming
from services.mailer.service import MIGRATIONS as MAILER
from services.order_intake import rows as order_rows
from services.order_intake.intake import Intake
from services.order_intake.orders import ORDERS, Order
from services.order_intake.service import MIGRATIONS as INTAKE
from services.order_intake.states import OrderState
from tests.support.house import (
    PATIENCE,
    START,
    FakeInstaller,
    FakeServer,
    Gate,
    House,
    Service,
    failure,
    kind,
    new_database,
)
from tests.support.postgres import Postgres, until_blocked
from tests.support.rows import install_of, no_rows

pytestmark = pytest.mark.usefixtures("quiet")

CUSTOMER = Customer(name="Jo", email="jo@customer.example")
ACCOUNT = AccountRef(server="local", username="shopx", domain="x.example", address="203.0.113.7")


class Replicas:
    """One database, and as many replicas of the services on it as a test wants, each with connections
    of its own, as processes would have."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.said: list[OutboxMessage] = []
        self.settings = Settings(keys={"public": generate_keys()[0]})
        self.sealer = Sealer(self.settings.keys.public)
        self.now = START
        self._stores: list[Store] = []

    def database(self, load: Load[Any] = no_rows) -> Database[Any]:
        self._stores.append(Store(self.url))
        return Database(self._stores[-1], "test", lambda: self.now, lambda it, _: self.said.extend(it), load)

    def orders(self) -> Database[Any]:
        return self.database(order_rows.load)

    def installing(self) -> Installing:
        return Installing(self.settings, {}, {}, self.sealer)

    def intake(self) -> Intake:
        return Intake(self.settings, {"local": FakeServer()}, self.sealer)

    def handle(self, database: Database, handler: Callable[[UnitOfWork, Event[Any]], Any], data: Model) -> Any:
        """As a worker does in a turn: whoever inserts what another has just inserted looks again."""
        event = codec.envelope(data, id="id", source="/test", subject="order", time=self.now)
        with suppress(IntegrityError), database.begin([event]) as uow:
            return handler(uow, event)
        with database.begin([event]) as uow:
            return handler(uow, event)

    def counted(self) -> Counter[str]:
        return Counter(kind(pending.type) for pending in self.said)

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replicas]:
    """On every database that the services run on: on PostgreSQL, transactions overlap."""
    migrations = (INTAKE, INSTALLER, MAILER)
    if request.param == "sqlite":
        (tmp_path / "store.db").write_bytes(new_database(*migrations))
        replicas = Replicas(f"sqlite:///{tmp_path}/store.db")
    else:
        replicas = Replicas(request.getfixturevalue("postgres").database())
        replicas.database().store.migrate(migrations)
    yield replicas
    replicas.close()


def staged(number: int, generation: int = 1) -> InstallStaged:
    return InstallStaged(
        install_id=f"order-{number}-g{generation}",
        order_id=f"order-{number}",
        generation=generation,
        due_at=START,
        site=SiteSpec(site_type="wordpress", url="http://x.example/", title="X"),
        account=ACCOUNT,
        customer=CUSTOMER,
    )


def completed(number: int) -> InstallCompleted:
    known = staged(number).model_dump(exclude={"due_at", "cause"})
    return InstallCompleted(**known, application="WordPress", version="6", seconds=1)


def placed(number: int) -> OrderPlaced:
    return OrderPlaced(
        order_id=f"order-{number}", site_type="wordpress", domain=f"x{number}.example", customer=CUSTOMER
    )


def races(count: int, *contenders: Callable[[int], Any]) -> list[list[Any]]:
    """Let them all begin at the same moment, again and again; what each of them got each time."""
    start = threading.Barrier(len(contenders))

    def run(contender: Callable[[int], Any]) -> list[Any]:
        results = []
        for number in range(count):
            start.wait(PATIENCE)
            results.append(contender(number))
        return results

    with ThreadPoolExecutor(len(contenders)) as pool:
        return [list(results) for results in zip(*pool.map(run, contenders), strict=True)]


def keep(database: Database, known: Iterable[Install]) -> None:
    """Write installs down."""
    with database.begin() as uow:
        for install in known:
            uow.rows.installs.save(install)


def states(replicas: Replicas, numbers: Sequence[int], generation: int = 1) -> list[State]:
    with replicas.database().store.reading() as connection:
        found = [INSTALLS.get(connection, f"order-{number}-g{generation}") for number in numbers]
    return [install.state for install in found if install]


# 15: cancel and claim


def test_of_a_cancel_and_a_claim_exactly_one_wins_a_thousand_times(replicas: Replicas) -> None:
    count = 1000
    ours, theirs = replicas.database(install_rows.load), replicas.database(install_rows.load)
    installing = replicas.installing()
    commands = Commands(installing, lambda: None)
    keep(ours, [install_of(staged(number), START) for number in range(count)])
    results = races(
        count,
        lambda number: replicas.handle(ours, installing.start, staged(number)),
        lambda number: replicas.handle(theirs, commands.cancel, InstallCancel(install_id=f"order-{number}-g1")),
    )
    ended = states(replicas, range(count))
    claimed, cancelled = ended.count(State.INSTALLING), ended.count(State.CANCELLED)
    assert claimed + cancelled == count
    runs = [state == State.INSTALLING for state in ended]
    assert [isinstance(result, Effect) for result, _ in results] == runs
    assert [isinstance(result, Retry) for _, result in results] == runs, "the cancel waits for the end of what runs"
    told = {"install.started": claimed, "install.cancelled": cancelled}
    assert replicas.counted() == {name: number for name, number in told.items() if number}


def test_of_a_cancel_and_a_running_install_exactly_one_wins(replicas: Replicas) -> None:
    count = 300 if replicas.url.startswith("sqlite") else 100
    ours, theirs = replicas.database(install_rows.load), replicas.database(install_rows.load)
    installer = FakeInstaller()

    def is_wanted(claim: Install) -> bool:
        with ours.store.reading() as connection:
            return goes_on(connection, claim)

    sites = {"wordpress": installer}
    installing = Installing(replicas.settings, {"local": FakeServer()}, sites, replicas.sealer, goes_on=is_wanted)
    commands = Commands(installing, lambda: None)
    runs = [replicas.handle(ours, installing.start, staged(number)) for number in range(count)]

    def install(number: int) -> None:
        run = runs[number]
        try:
            end, result = run.succeeded, run.run(run.claim)
        except Failed as failed:
            end, result = run.failed, failed.cause
        replicas.handle(ours, lambda uow, event: end(uow, run.claim, event, result), staged(number))

    def cancel(number: int) -> Any:
        return replicas.handle(theirs, commands.cancel, InstallCancel(install_id=f"order-{number}-g1"))

    races(count, install, cancel)
    for number in range(count):
        assert isinstance(cancel(number), Done)
    ended = states(replicas, range(count))
    served = {job.order_id for job in installer.installed}
    assert [f"order-{number}" in served for number in range(count)] == [state == State.INSTALLED for state in ended]
    assert set(ended) <= {State.INSTALLED, State.CANCELLED}
    told = replicas.counted()
    assert told["install.completed"] == len(served)
    assert told["install.cancelled"] == count - len(served)


# 18: many of each


def test_of_eight_installers_exactly_one_claims_each_install(replicas: Replicas) -> None:
    ledgers = [replicas.database(install_rows.load) for _ in range(8)]
    installers = [replicas.installing() for _ in range(8)]
    contenders = [
        lambda number, database=database, installing=installing: replicas.handle(
            database, installing.start, staged(number)
        )
        for database, installing in zip(ledgers, installers, strict=True)
    ]
    for results in races(40, *contenders):
        assert sum(isinstance(result, Effect) for result in results) == 1
    assert replicas.counted() == {"install.started": 40}


@pytest.mark.parametrize("known", [1, 0])
def test_two_generations_of_an_order_are_never_installed_at_the_same_time(replicas: Replicas, known: int) -> None:
    ours, theirs = replicas.database(install_rows.load), replicas.database(install_rows.load)
    keep(ours, [install_of(staged(number), START) for number in range(60 * known)])
    races(
        60,
        lambda number: replicas.handle(ours, replicas.installing().start, staged(number)),
        lambda number: replicas.handle(theirs, replicas.installing().start, staged(number, generation=2)),
    )
    together = zip(states(replicas, range(60)), states(replicas, range(60), generation=2), strict=True)
    assert (State.INSTALLING, State.INSTALLING) not in list(together)


@pytest.mark.parametrize("trouble", ["lost", "overdue", "unmailed"])
def test_of_four_reconcilers_exactly_one_brings_back_each_install(replicas: Replicas, trouble: str) -> None:
    ledgers = [replicas.database(install_rows.load) for _ in range(4)]
    known = [install_of(staged(number), START) for number in range(30)]
    if trouble != "overdue":
        known = [install.begun(Terms("somebody", timedelta(seconds=15)), START, 6) for install in known]
    if trouble == "unmailed":
        known = [install.installed(completed(n), MailState.WAITING, START) for n, install in enumerate(known)]
    keep(ledgers[0], known)
    replicas.now += timedelta(hours=1)
    reconcilers = [Recovery(replicas.installing()) for _ in ledgers]
    contenders = [
        lambda _, database=database, reconciler=reconciler: reconciler.recover(database)
        for database, reconciler in zip(ledgers, reconcilers, strict=True)
    ]
    races(3, *contenders)
    once = {"install.completed": 30} if trouble == "unmailed" else {"install.staged": 60}
    assert replicas.counted() == once, "to those who watch, and to the one who works"


def mailing(replicas: Replicas) -> Callable[[int], Any]:
    """One more mailer, which is told of the completed install of an order's number."""
    database = replicas.database(mail_rows.load)
    welcoming = Welcoming(replicas.settings, MagicMock(), MagicMock(), MagicMock(), lambda: replicas.now)
    return lambda number: replicas.handle(database, welcoming.welcome, completed(number))


def test_of_eight_mailers_exactly_one_claims_each_mail(replicas: Replicas) -> None:
    for results in races(40, *[mailing(replicas) for _ in range(8)]):
        assert sum(isinstance(result, Effect) for result in results) == 1


def test_replicas_count_the_mails_to_one_address_together(replicas: Replicas) -> None:
    replicas.settings = replicas.settings.model_copy(update={"limits": Limits(letters_per_hour=10)})
    mailers = [mailing(replicas) for _ in range(3)]
    contenders = [lambda number, mailer=mailer, own=own: mailer(number * 3 + own) for own, mailer in enumerate(mailers)]
    results = races(20, *contenders)
    assert sum(isinstance(result, Effect) for several in results for result in several) == 10
    replicas.now += timedelta(seconds=3601)
    assert isinstance(mailers[0](60), Effect)


def test_who_writes_to_a_new_address_waits_until_another_has_counted_its_letter_to_it(postgres: Postgres) -> None:
    """There is no row yet that could be locked; if both added it, one of the letters would have to be decided again."""
    replicas = Replicas(postgres.database())
    replicas.settings = replicas.settings.model_copy(update={"limits": Limits(letters_per_hour=1)})
    welcoming = Welcoming(replicas.settings, MagicMock(), MagicMock(), MagicMock(), lambda: replicas.now)
    ours, theirs = replicas.database(mail_rows.load), replicas.database(mail_rows.load)
    ours.store.migrate((MAILER,))

    def write(database: Database[Any], number: int, meanwhile: Callable[[], None]) -> Any:
        event = codec.envelope(completed(number), id=str(number), source="/test", subject="order", time=replicas.now)
        with database.begin([event]) as uow:
            outcome = welcoming.welcome(uow, event)
            meanwhile()
        return outcome

    with ThreadPoolExecutor(1) as pool:
        others: list[Future[Any]] = []

        def another_begins() -> None:
            others.append(pool.submit(write, theirs, 2, lambda: None))
            until_blocked(ours.store)

        assert isinstance(write(ours, 1, another_begins), Effect)
        assert isinstance(others[0].result(), Retry)
    replicas.close()


def placing(replicas: Replicas) -> Callable[[int], Any]:
    """One more order intake."""
    database, intake = replicas.orders(), replicas.intake()
    return lambda number: replicas.handle(database, intake.place, placed(number))


def test_of_eight_order_intakes_exactly_one_creates_each_account(replicas: Replicas) -> None:
    for results in races(40, *[placing(replicas) for _ in range(8)]):
        assert sum(isinstance(result, Effect) for result in results) == 1


def test_who_waits_for_an_order_that_another_accepts_sees_it_and_the_time_that_has_passed(postgres: Postgres) -> None:
    replicas = Replicas(postgres.database())
    ours, theirs, intake = replicas.orders(), replicas.orders(), replicas.intake()
    ours.store.migrate((INTAKE,))

    def copy_comes() -> tuple[Order | None, datetime]:
        with theirs.begin([placing_event(1)]) as uow:
            return uow.rows.orders.get("order-1"), uow.now

    with ThreadPoolExecutor(1) as pool:
        with ours.begin([placing_event(1)]) as uow:
            intake.place(uow, placing_event(1))
            copy = pool.submit(copy_comes)
            until_blocked(ours.store)
            replicas.now += timedelta(seconds=9)
        known, now = copy.result()
    replicas.close()
    assert known
    assert known.state == OrderState.ACCEPTED
    assert now == replicas.now, "a lease that is taken now lasts from now on"


def test_of_four_that_take_over_a_lost_order_exactly_one_does(replicas: Replicas) -> None:
    database = replicas.orders()
    for number in range(40):
        replicas.handle(database, replicas.intake().place, placed(number))
    replicas.now += timedelta(minutes=1)
    for results in races(40, *[placing(replicas) for _ in range(4)]):
        assert sum(isinstance(result, Effect) for result in results) == 1


def placing_event(number: int) -> Event[OrderPlaced]:
    return codec.envelope(placed(number), id="placed", source="/test", subject="order")


def test_a_cancel_is_not_lost_however_it_meets_the_end_of_the_account(replicas: Replicas) -> None:
    """Whichever comes first, the other sees it: nothing of a cancelled order stays staged."""
    ours, theirs, intake = replicas.orders(), replicas.orders(), replicas.intake()
    acts = [replicas.handle(ours, intake.place, placed(number)) for number in range(100)]

    def record(number: int) -> None:
        with ours.begin([placing_event(number)]) as uow:
            acts[number].succeeded(uow, acts[number].claim, placing_event(number), ACCOUNT)

    results = races(
        100,
        record,
        lambda number: replicas.handle(theirs, intake.changes.cancel, OrderCancelled(order_id=f"order-{number}")),
    )
    assert len(results) == 100
    assert {order.state for order in found_by(replicas, range(100))} == {OrderState.CANCELLED}
    counted = replicas.counted()
    assert counted["install.cancel"] == counted["account.created"]
    assert counted["install.staged"] == 2 * counted["account.created"]


def found_by(replicas: Replicas, numbers: Sequence[int]) -> list[Order]:
    with replicas.orders().store.reading() as connection:
        return [order for number in numbers if (order := ORDERS.get(connection, f"order-{number}"))]


def test_a_domain_is_given_back_however_the_cancel_meets_the_end_of_the_account(replicas: Replicas) -> None:
    """Whatever became of the account, its order has no site, and is woken until its domain is free."""
    ours, theirs, intake = replicas.orders(), replicas.orders(), replicas.intake()
    acts = [replicas.handle(ours, intake.place, placed(number)) for number in range(60)]

    def record(number: int) -> None:
        with ours.begin([placing_event(number)]) as uow:
            acts[number].succeeded(uow, acts[number].claim, placing_event(number), ACCOUNT)

    def cancel(number: int) -> Any:
        return replicas.handle(theirs, intake.changes.cancel, OrderCancelled(order_id=f"order-{number}"))

    races(60, record, cancel)
    waiting = [order for order in found_by(replicas, range(60)) if order.generation == 0]
    assert all(order.gives_domain_back for order in waiting)
    woken = Counter(str(said.correlation_id) for said in replicas.said if kind(said.type) == "order.cancelled")
    assert all(woken[order.order_id] for order in waiting), "each is looked at once more"


def test_of_those_who_give_a_domain_back_and_try_its_order_again_one_has_the_claim(replicas: Replicas) -> None:
    ours, theirs, intake = replicas.orders(), replicas.orders(), replicas.intake()
    gone = failed("server_denied", "on purpose").cause
    for number in range(40):
        act = replicas.handle(ours, intake.place, placed(number))
        with ours.begin([placing_event(number)]) as uow:
            act.failed(uow, act.claim, placing_event(number), gone)

    def give_back(number: int) -> Any:
        back = OrderCancelled(order_id=f"order-{number}")
        event = codec.envelope(back, id="woken", source="/sitecrew/test", subject="order", time=replicas.now)
        with theirs.begin([event]) as uow:
            return intake.changes.cancel(uow, event)

    again = placing(replicas)
    for results in races(40, again, give_back):
        assert sum(isinstance(result, Effect) for result in results) == 1


def test_of_neighbouring_names_for_several_customers_at_once_one_is_sold(replicas: Replicas) -> None:
    def ordering(customer: int) -> Callable[[int], Any]:
        database, intake = replicas.orders(), replicas.intake()
        labels = ("", "mail.", "a.mail.", "www.")

        def order(number: int) -> Any:
            wish = OrderPlaced(
                order_id=f"order-{number}-{customer}",
                site_type="wordpress",
                domain=f"{labels[customer]}x{number}.example",
                customer=Customer(name="Jo", email=f"jo{customer}@customer.example"),
            )
            return replicas.handle(database, intake.place, wish)

        return order

    for results in races(30, *[ordering(customer) for customer in range(4)]):
        accepted = [customer for customer, result in enumerate(results) if isinstance(result, Effect)]
        assert accepted in ([0], [1], [2], [3], [1, 3], [2, 3]), "siblings may stand beside each other"


def test_a_producers_limit_holds_whichever_replica_takes_its_orders(replicas: Replicas) -> None:
    limited = replicas.settings.model_copy(update={"limits": Limits(orders_per_minute=5)})
    replicas.settings = limited
    takers = [(replicas.orders(), replicas.intake()) for _ in range(4)]

    def taking(which: int) -> Callable[[int], Any]:
        database, intake = takers[which]
        return lambda number: replicas.handle(database, intake.place, placed(number * 4 + which))

    races(10, *[taking(which) for which in range(4)])
    with replicas.database().store.reading() as connection:
        turns = Counter(connection.execute(select(ORDERS.table.c.turn_at)).scalars())
    assert sorted(turns.values()) == [5] * 8
    assert max(turns) - min(turns) == timedelta(minutes=7)


def test_of_two_reinstalls_at_once_each_counts(replicas: Replicas) -> None:
    ours, theirs, intake = replicas.orders(), replicas.orders(), replicas.intake()
    for number in range(60):
        act = replicas.handle(ours, intake.place, placed(number))
        with ours.begin([placing_event(number)]) as uow:
            act.succeeded(uow, act.claim, placing_event(number), ACCOUNT)
    races(
        60,
        *[
            lambda number, database=database: replicas.handle(
                database, intake.changes.reinstall, OrderReinstallRequested(order_id=f"order-{number}")
            )
            for database in (ours, theirs)
        ],
    )
    assert {order.generation for order in found_by(replicas, range(60))} == {3}


class Crowd:
    """Eight installers, two relays and two reconcilers on one store, each in a thread of its own."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.stop = threading.Event()
        self.threads: list[threading.Thread] = []
        self.relays: list[Relay] = []
        for _ in range(2):
            store = house.store("installer", INSTALLER)
            relay = Relay(store, house.broker.publisher(), house.broker.topology, house.clock.now)
            database = Database(store, "installer", house.clock.now, relay.hand_over, install_rows.load)
            self.relays.append(relay)
            self._begin(relay.run, self.stop)
            self._begin(self._reconcile, database)
            for _ in range(4):
                worker = Worker(INSTALLER_NOW, self._installing().due(), database, capacity=3, threads=3)
                self._begin(worker.run, house.broker.consumer(INSTALLER_NOW, 40), self.stop)

    def __enter__(self) -> None:
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for relay in self.relays:
            relay.interrupt()
        for thread in self.threads:
            thread.join(PATIENCE)

    def _begin(self, loop: Callable[..., object], *arguments: object) -> None:
        self.threads.append(threading.Thread(target=loop, args=arguments))

    def _reconcile(self, database: Database) -> None:
        while not self.stop.wait(0.01):
            with suppress(StoreUnreachable):
                self.house.reconciler.recover(database)

    def _installing(self) -> Installing:
        house = self.house
        sealer = Sealer(house.settings.keys.public)
        return Installing(house.settings, {"local": house.server}, {"wordpress": house.installer}, sealer)


def test_eight_installers_two_relays_and_two_reconcilers_share_a_store(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    house.installing.crash()
    house.services = [house.intake]
    for number in range(1, 41):
        house.order(number)
    house.settle()
    heard: Counter[str] = Counter()
    with Crowd(house):
        ends = monotonic() + PATIENCE
        while heard["install.completed"] < 40:
            assert monotonic() < ends, heard
            heard.update(house.event_types())
    heard.update(house.event_types())
    house.settle()
    assert (heard["install.started"], heard["install.completed"]) == (40, 40)
    done = sorted(job.install_id for job in house.installer.installed)
    assert done == sorted(f"order-{number}-g1" for number in range(1, 41))


# Fencing


def freeze(house: House) -> Service:
    """The installer's process stands still, and another one takes its place."""
    frozen = house.installing
    for _, consumer in frozen.lanes:
        consumer.close()
    house.installing = house.open_installer()
    house.services = [house.intake, house.installing, house.mailer]
    return frozen


@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_that_lost_its_lease_cannot_record_over_its_successor(tmp_path: Path, fails: bool) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    gates = [Gate(), Gate()]

    def wait(job: Job) -> None:
        gates[job.fence - 1](job)
        if fails and job.fence == 1:
            raise LookupError

    house.installer.meanwhile = wait
    house.order()
    house.run_until(gates[0].reached.is_set)
    frozen = freeze(house)
    house.pass_time(16)
    house.run_periodic_tasks()
    house.run_until(gates[1].reached.is_set)
    gates[0].opened.set()
    house.services.append(frozen)
    house.run_until(lambda: frozen.idle)
    assert house.is_in(State.INSTALLING), "its end was nothing to the second"
    gates[1].opened.set()
    house.settle()
    install = house.install()
    assert (install.state, install.attempt, install.fence) == (State.INSTALLED, 2, 2)
    assert house.event_types().count("install.completed") == len(house.smtp.sent) == 1


def test_whoever_lost_an_install_to_its_own_process_does_not_let_go_the_later_claim(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.unfinished = "the install has no order"
    keep(house.installing.database, [install_of(staged(1), START)])
    due = codec.envelope(staged(1), id="due", source="/test", subject="order-1")
    acts = []
    for _ in range(2):
        with house.installing.database.begin([due]) as uow:
            act = house.steps.start(uow, due)
            assert isinstance(act, Effect)
        house.steps.leases.hold(act.claim)
        acts.append(act)
        house.clock.moment += timedelta(seconds=16)
        if len(acts) == 1:
            house.reconciler.recover(house.installing.database)
    with house.installing.database.begin([due]) as uow:
        acts[0].failed(uow, acts[0].claim, due, failure("timeout").cause)
    house.steps.leases.let_go(acts[0].claim)
    house.steps.leases.renew(house.installing.database)
    house.reconciler.recover(house.installing.database)
    assert house.install().state == State.INSTALLING


def test_a_mailer_that_lost_its_letter_cannot_say_that_it_was_sent(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    gate, real = Gate(), house.welcoming._deliver
    fail_late = iter([True])

    def deliver(message: Any) -> None:
        if next(fail_late, False):
            gate(message)
        real(message)

    house.welcoming._deliver = deliver
    house.order()
    house.run_until(gate.reached.is_set)
    house.mailer.lanes[0][1].close()
    frozen, house.mailer = house.mailer, house.open_mailer()
    house.services = [house.intake, house.installing, house.mailer]
    house.pass_time(300)
    house.run_periodic_tasks()
    house.run_until(house.mailed)
    assert len(house.smtp.sent) == 1
    house.services.append(frozen)
    gate.opened.set()
    house.settle()
    assert house.event_types().count("mail.sent") == 1


def test_an_order_intake_that_lost_its_order_cannot_stage_its_install_again(tmp_path: Path) -> None:
    house = House(tmp_path, sites={"wordpress": {"stage": False}})
    gate, real = Gate(), house.server.create_account
    first = iter([True])

    def create(request: Any) -> Any:
        if next(first, False):
            gate(request)
        return real(request)

    vars(house.server)["create_account"] = create
    house.order()
    house.run_until(gate.reached.is_set)
    house.pass_time(60)
    house.order(id="a copy")
    house.run_until(house.mailed)
    gate.opened.set()
    house.settle()
    said = house.event_types()
    assert (said.count("account.created"), said.count("install.staged")) == (1, 1)
    assert len(house.server.accounts) == 1
