"""What the store does, on every database that it may be."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier, Event
from traceback import format_exception

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import DataError, IntegrityError

from foundation.errors import ConfigurationError, StoreUnreachable
from foundation.store import Store, engine, inbox, outbox
from foundation.store.inbox import Fingerprint
from foundation.store.outbox import OutboxMessage
from tests.support import forked
from tests.support.postgres import Postgres

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
BUSY_SECONDS = 0.3
"""Seconds that a store waits for its turn here."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres").database())


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    store.migrate([])
    yield store
    store.close()


@pytest.fixture
def impatient(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Another process's store, as it were, that waits only briefly."""
    monkeypatch.setattr(engine, "_BUSY_SECONDS", BUSY_SECONDS)
    other = another(store)
    yield other
    other.close()


def another(store: Store) -> Store:
    """The same database, opened once more."""
    return Store(store.engine.url.render_as_string(hide_password=False))


def message(number: int, **changes: object) -> OutboxMessage:
    fields: dict[str, object] = {
        "exchange": "events",
        "routing_key": "install.staged.v1",
        "message_id": f"m{number}",
        "type": "sitecrew.install.staged.v1",
        "correlation_id": "order-1",
        "content_type": "application/cloudevents+json",
        "body": b"%d" % number,
    }
    return OutboxMessage(**{**fields, **changes})  # type: ignore[arg-type]


def add(store: Store, count: int, until: datetime = NOON) -> list[str]:
    with store.transaction() as connection:
        messages = [message(number) for number in range(count)]
        outbox.add(connection, messages, until)
        return [row.id for row in messages]


def events(identities: Sequence[inbox.Identity]) -> dict[inbox.Identity, Fingerprint]:
    return dict.fromkeys(identities, Fingerprint("digest"))


def backlog(store: Store) -> int:
    with store.reading() as connection:
        return outbox.backlog(connection)


# Transactions


def test_what_is_written_in_a_transaction_is_there_after_it(store: Store) -> None:
    add(store, 3)
    assert backlog(store) == 3


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def begin_and_fail() -> None:
        with store.transaction() as connection:
            outbox.add(connection, [message(1)], NOON)
            inbox.remember(connection, "installer", events([("/shop", "1")]), NOON)
            raise LookupError

    with pytest.raises(LookupError):
        begin_and_fail()
    with store.reading() as connection:
        assert outbox.backlog(connection) == 0
        assert set(inbox.seen(connection, "installer", [("/shop", "1")])) == set()


def test_any_header_and_body_can_be_stored(store: Store) -> None:
    headers: dict[str, str | int] = {"x": 'a\0b \\u0000 "', "y": "\\N\t\\.\r\n", "n": 1}
    strange = message(1, headers=headers, body=bytes(range(256)), routing_key="\\N\\t\t\n\\.\n\r")
    with store.transaction() as connection:
        outbox.add(connection, [strange, message(2)], NOON)
    with store.transaction() as connection:
        found = outbox.claim(connection, LATER, LATER, 2)
    assert [(row.headers, row.body) for row in found] == [(strange.headers, strange.body), ({}, b"2")]
    assert found[0].routing_key == strange.routing_key


@pytest.mark.parametrize("text", ["secret\0", "secret" * 99], ids=["NUL", "too long"])
def test_text_that_postgresql_refuses_is_not_quoted(store: Store, text: str) -> None:
    def add() -> None:
        with store.transaction() as connection:
            outbox.add(connection, [message(1, routing_key=text)], NOON)

    if store.is_sqlite:
        return add()
    with pytest.raises(DataError, match=r"0x00|too long") as refused:
        add()
    assert "secret" not in "".join(format_exception(refused.value))
    return None


def test_a_savepoint_undoes_one_message_and_not_its_neighbours(store: Store) -> None:
    def begin_and_fail(connection: Connection) -> None:
        with connection.begin_nested():
            outbox.add(connection, [message(2)], NOON)
            raise LookupError

    with store.transaction() as connection:
        outbox.add(connection, [message(1)], NOON)
        with pytest.raises(LookupError):
            begin_and_fail(connection)
        outbox.add(connection, [message(3)], NOON)
    assert backlog(store) == 2


def test_reading_never_waits_for_those_who_write_and_sees_nothing_half_done(store: Store, impatient: Store) -> None:
    add(store, 1)
    with store.transaction() as connection:
        outbox.add(connection, [message(1)], NOON)
        assert backlog(impatient) == 1
        assert backlog(store) == 1


def test_a_look_at_the_database_is_of_one_moment(store: Store) -> None:
    add(store, 1)
    with store.reading() as connection:
        assert outbox.backlog(connection) == 1
        add(store, 1)
        assert outbox.backlog(connection) == 1
    assert backlog(store) == 2


def test_transactions_of_many_threads_lose_no_update(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("CREATE TABLE counter (value INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))

    def count(_: int) -> None:
        with store.transaction() as connection:
            connection.execute(text("UPDATE counter SET value = value + 1"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))
    with store.reading() as connection:
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == 80


# Values


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
def test_a_time_comes_back_in_utc_to_the_microsecond(store: Store, zone: timezone) -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)
    with store.transaction() as connection:
        outbox.add(connection, [message(1, due_at=moment.astimezone(zone))], moment.astimezone(zone))
        (claimed,) = outbox.claim(connection, LATER, LATER, 1)
    assert claimed.due_at == moment
    assert claimed.due_at is not None
    assert claimed.due_at.tzinfo is UTC


def test_a_message_comes_back_as_it_was_written(store: Store) -> None:
    written = message(1, body=bytes(range(256)), headers={"attempt": 3, "größe": "ü\n", "large": 2**40}, due_at=NOON)
    with store.transaction() as connection:
        outbox.add(connection, [written], NOON)
        (claimed,) = outbox.claim(connection, LATER, LATER, 1)
    assert claimed == written


# The outbox


def test_messages_get_their_numbers_in_their_order(store: Store) -> None:
    with store.transaction() as connection:
        outbox.add(connection, rows := [message(number) for number in range(2500)], NOON)
    assert [row.message_id for row in rows] == [f"m{number}" for number in range(2500)]
    assert [row.id for row in rows] == sorted({row.id for row in rows})
    with store.transaction() as connection:
        claimed = outbox.claim(connection, LATER, LATER, 2500)
    assert claimed == rows


def test_nothing_to_write_writes_nothing(store: Store) -> None:
    with store.transaction() as connection:
        outbox.add(connection, [], NOON)
        outbox.remove(connection, [])
        outbox.hold(connection, [], LATER)
        inbox.remember(connection, "installer", events([]), NOON)
        assert set(inbox.seen(connection, "installer", [])) == set()
    assert backlog(store) == 0


def test_only_what_is_nobodys_is_claimed_oldest_first_and_no_more_than_asked_for(store: Store) -> None:
    free = add(store, 10, until=NOON - timedelta(seconds=1))
    add(store, 5, until=LATER)
    with store.transaction() as connection:
        assert [row.id for row in outbox.claim(connection, NOON, LATER, 4)] == free[:4]
        assert [row.id for row in outbox.claim(connection, NOON, LATER, 100)] == free[4:]
        assert outbox.claim(connection, NOON, LATER, 100) == []
        assert len(outbox.claim(connection, LATER + timedelta(seconds=1), LATER, 100)) == 15


def test_what_is_held_is_left_alone_until_then_and_what_is_removed_is_gone(store: Store) -> None:
    ids = add(store, 3, until=NOON - timedelta(seconds=1))
    with store.transaction() as connection:
        outbox.hold(connection, ids[:1], LATER)
        outbox.remove(connection, ids[1:2])
        assert [row.id for row in outbox.claim(connection, NOON, LATER, 100)] == ids[2:]
        assert outbox.backlog(connection) == 2


def test_a_row_number_is_never_used_again(store: Store) -> None:
    # A relay that was slow to learn of a confirm removes a row by its number: it must not be another's.
    first = add(store, 3)
    with store.transaction() as connection:
        outbox.remove(connection, first)
    assert min(add(store, 3)) > max(first)


def claim_all(url: str, batch: int) -> list[str]:
    """What a relay does until there is nothing left."""
    store, mine = Store(url), list[str]()
    while True:
        with store.transaction() as connection:
            rows = outbox.claim(connection, NOON, LATER, batch)
        if not rows:
            break
        assert len(rows) <= batch
        mine += [row.id for row in rows]
    store.close()
    return mine


def test_two_relays_in_two_threads_never_claim_the_same(url: str, store: Store) -> None:
    ids = add(store, 1000, until=NOON - timedelta(seconds=1))
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(claim_all, [url, url], [7, 13])
    assert sorted(one + other) == ids


def test_two_relays_in_two_processes_never_claim_the_same(url: str, store: Store) -> None:
    ids = add(store, 1000, until=NOON - timedelta(seconds=1))
    with ProcessPoolExecutor(2, forked.CONTEXT) as pool:
        one, other = pool.map(claim_all, [url, url], [7, 13])
    assert sorted(one + other) == ids


def test_the_limit_of_a_claim_holds_whatever_plan_the_database_makes(store: Store) -> None:
    ids = add(store, 20, until=NOON - timedelta(seconds=1))
    with store.transaction() as connection:
        for way in () if store.is_sqlite else ("hashjoin", "mergejoin", "material", "hashagg", "sort", "memoize"):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))
        assert [row.id for row in outbox.claim(connection, NOON, LATER, 7)] == ids[:7]


