"""The files of an SQLite database are nobody else's, whatever the umask, and the wrong place for them is named."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from foundation.errors import StoreUnreachable
from foundation.store import Store
from foundation.store.copy import copy
from foundation.store.sqlite_files import complaints

BESIDE = ("", "-wal", "-shm")


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    former = os.umask(request.param)
    yield request.param
    os.umask(former)


def modes(file: Path) -> list[int]:
    return [stat.S_IMODE(file.with_name(file.name + beside).stat().st_mode) for beside in BESIDE]


def opened(file: Path) -> Store:
    store = Store(f"sqlite:///{file}")
    store.migrate([])
    return store


@pytest.mark.usefixtures("umask")
def test_a_new_store_is_its_services_alone(tmp_path: Path) -> None:
    file = tmp_path / "var" / "orders.db"
    store = opened(file)
    assert modes(file) == [0o600] * 3
    assert stat.S_IMODE(file.parent.stat().st_mode) in (0o750, 0o700)
    store.close()


@pytest.mark.usefixtures("umask")
def test_a_store_that_was_open_to_others_is_closed_at_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "orders.db"
    first = opened(file)
    for beside in BESIDE:
        file.with_name(file.name + beside).chmod(0o644)
    second = opened(file)
    assert modes(file) == [0o600] * 3
    first.close()
    second.close()


@pytest.mark.usefixtures("umask")
def test_a_copy_is_as_private_as_its_original(tmp_path: Path) -> None:
    source, target = opened(tmp_path / "a.db"), opened(tmp_path / "b.db")
    copy(source, target, lambda *_: None)
    assert modes(tmp_path / "b.db") == [0o600] * 3
    source.close()
    target.close()


def test_looking_into_a_store_changes_no_permissions(tmp_path: Path) -> None:
    file = tmp_path / "orders.db"
    opened(file).close()
    file.chmod(0o640)
    look = Store.existing(f"sqlite:///{file}")
    with look.reading() as connection:
        connection.execute(text("SELECT count(*) FROM inbox"))
    look.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["orders.db", "a file? with #signs%20.db"])
def test_what_is_opened_to_be_read_cannot_be_changed(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    opened(file).close()
    look = Store.existing(f"sqlite:///{file}", read_only=True)
    with look.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM inbox")).scalar_one() == 0
    for transaction in (look.transaction, look.reading):
        with pytest.raises(StoreUnreachable, match="readonly"), transaction() as connection:
            connection.execute(text("DELETE FROM inbox"))
    look.close()


def test_files_that_others_may_read_are_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "orders.db"
    store = opened(file)
    assert complaints(file) == []
    file.with_name("orders.db-wal").chmod(0o644)
    (complaint,) = complaints(file)
    assert complaint.endswith(f"chmod 600 {file}-wal")
    store.close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_no_place_for_sqlite(tmp_path: Path, kind: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
        f"31 22 0:39 / /srv/far\\040away rw shared:1 - {kind} server:/x rw\n"
        "32 31 8:1 / /srv/far\\040away/near rw - xfs /dev/sdb rw\n"
    )
    (complaint,) = complaints(Path("/srv/far away/sitecrew/orders.db"), mounts)
    assert f"network file system ({kind})" in complaint
    assert complaints(Path("/srv/far away/near/orders.db"), mounts) == []
    assert complaints(Path("/srv/farther/orders.db"), mounts) == []


def test_the_locks_of_a_store_outlast_the_opening_of_another_connection(tmp_path: Path) -> None:
    """Whoever opens and closes the file beside SQLite drops the locks that this process has on it."""
    file = tmp_path / "orders.db"
    store = opened(file)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM inbox"))
        opened_beside = Store(f"sqlite:///{file}")
        with opened_beside.reading() as look:
            look.execute(text("SELECT count(*) FROM inbox"))
        # Asked by another process, for locks of one's own process are never in one's own way.
        ask = f"import sqlite3; sqlite3.connect({str(file)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
        asked = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
        opened_beside.close()
    assert "database is locked" in asked.stderr
    store.close()


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("attempt to write a readonly database", sqlite3.OperationalError),
        ("disk I/O error", sqlite3.OperationalError),
        ("database disk image is malformed", sqlite3.DatabaseError),
        ("unable to open database file", sqlite3.OperationalError),
        ("locking protocol", sqlite3.OperationalError),
        ("access permission denied", sqlite3.OperationalError),
    ],
)
def test_what_sqlite_says_of_its_file_is_told_with_the_place(
    tmp_path: Path, says: str, kind: type[sqlite3.Error], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path / "orders.db")

    def fail(*_: object, **__: object) -> None:
        raise kind(says)

    monkeypatch.setattr(store.engine.dialect, "do_execute", fail)
    monkeypatch.setattr(store.engine.dialect, "do_execute_no_params", fail)
    with pytest.raises(StoreUnreachable, match=rf"cannot use the database .*orders\.db: {says}"), store.transaction():
        pass
    store.close()
