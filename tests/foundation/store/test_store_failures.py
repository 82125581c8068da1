"""What databases and poolers do while they are used: away, in the way, or a mistake of ours, each by its name."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import psycopg
import psycopg.errors
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from foundation.errors import ConfigurationError, StoreConflict, StoreUnreachable
from foundation.store import Store, failures, inbox, outbox
from foundation.store.copy import copy
from foundation.store.inbox import Fingerprint
from tests.support.postgres import Postgres, pooled

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    store.migrate([])
    yield store
    store.close()


@pytest.fixture(scope="module")
def pool(postgres: Postgres) -> Iterator[str]:
    if not shutil.which("pgbouncer", path="/usr/sbin"):
        (pytest.fail if "CI" in os.environ else pytest.skip)("no pgbouncer; `script/bootstrap postgresql` installs it")
    with pooled(postgres) as query:
        yield query


def through(pool: str, url: str) -> str:
    """The same database, by way of the pooler."""
    return f"{url.partition('?')[0]}?{pool}"


def remember(store: Store, *ids: str) -> None:
    with store.transaction() as connection:
        inbox.remember(connection, "test", {("/shop", id): Fingerprint("digest") for id in ids}, NOON)


def count(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM inbox")).scalar_one())


# Poolers


def test_pgbouncer_in_transaction_mode_needs_no_setting(pool: str, url: str) -> None:
    stores = [Store(through(pool, url)) for _ in range(3)]
    stores[0].migrate([])
    with ThreadPoolExecutor(9) as threads:
        list(threads.map(lambda number: remember(stores[number % 3], str(number)), range(180)))
    assert [count(store) for store in stores] == [180] * 3
    assert stores[0].is_migrated([])
    for store in stores:
        store.close()


def test_what_a_transaction_sets_is_not_left_to_whom_the_pooler_serves_next(pool: str, url: str) -> None:
    store = Store(through(pool, url))
    store.migrate([])
    with store.transaction() as connection:
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "10s"
    address = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as other:
        row = other.execute("SHOW lock_timeout").fetchone()
    assert row == ("0",)
    store.close()


@pytest.mark.parametrize(("asked", "meant"), [("0", 0), ("5", 5), ("none", None), ("", None), (None, None)])
def test_prepared_statements_are_used_if_asked_for(asked: str | None, meant: int | None, url: str) -> None:
    store = Store(url if asked is None else f"{url}&prepare_threshold={asked}")
    store.migrate([])
    for number in range(7):
        remember(store, str(number))
    with store.reading() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        assert driver.prepare_threshold == meant
    store.close()


def test_a_store_is_copied_through_a_pooler(pool: str, postgres: Postgres, store: Store) -> None:
    remember(store, *map(str, range(1500)))
    target = Store(through(pool, postgres.database()))
    target.migrate([])
    copy(store, target, lambda *_: None)
    assert count(target) == 1500
    target.close()


# What a server says


def test_a_deadlock_is_named_and_the_same_transaction_succeeds_the_next_time(store: Store) -> None:
    remember(store, "a", "b")
    both = Barrier(2)

    def touch(first: str, second: str, *, together: bool) -> None:
        with store.transaction() as connection:
            for id in (first, second):
                connection.execute(text("UPDATE inbox SET received_at = now() WHERE id = :id"), {"id": id})
                if together and id == first:
                    both.wait(10)

    with ThreadPoolExecutor(2) as threads:
        outcomes = [threads.submit(touch, order[0], order[1], together=True) for order in ("ab", "ba")]
        errors = [outcome.exception(60) for outcome in outcomes]
    (conflict,) = [error for error in errors if error]
    assert isinstance(conflict, StoreConflict)
    assert "rolled back a conflicting transaction: deadlock detected" in str(conflict)
    touch("a", "b", together=False)


def test_a_standby_is_away_and_the_next_connection_finds_the_new_primary(store: Store, url: str) -> None:
    remember(store, "a")
    with psycopg.connect(url, autocommit=True) as server:
        name = store.engine.url.database
        server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        store.close()
        with pytest.raises(StoreUnreachable, match=r"read-only transaction \(it is read-only, like a standby server\)"):
            remember(store, "b")
        assert count(store) == 1
        server.execute("SET default_transaction_read_only = off")
        server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    with pytest.raises(StoreUnreachable, match="read-only"):
        remember(store, "c")
    remember(store, "c")  # on a new connection: an old one would be read-only for ever
    assert count(store) == 2


def test_a_permission_that_is_lacking_is_the_databases_and_not_the_messages_fault(url: str) -> None:
    owned = Store(url)
    owned.migrate([])
    owned.close()

    with psycopg.connect(url, autocommit=True) as server:
        server.execute("CREATE ROLE nobody_much LOGIN")
        try:
            other = Store(url.replace("tests@", "nobody_much@"))
            with pytest.raises(StoreUnreachable, match=r"permission denied.*its role may not"):
                remember(other, "a")
            other.close()
        finally:
            server.execute("DROP ROLE nobody_much")


def test_a_database_without_our_tables_is_not_this_services(url: str) -> None:
    store = Store(url)
    with pytest.raises(StoreUnreachable, match=r"does not exist.*it belongs to another service"):
        count(store)
    store.close()


AWAY: list[type[psycopg.Error]] = [
    psycopg.errors.ConnectionFailure,
    psycopg.errors.ProtocolViolation,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.InvalidSqlStatementName,
    psycopg.errors.DuplicatePreparedStatement,
    psycopg.errors.InvalidCatalogName,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.TooManyConnections,
    psycopg.errors.DiskFull,
    psycopg.errors.ObjectInUse,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.AdminShutdown,
    psycopg.errors.CannotConnectNow,
    psycopg.errors.QueryCanceled,
    psycopg.errors.IoError,
    psycopg.errors.InternalError_,
    psycopg.errors.DataCorrupted,
    psycopg.errors.FeatureNotSupported,
    psycopg.InternalError,
    psycopg.NotSupportedError,
    psycopg.InterfaceError,
    psycopg.DatabaseError,
]
OURS: list[type[psycopg.Error]] = [
    psycopg.errors.UniqueViolation,
    psycopg.errors.SyntaxError,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.StringDataRightTruncation,
    psycopg.errors.NotNullViolation,
]


@pytest.mark.parametrize("kind", AWAY + OURS)
def test_whatever_comes_out_of_a_database_is_its_own_unless_the_mistake_is_ours(kind: type[psycopg.Error]) -> None:
    error = DBAPIError.instance("SELECT 1", {}, kind("so it says"), psycopg.Error)
    assert isinstance(error, DBAPIError)
    away = failures.translated(error, "postgresql://host/x")
    assert (away is None) == (kind in OURS)
    assert isinstance(away, StoreConflict) == (
        kind in (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
    )
    assert away is None or "so it says" in str(away)


def test_mistakes_of_ours_are_seen_as_they_are(store: Store) -> None:
    remember(store, "a")
    with pytest.raises(IntegrityError):
        remember(store, "a")
    with pytest.raises(ProgrammingError), store.transaction() as connection:
        connection.execute(text("SELEKT 1"))
    with pytest.raises(DataError), store.transaction() as connection:
        connection.execute(text("SELECT 1 / 0"))


# Addresses


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://ann:hunter2@host/x", "mysql is not supported; use SQLite or PostgreSQL"),
        ("mariadb+pymysql://ann:hunter2@host/x", "mariadb.pymysql is not supported"),
        ("postgresql+asyncpg://ann:hunter2@host/x", r"postgresql\+asyncpg is not supported"),
        ("postgresql+psycopg2://ann:hunter2@host/x", r"postgresql\+psycopg2 is not supported"),
        ("", "store_url is empty"),
        ("var/orders.db", "not a valid database URL"),
        ("sqlite://var/orders.db", "three slashes for a relative path"),
        ("sqlite:///var/orders.db?nosuch=1", "unknown option 'nosuch' after the ."),
        ("sqlite:///var/orders.db?timeout=long", "timeout must be a number of seconds"),
        ("postgresql://ann:hunter2@host:port/x", "not a valid database URL"),
        ("postgresql://ann:hunt@er2@host/x", "more than one @"),
        ("postgresql://ann:hunter2@host/x?sslmod=require", 'invalid option after the .: .*"sslmod"'),
        ("postgresql://ann:hunter2@host/x?prepare_threshold=often", "prepare_threshold must be a whole number"),
        ("postgresql://ann:hunter2@host/x?autocommit=true", "invalid option after the ."),
    ],
)
def test_an_address_that_can_not_be_used_is_refused_in_words(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        Store(url)
    assert "store_url" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "er2" not in str(caught.value)


def test_passwords_with_any_letters_are_passed_on_as_they_are() -> None:
    store = Store("postgresql://ann%40shop:p%40ss%2F%3A%23%3F%25%20%C3%BC@host:6432/name?application_name=a%20b")
    _, arguments = store.engine.dialect.create_connect_args(store.engine.url)
    assert arguments["user"] == "ann@shop"
    assert arguments["password"] == "p@ss/:#?% ü"
    assert arguments["application_name"] == "a b"
    assert "p@ss" not in store.place
    store.close()


def test_what_an_address_says_of_the_network_wins(url: str) -> None:
    store = Store(f"{url}&connect_timeout=21&keepalives_idle=33&application_name=house")
    store.migrate([])
    with store.reading() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        parameters = driver.info.get_parameters()
    assert (parameters["connect_timeout"], parameters["keepalives_idle"]) == ("21", "33")
    assert (parameters["application_name"], parameters["keepalives_count"]) == ("house", "3")
    store.close()


def test_several_hosts_may_be_named_of_which_the_primary_is_taken(postgres: Postgres) -> None:
    address = postgres.database()
    store = Store(f"{address}&host=/nowhere&target_session_attrs=read-write")
    store.migrate([])
    assert count(store) == 0
    store.close()


def test_an_outbox_is_read_by_the_thousand_in_one_look(store: Store) -> None:
    with store.reading() as connection:
        assert outbox.backlog(connection) == 0
        with pytest.raises(DBAPIError, match="read-only"):
            connection.execute(text("DELETE FROM outbox"))


def test_a_database_of_a_newer_version_is_left_alone_and_told(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("INSERT INTO alembic_version VALUES ('9999_from_the_future')"))
    assert not store.is_migrated([])
    with pytest.raises(ConfigurationError, match=r"another version of Sitecrew.*9999_from_the_future"):
        store.migrate([])