def test_a_relay_passes_over_what_another_is_just_claiming(store: Store, impatient: Store) -> None:
    if store.is_sqlite:
        pytest.skip("SQLite lets one write at a time")
    ids = add(store, 10, until=NOON - timedelta(seconds=1))
    with store.transaction() as one, impatient.transaction() as other:
        assert [row.id for row in outbox.claim(one, NOON, LATER, 4)] == ids[:4]
        assert [row.id for row in outbox.claim(other, NOON, LATER, 100)] == ids[4:]


def test_rows_claimed_by_a_clock_that_was_put_back_are_anybodys(store: Store) -> None:
    with store.transaction() as connection:
        outbox.add(connection, [message(1), message(2, due_at=NOON + timedelta(days=30))], NOON + timedelta(hours=1))
        outbox.add(connection, [message(3)], NOON + timedelta(seconds=60))
        assert [row.message_id for row in outbox.claim(connection, NOON, LATER, 10)] == ["m1"]


def test_a_server_tells_its_time_and_a_file_has_none(store: Store) -> None:
    told = store.time()
    if store.is_sqlite:
        assert told is None
    else:
        assert told is not None
        assert abs(told - datetime.now(UTC)) < timedelta(minutes=5)


# The inbox


def test_an_event_is_remembered_by_source_and_id_for_each_consumer(store: Store) -> None:
    both = [("/shop", "1"), ("/shop", "2")]
    with store.transaction() as connection:
        inbox.remember(connection, "installer.due", events(both), NOON)
        wanted = [*both, ("/shop", "3"), ("/other", "1")]
        assert set(inbox.seen(connection, "installer.due", wanted)) == set(both)
        assert set(inbox.seen(connection, "mailer.installs", wanted)) == set()


