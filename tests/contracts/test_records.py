"""Leased rows as frozen records: loaded and locked at once, decided in memory, written back at once."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, event
from sqlalchemy.exc import IntegrityError

from foundation.errors import StoreUnreachable
from foundation.store import Store, engine, lease
from foundation.store.lease import LeasedRow, Terms
from foundation.store.records import Loaded, Records, lock
from schemas.values import Cause, CauseKind
from tests.support.postgres import Postgres, holding, until_blocked

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
TERMS = Terms("host/1", timedelta(seconds=30), grace=timedelta(seconds=5))
CAUSE = Cause(code="on_purpose", kind=CauseKind.TRANSIENT, detail="on purpose", remedy="none")

metadata = MetaData()
tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(32), primary_key=True),
    Column("order_id", String(32), nullable=False, index=True),
    Column("number", Integer, nullable=False),
    *lease.columns(),
)


@dataclass(frozen=True, kw_only=True)
class Task(LeasedRow):
    task_id: str
    order_id: str
    number: int = 0


TASKS = Records(tasks, Task, key="task_id", owner="order_id")


def task(name: str, **changes: Any) -> Task:
    return Task(task_id=name, order_id=name[0], due_at=NOON, **changes)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with holding(metadata, request, tmp_path) as opened:
        yield opened


def keep(store: Store, *rows: Task) -> None:
    with store.transaction() as connection:
        loaded = Loaded(TASKS)
        for row in rows:
            loaded.save(row)
        loaded.flush(connection)


def kept(store: Store, *orders: str) -> list[Task]:
    with store.transaction() as connection:
        return TASKS.load(connection, orders).all()


def statements(store: Store) -> list[tuple[str, int]]:
    """What is executed from now on: the statement's verb, and how many rows it is given."""
    seen: list[tuple[str, int]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Sequence[object], _x: object, many: bool) -> None:
        if not statement.startswith("BEGIN"):
            seen.append((statement.split(maxsplit=1)[0], len(parameters) if many else 1))

    event.listen(store.engine, "before_cursor_execute", note)
    return seen


# Records


def test_a_row_comes_back_as_it_was_saved(store: Store) -> None:
    rows = [task("a1", number=3), task("b1", check_at=LATER, cause=CAUSE, lease_owner="me", lease_until=LATER)]
    keep(store, *rows)
    assert kept(store, "a", "b", "c") == [replace(row, sequence=1) for row in rows]


def test_pages_have_all_rows_once_whatever_a_key_looks_like(store: Store) -> None:
    names = sorted(["a1", "A1", "a-2", "a 3", "a_4", "\u00e41", "z9", "10", "9"])
    keep(store, *map(task, names))
    seen: list[str] = []
    with store.reading() as connection:
        while page := TASKS.page(connection, seen[-1] if seen else None, 2):
            assert len(page) <= 2
            seen += map(TASKS.key_of, page)
    assert sorted(seen) == names


def test_each_change_of_a_row_has_a_number_of_its_own(store: Store) -> None:
    keep(store, task("a1"), task("a2"))
    with store.transaction() as connection:
        loaded = TASKS.load(connection, ["a"])
        first, second = loaded.of("a")
        changed = loaded.save(replace(first, number=1))
        assert loaded.sequence("a1") == "0000000002"
        assert loaded.save(changed) is changed
        loaded.save(replace(first, number=2))
        loaded.save(second)
        assert (loaded.sequence("a2"), loaded.sequence("a3"), loaded.sequence(None)) == ("0000000001", None, None)
        loaded.flush(connection)
    assert [row.sequence for row in kept(store, "a")] == [3, 1]


def test_a_batch_takes_one_statement_for_each_kind_of_change(store: Store) -> None:
    keep(store, *(task(f"a{number}") for number in range(6)))
    seen = statements(store)
    with store.transaction() as connection:
        loaded = TASKS.load(connection, ["a", "b"])
        for number in range(3):
            loaded.save(replace(loaded.of("a")[number], number=1))
            loaded.save(replace(loaded.of("a")[number], number=2))
        for number in (3, 4):
            loaded.save(loaded.of("a")[number].claimed(TERMS, NOON))
        loaded.save(loaded.of("a")[5])
        loaded.save(task("b1"))
        loaded.save(task("b2"))
        loaded.flush(connection)
    assert [verb for verb, _ in seen] == ["SELECT", "INSERT", "UPDATE", "UPDATE"]
    assert [row.number for row in kept(store, "a")] == [2, 2, 2, 0, 0, 0]
    assert [row.fence for row in kept(store, "a")] == [0, 0, 0, 1, 1, 0]
    assert len(kept(store, "b")) == 2


