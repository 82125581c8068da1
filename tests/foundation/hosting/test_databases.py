"""Databases for sites, on a real MariaDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pymysql
import pytest

from foundation.errors import Failed
from foundation.hosting import Database, Databases
from foundation.hosting.causes import HOSTING_CAUSES
from foundation.hosting.database_errors import failure
from foundation.hosting.databases import MariaDatabases
from schemas.values import CauseKind
from tests.support.daemons import mariadb

pytest_plugins = ("tests.support.web_host",)


@contextmanager
def connected(database: Database) -> Iterator[pymysql.cursors.Cursor]:
    """As the site itself connects."""
    socket = database.host.partition(":")[2]
    with (
        pymysql.connect(
            user=database.username, password=database.password, unix_socket=socket, database=database.name
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def test_a_site_can_use_its_database(database_server: MariaDatabases) -> None:
    databases: Databases = database_server
    database = databases.create("usable_g1f1")
    with connected(database) as cursor:
        cursor.execute("CREATE TABLE t (emoji TEXT)")
        cursor.execute("INSERT INTO t VALUES ('🙂')")
        cursor.execute("SELECT emoji FROM t")
        assert cursor.fetchone() == ("🙂",)
    databases.drop("usable_g1f1")


def test_a_site_cannot_use_a_database_whose_name_differs_in_an_underscore(database_server: MariaDatabases) -> None:
    mine = database_server.create("under_g1f1")
    database_server.create("underxg1f1")
    with connected(mine) as cursor, pytest.raises(pymysql.err.OperationalError, match="1044"):
        cursor.execute("USE underxg1f1")


def test_what_an_interrupted_run_left_is_dropped_first(database_server: MariaDatabases) -> None:
    old = database_server.create("again_g1f1")
    with connected(old) as cursor:
        cursor.execute("CREATE TABLE half_done (n INT)")
    new = database_server.create("again_g1f1")
    with connected(new) as cursor:
        cursor.execute("SHOW TABLES")
        assert cursor.fetchall() == ()
    with pytest.raises(pymysql.err.OperationalError, match="1045"), connected(old):
        pass


def test_names_are_listed_by_prefix_and_literally(database_server: MariaDatabases) -> None:
    for name in ("list_g2f1", "list_g1f1", "listxg1f1"):
        database_server.create(name)
    assert database_server.names("list_g") == ["list_g1f1", "list_g2f1"]


def test_dropping_takes_the_user_too_and_may_be_repeated(database_server: MariaDatabases) -> None:
    database = database_server.create("gone_g1f1")
    database_server.drop("gone_g1f1")
    database_server.drop("gone_g1f1")
    assert database_server.names("gone_g") == []
    with pytest.raises(pymysql.err.OperationalError, match="1045"), connected(database):
        pass


def test_a_server_that_is_not_there_is_down(database_server: MariaDatabases) -> None:
    assert database_server.socket is not None
    absent = replace(database_server, socket=database_server.socket.with_name("none"))
    with pytest.raises(Failed, match="db_down") as failure:
        absent.names("x")
    assert failure.value.cause.kind is CauseKind.TRANSIENT
    with pytest.raises(Failed, match="db_down"):
        MariaDatabases(host="127.0.0.1", port=1).names("x")


def test_a_server_that_takes_connections_and_says_nothing_is_down() -> None:
    with mariadb() as (databases, daemon):
        databases.create("before_g1f1")
        daemon.freeze()
        with pytest.raises(Failed, match="db_down"):
            replace(databases, read_seconds=1).names("x")


def test_a_wrong_password_is_a_matter_of_configuration_and_is_not_repeated(database_server: MariaDatabases) -> None:
    with pytest.raises(Failed, match="db_auth") as failure:
        replace(database_server, user="nobody", password="hunter22").names("x")
    assert failure.value.cause.kind is CauseKind.CONFIGURATION
    assert "hunter22" not in f"{failure.value} {failure.value.cause}"
    assert "hunter22" not in repr(replace(database_server, password="hunter22"))


def test_an_administrator_without_the_right_to_create_is_denied(database_server: MariaDatabases) -> None:
    weak = database_server.create("weak_g1f1")
    limited = replace(database_server, user=weak.username, password=weak.password)
    with pytest.raises(Failed, match="db_denied") as failure:
        limited.create("more_g1f1")
    assert failure.value.cause.kind is CauseKind.CONFIGURATION


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (1021, "Disk full"),
        (1114, "The table 't' is full"),
        (1005, 'Can\'t create table `a`.`t` (errno: 135 "Unknown error 135")'),
        (1030, "Got error 28 from storage engine (errno: 28 No space left on device)"),
    ],
)
def test_a_full_disk_of_the_server_is_a_matter_of_capacity(number: int, message: str) -> None:
    cause = failure(number, message, "create x").cause
    assert (cause.code, cause.kind) == ("db_full", CauseKind.CAPACITY)


def test_an_error_that_may_quote_a_statement_is_told_by_its_number_alone() -> None:
    cause = failure(1064, "You have an error near 'IDENTIFIED BY hunter22'", "create x").cause
    assert (cause.code, cause.detail) == ("db_error", "create x: error 1064")


def test_every_cause_tells_the_operator_what_to_do() -> None:
    assert all(meaning.remedy.endswith(".") for meaning in HOSTING_CAUSES.values())