def test_an_event_is_remembered_with_what_tells_it_from_another_of_its_name(store: Store) -> None:
    first, second = Fingerprint("digest", "shop"), Fingerprint("other")
    with store.transaction() as connection:
        inbox.remember(connection, "intake", {("/shop", "1"): first}, NOON)
        inbox.remember_late(connection, "intake", {("/shop", "1"): second, ("/shop", "2"): second}, NOON)
        wanted = [("/shop", "1"), ("/shop", "2")]
        assert inbox.seen(connection, "intake", wanted) == dict(zip(wanted, (first, second), strict=True))


def test_a_thousand_events_are_looked_up_at_once(store: Store) -> None:
    identities = [("/shop", str(number)) for number in range(1000)]
    with store.transaction() as connection:
        inbox.remember(connection, "intake", events(identities[::2]), NOON)
        assert set(inbox.seen(connection, "intake", identities)) == set(identities[::2])


def test_an_event_cannot_be_remembered_twice(store: Store) -> None:
    with store.transaction() as connection:
        inbox.remember(connection, "intake", events([("/shop", "1")]), NOON)
    with pytest.raises(IntegrityError), store.transaction() as connection:
        inbox.remember(connection, "intake", events([("/shop", "2"), ("/shop", "1")]), NOON)
    with store.transaction() as connection:
        assert set(inbox.seen(connection, "intake", [("/shop", "1"), ("/shop", "2")])) == {("/shop", "1")}


def test_what_another_replica_has_noted_meanwhile_does_not_undo_the_record_of_an_act(store: Store) -> None:
    with store.transaction() as connection:
        inbox.remember(connection, "intake", events([("/shop", "1")]), NOON)
    with store.transaction() as connection:
        inbox.remember_late(connection, "intake", events([("/shop", "1"), ("/shop", "2")]), LATER)
        inbox.remember_late(connection, "intake", events([]), LATER)
        assert set(inbox.seen(connection, "intake", [("/shop", "1"), ("/shop", "2")])) == {
            ("/shop", "1"),
            ("/shop", "2"),
        }
        assert inbox.forget_before(connection, LATER) == 1