def test_what_is_saved_is_seen_at_once_and_what_is_put_back_is_not_written(store: Store) -> None:
    keep(store, task("a1"))
    seen = statements(store)
    with store.transaction() as connection:
        loaded = TASKS.load(connection, ["a"])
        before = loaded.of("a")[0]
        loaded.save(replace(before, number=7))
        assert loaded.get("a1") == loaded.of("a")[0] == replace(before, number=7, sequence=2)
        loaded.save(task("a2"))
        assert [row.task_id for row in loaded.of("a")] == ["a1", "a2"]
        loaded.save(before)
        loaded.flush(connection)
    assert [verb for verb, _ in seen] == ["SELECT", "INSERT"]


def test_nothing_is_asked_for_no_orders(store: Store) -> None:
    seen = statements(store)
    with store.transaction() as connection:
        TASKS.load(connection, []).flush(connection)
        lock(connection, [])
    assert seen == []


def test_a_row_that_another_has_inserted_meanwhile_is_told(store: Store) -> None:
    keep(store, task("a1"))
    with pytest.raises(IntegrityError):
        keep(store, task("a1"))


def test_a_table_without_rows_needs_no_database() -> None:
    loaded = Loaded(TASKS)
    claimed = loaded.save(task("a1").claimed(TERMS, NOON))
    assert (loaded.get("a1"), loaded.of("a"), loaded.of("b"), loaded.held(claimed)) == (claimed, [claimed], [], claimed)


def adding(store: Store, orders: Sequence[str], barrier: threading.Barrier) -> None:
    barrier.wait()
    with store.transaction() as connection:
        lock(connection, orders)
        loaded = TASKS.load(connection, orders)
        for order in orders:
            for row in loaded.of(order):
                loaded.save(replace(row, number=row.number + 1))
        loaded.flush(connection)


def test_those_who_change_the_same_orders_wait_for_each_other_and_never_in_a_circle(store: Store) -> None:
    names = [*"abcdefgh"]
    keep(store, *(task(f"{name}1") for name in names))
    barrier = threading.Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            orders = [names, names[::-1], names[::2], names[::-2]]
            for done in [pool.submit(adding, store, each, barrier) for each in orders]:
                done.result()
    assert sum(row.number for row in kept(store, *names)) == 20 * (8 + 8 + 4 + 4)


def test_leases_are_renewed_in_the_order_in_which_rows_are_locked_whatever_language_text_is_sorted_in(
    postgres: Postgres,
) -> None:
    store = Store(postgres.database(language="en"))
    with store.transaction() as connection:
        metadata.create_all(connection)
    keep(store, *(task(name).claimed(TERMS, NOON) for name in ("a1", "B1")))  # which is how English sorts them
    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            lease.renew(connection, tasks, "task_id", {"B1": 1}, TERMS, LATER)
            loading = pool.submit(kept, store, "a", "B")
            until_blocked(store)
            lease.renew(connection, tasks, "task_id", {"a1": 1}, TERMS, LATER)
        assert {row.lease_until for row in loading.result()} == {LATER + TERMS.lease}
    store.close()


def test_a_renewal_waits_for_whoever_has_loaded_the_row(postgres: Postgres) -> None:
    """It doesn't lock the order's name: without the row's own lock, what is decided just now would not see it."""
    store = Store(postgres.database())
    with store.transaction() as connection:
        metadata.create_all(connection)
    keep(store, task("a1").claimed(TERMS, NOON))

    def renew() -> None:
        with store.transaction() as connection:
            lease.renew(connection, tasks, "task_id", {"a1": 1}, TERMS, LATER)

    with ThreadPoolExecutor(1) as pool:
        with store.transaction() as connection:
            TASKS.load(connection, ["a"])
            renewing = pool.submit(renew)
            until_blocked(store)
        renewing.result()
    store.close()


