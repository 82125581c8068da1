"""PostgreSQL roles as deploy/postgresql/service.sql makes them: the owner migrates, a service works, staff read."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from foundation.errors import StoreUnreachable
from foundation.store import Store, inbox, outbox
from foundation.store.outbox import OutboxMessage
from services.installer import service as installer
from services.mailer import service as mailer
from tests.support.postgres import Postgres, installed

SCRIPT = Path(__file__).parents[3] / "deploy" / "postgresql" / "service.sql"
TOLD = "run `sitecrew store migrate` as their owner"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOLDERS = {"installer": installer.MIGRATIONS, "mailer": mailer.MIGRATIONS}


def url(server: Postgres, role: str, database: str) -> str:
    return f"postgresql://{role}@/{database}?host={server.directory}"


@contextmanager
def opened(server: Postgres, role: str, database: str) -> Iterator[Store]:
    with closing(Store(url(server, role, database))) as store:
        yield store


@pytest.fixture(scope="module")
def server(postgres: Postgres) -> Postgres:
    """Where each script has run twice, before and after the tables were made."""
    programs = installed()
    assert programs
    if not (programs / "psql").exists():
        pytest.skip("no psql")

    def run(service: str) -> None:
        script = ("-v", f"service={service}", "-f", str(SCRIPT))
        subprocess.run((str(programs / "psql"), "-qX", *_as(postgres), *script), check=True, stdout=subprocess.PIPE)

    for service, folder in FOLDERS.items():
        run(service)
        with opened(postgres, f"sitecrew_{service}", service) as own, pytest.raises(StoreUnreachable, match=TOLD):
            own.migrate([folder])
        with opened(postgres, "sitecrew_owner", service) as owners:
            owners.migrate([folder])
        run(service)
    return postgres


def _as(postgres: Postgres) -> tuple[str, ...]:
    return ("-h", str(postgres.directory), "-U", "tests", "-d", "postgres")


@pytest.mark.parametrize("service", FOLDERS)
def test_a_service_starts_and_works_without_the_right_to_change_tables(server: Postgres, service: str) -> None:
    with opened(server, f"sitecrew_{service}", service) as store:
        store.migrate([FOLDERS[service]])
        assert store.is_migrated([FOLDERS[service]])
        with store.transaction() as connection:
            inbox.forget_before(connection, NOW)
            outbox.add(connection, [OutboxMessage("events", "key", "m1", "t", "", "text/plain", b"x")], NOW)
            outbox.remove(connection, [row.id for row in outbox.claim(connection, NOW, NOW, 10)])


REFUSED = {
    "sitecrew_installer": [
        "CREATE TABLE more (id int)",
        "CREATE TEMPORARY TABLE more (id int)",
        "CREATE SCHEMA more",
        "CREATE ROLE more",
        "CREATE DATABASE more",
        "DROP TABLE installs",
        "ALTER TABLE installs ADD COLUMN more int",
        "TRUNCATE installs",
        "ALTER DEFAULT PRIVILEGES FOR ROLE sitecrew_owner GRANT ALL ON TABLES TO PUBLIC",
        "CREATE INDEX more ON installs (state)",
        "SET ROLE sitecrew_owner",
        "COPY installs TO PROGRAM 'cat'",
    ],
    "sitecrew_staff": ["DELETE FROM installs", "UPDATE installs SET state = ''", "CREATE TABLE more (id int)"],
    "sitecrew_owner": ["CREATE ROLE more", "CREATE DATABASE more", "SET ROLE tests"],
}


@pytest.mark.parametrize(("role", "statement"), [(role, one) for role, those in REFUSED.items() for one in those])
def test_a_role_may_not(server: Postgres, role: str, statement: str) -> None:
    own = psycopg.connect(url(server, role, "installer"), autocommit=True)
    with own as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize(("role", "database"), [("sitecrew_installer", "mailer"), ("sitecrew_mailer", "installer")])
def test_a_service_cannot_open_anothers_database(server: Postgres, role: str, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url(server, role, database))


def test_staff_read(server: Postgres) -> None:
    with psycopg.connect(url(server, "sitecrew_staff", "installer")) as connection:
        assert connection.execute("SELECT count(*) FROM installs").fetchone() == (0,)