def test_what_is_remembered_late_may_be_remembered_already(store: Store) -> None:
    one, two = ("/shop", "1"), ("/shop", "2")
    with store.transaction() as connection:
        inbox.remember(connection, "intake", events([one]), NOON)
        inbox.remember_late(connection, "intake", events([one, two]), LATER)
        inbox.remember_late(connection, "intake", events([]), LATER)
        assert inbox.forget_before(connection, LATER) == 1  # the first record stays
        assert list(inbox.seen(connection, "intake", [one, two])) == [two]


def test_of_two_replicas_that_remember_the_same_event_one_is_told(store: Store) -> None:
    start = Barrier(2)

    def remember() -> bool:
        replica = another(store)
        start.wait(10)
        try:
            with replica.transaction() as connection:
                inbox.remember(connection, "intake", events([("/shop", "1")]), NOON)
        except IntegrityError:
            return False
        finally:
            replica.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(future.result(20) for future in [pool.submit(remember), pool.submit(remember)]) == [False, True]


def test_the_inbox_forgets_what_is_old(store: Store) -> None:
    with store.transaction() as connection:
        inbox.remember(connection, "intake", events([("/shop", "old")]), NOON)
        inbox.remember(connection, "intake", events([("/shop", "new")]), LATER)
        assert inbox.forget_before(connection, LATER) == 1
        assert set(inbox.seen(connection, "intake", [("/shop", "old"), ("/shop", "new")])) == {("/shop", "new")}


# Migrations


def test_migrating_again_changes_nothing(url: str, store: Store) -> None:
    add(store, 1)
    store.migrate([])
    again = Store(url)
    again.migrate([])
    again.close()
    assert backlog(store) == 1


def test_a_database_knows_whether_it_is_migrated(url: str) -> None:
    store = Store(url)
    assert not store.is_migrated([])
    store.migrate([])
    assert store.is_migrated([])
    store.close()


def migrate(url: str) -> None:
    store = Store(url)
    store.migrate([])
    add(store, 1)
    store.close()


def test_four_replicas_may_migrate_at_once(url: str) -> None:
    first = Store(url)
    with first.transaction():
        """SQLite lets one at a time turn a new file into one with a WAL, and the others fail at once."""
    first.close()
    with ProcessPoolExecutor(4, forked.CONTEXT) as pool:
        list(pool.map(migrate, [url] * 4))
    store = Store(url)
    assert backlog(store) == 4
    store.close()


# A database that does not answer


def test_a_database_locked_too_long_is_unreachable(store: Store, impatient: Store) -> None:
    ids = add(store, 1)
    with store.transaction() as connection:
        outbox.hold(connection, ids, LATER)
        with pytest.raises(StoreUnreachable, match=r"cannot use .*lock"), impatient.transaction() as other:
            outbox.hold(other, ids, LATER)
    with impatient.transaction() as connection:
        outbox.hold(connection, ids, LATER)


def test_a_thread_that_gets_no_turn_does_not_wait_for_ever(impatient: Store) -> None:
    if not impatient.is_sqlite:
        pytest.skip("PostgreSQL's threads need no turns")
    begun, done = Event(), Event()

    def hold() -> None:
        with impatient.transaction():
            begun.set()
            done.wait(10)

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert begun.wait(10)
        with pytest.raises(StoreUnreachable, match="could not acquire the write lock"), impatient.transaction():
            pass
        done.set()
        holding.result(10)
    add(impatient, 1)


def test_a_database_that_is_missing_is_created_once(postgres: Postgres) -> None:
    store = Store(postgres.database().replace("/db_", '/new_"db_'))
    with pytest.raises(StoreUnreachable, match="does not exist"):
        store.migrate([])
    store.create()
    store.create()
    store.migrate([])
    assert backlog(store) == 0
    store.close()


def test_a_server_that_was_gone_is_found_again(postgres: Postgres) -> None:
    store = Store(postgres.database())
    store.migrate([])

    def lose_the_server() -> None:
        with store.transaction() as connection:
            outbox.add(connection, [message(1)], NOON)
            postgres.kill()
            outbox.add(connection, [message(2)], NOON)

    with pytest.raises(StoreUnreachable, match="cannot use the database"):
        lose_the_server()
    with pytest.raises(StoreUnreachable, match="cannot use the database"), store.reading():
        pass
    postgres.start()
    assert backlog(store) == 0
    add(store, 1)
    assert backlog(store) == 1
    store.close()