def test_who_is_frozen_amid_a_transaction_does_not_keep_its_locks(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_FROZEN_SECONDS", 1)
    store = Store(postgres.database())

    def lock_it() -> bool:
        with store.transaction() as connection:
            lock(connection, ["a"])
            return True

    def freeze(pool: ThreadPoolExecutor) -> None:
        with store.transaction() as connection:
            lock(connection, ["a"])
            locked.append(pool.submit(lock_it).result())

    locked: list[bool] = []
    with ThreadPoolExecutor(1) as pool, pytest.raises(StoreUnreachable):
        freeze(pool)
    assert locked, "others do not wait for it to go on"
    assert lock_it(), "on a new connection"
    store.close()


def test_what_has_no_row_yet_is_locked_by_its_name(store: Store) -> None:
    barrier, meeting, counted = threading.Barrier(4), threading.Barrier(2), []

    def first(number: int) -> None:
        barrier.wait()
        with store.transaction() as connection:
            lock(connection, ["a"])
            loaded = TASKS.load(connection, ["a"])
            with suppress(threading.BrokenBarrierError):
                meeting.wait(0.2)  # for one that has the lock as well: there is none
            counted.append(len(loaded.of("a")))
            loaded.save(task(f"a{number}"))
            loaded.flush(connection)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(first, number) for number in range(4)]:
            done.result()
    assert sorted(counted) == [0, 1, 2, 3]


# Leases


def test_a_claim_gives_a_lease_a_fencing_token_and_a_time_to_check() -> None:
    row = task("a1").claimed(TERMS, NOON)
    assert (row.fence, row.attempt, row.lease_owner) == (1, 1, "host/1")
    assert (row.lease_until, row.check_at) == (NOON + timedelta(seconds=30), NOON + timedelta(seconds=35))
    assert row.is_leased(NOON + timedelta(seconds=29))
    assert not row.is_leased(NOON + timedelta(seconds=30))
    again = row.claimed(TERMS, LATER)
    assert (again.fence, again.attempt) == (2, 2)


def test_what_ends_a_claim_keeps_its_token() -> None:
    row = task("a1").claimed(TERMS, NOON)
    released, ended = row.released(LATER, LATER, CAUSE), row.ended()
    assert (released.lease_owner, released.lease_until, released.due_at, released.cause) == (None, None, LATER, CAUSE)
    assert (ended.lease_owner, ended.check_at, ended.cause) == (None, None, None)
    assert released.fence == ended.fence == row.fence == row.unclaimed().fence
    assert (row.unclaimed().attempt, row.restarted().attempt, row.restarted().attempts_before) == (0, 0, 1)


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (lambda row: row, True),
        (lambda row: replace(row, number=9), True),
        (lambda row: row.claimed(TERMS, LATER), False),
        (lambda row: row.released(LATER, LATER), False),
        (lambda row: row.ended(), False),
    ],
)
def test_a_worker_holds_what_nobody_has_claimed_since_and_has_not_ended(now: Any, holds: bool) -> None:
    claimed = task("a1").claimed(TERMS, NOON)
    loaded = Loaded(TASKS, [now(claimed)])
    assert loaded.held(claimed) == (now(claimed) if holds else None)
    assert Loaded(TASKS).held(claimed) is None


def test_leases_are_renewed_as_long_as_they_are_held(store: Store) -> None:
    rows = [task("a1"), task("b1"), task("c1")]
    mine, lost, over = (row.claimed(TERMS, NOON) for row in rows)
    keep(store, mine, lost.claimed(TERMS, NOON), over.ended())
    with store.transaction() as connection:
        held = {"a1": 1, "b1": 1, "c1": 1, "unknown": 1}
        lease.renew(connection, tasks, "task_id", held, TERMS, LATER)
    renewed, other, ended = kept(store, *"abc")
    assert (renewed.lease_until, renewed.check_at) == (LATER + TERMS.lease, LATER + TERMS.lease + TERMS.grace)
    assert other.lease_until == NOON + TERMS.lease
    assert (ended.lease_until, ended.check_at) == (None, None)


def test_what_is_overdue_is_found_the_longest_overdue_first(store: Store) -> None:
    times = {"a1": 3, "a2": 1, "b1": 2, "c1": 9, "d1": None}
    keep(store, *(task(name, check_at=NOON + timedelta(seconds=s) if s else None) for name, s in times.items()))

    def found(connection: Connection, limit: int) -> list[str]:
        return lease.overdue(connection, tasks, "order_id", NOON + timedelta(seconds=5), limit)

    with store.reading() as connection:
        assert found(connection, 100) == ["a", "b"]
        assert found(connection, 1) == ["a"]