def test_connections_that_a_server_has_closed_are_not_used(postgres: Postgres) -> None:
    """It was restarted while nobody had anything to do."""
    url = postgres.database()
    store, other = Store(url), Store(url)
    store.migrate([])
    ended = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database()"
    with other.reading() as connection:
        assert all(connection.execute(text(f"{ended} AND pid <> pg_backend_pid()")).scalars().all())
    assert backlog(store) == 0
    other.close()
    store.close()


def test_a_server_that_is_not_there_is_unreachable_and_its_password_unsaid() -> None:
    store = Store("postgresql://ann:hunter2@127.0.0.1:1/orders")
    with pytest.raises(StoreUnreachable) as caught, store.transaction():
        pass
    assert "postgresql+psycopg://ann:***@127.0.0.1:1/orders" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"


def test_more_threads_than_connections_wait_and_then_give_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BUSY_SECONDS", BUSY_SECONDS)
    store = Store(url)
    looks = [store.reading() for _ in range(15)]
    for look in looks:
        look.__enter__().execute(select(1))
    with pytest.raises(StoreUnreachable), store.reading() as connection:
        connection.execute(select(1))
    for look in looks:
        look.__exit__(None, None, None)
    store.close()


def test_a_file_that_is_no_database_is_unreachable(tmp_path: Path) -> None:
    path = tmp_path / "letters.db"
    path.write_bytes(b"Dear customer, " * 1000)
    store = Store(f"sqlite:///{path}")
    with pytest.raises(StoreUnreachable, match="not a database"):
        store.migrate([])
    store.close()


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnreachable, match="file/store"):
        Store(f"sqlite:///{tmp_path}/file/store/store.db")


def test_a_disk_that_is_full_is_unreachable_and_nothing_is_half_done(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/store.db")
    store.migrate([])
    with store.transaction() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))
    with pytest.raises(StoreUnreachable, match="full"):
        add(store, 2000)
    assert backlog(store) == 0
    store.close()


def test_looking_into_a_database_that_is_not_there_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreachable, match="there is no database"):
        Store.existing(f"sqlite:///{tmp_path}/new/store.db")
    assert list(tmp_path.iterdir()) == []


def test_opening_creates_no_connection(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path}/store.db").close()
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("url", ["", "orders.db", "oracle+nothing://x", "postgresql://host:port/x"])
def test_what_is_no_address_is_a_configuration_error_that_shows_how_it_is_written(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write sqlite:////path/file\.db or postgresql://"):
        Store(url)


def test_an_errors_text_holds_no_values(store: Store) -> None:
    with store.transaction() as connection:
        inbox.remember(connection, "intake", events([("/shop", "s3cret")]), NOON)
    with pytest.raises(IntegrityError) as caught, store.transaction() as connection:
        inbox.remember(connection, "intake", events([("/shop", "s3cret")]), NOON)
    assert "parameters hidden" in str(caught.value)


def test_sqlite_keeps_a_committed_row_when_the_process_dies(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store = Store(url)
    store.migrate([])
    store.close()
    dying = subprocess.run([sys.executable, "-c", COMMITS_AND_DIES, url], check=False)
    assert dying.returncode == -signal.SIGKILL
    store = Store(url)
    assert backlog(store) == 1
    store.close()


COMMITS_AND_DIES = """
import os, signal, sys
from datetime import UTC, datetime
from foundation.store import Store, outbox
from foundation.store.outbox import OutboxMessage
with Store(sys.argv[1]).transaction() as connection:
    outbox.add(connection, [OutboxMessage("events", "x", "m1", "t", "", "", b"")], datetime.now(UTC))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_sqlite_has_committed_is_on_the_disk_before_anything_is_done_for_it(tmp_path: Path) -> None:
    """With NORMAL a power failure takes back what was committed last: an account is made, and nothing knows of it."""
    store = Store(f"sqlite:///{tmp_path}/store.db")
    store.migrate([])
    full, with_log = 2, "wal"
    with store.transaction() as first, store.reading() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == full
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == with_log
    store.engine.dispose()
    with store.transaction() as anew:
        assert anew.exec_driver_sql("PRAGMA synchronous").scalar_one() == full
    store.close()
