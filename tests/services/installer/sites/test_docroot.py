"""The document root changes hands whole or not at all, whatever crashes and whoever comes late."""

import ctypes
import errno
import fcntl
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from foundation.errors import Failed
from foundation.hosting import Database
from services.installer.sites import docroot as docroot_module
from services.installer.sites.causes import failed
from services.installer.sites.docroot import Docroot, syscalls, trash
from services.installer.sites.docroot.markers import SiteMarker, read_journal, read_site
from services.installer.sites.docroot.runs import Run, database_prefix
from services.installer.sites.docroot.syscalls import exchange


def nothing(*_: object) -> None:
    """Happens."""


@dataclass
class Names:
    """Databases of which nothing but the names exists."""

    existing: set[str] = field(default_factory=set)
    down: bool = False

    def create(self, name: str) -> Database:
        self.existing.add(name)
        return Database("localhost", name, name, "secret")

    def drop(self, name: str) -> None:
        self.existing.discard(name)

    def names(self, prefix: str) -> list[str]:
        if self.down:
            raise failed("db_down", "nobody answers")
        return sorted(name for name in self.existing if name.startswith(prefix))


@pytest.fixture
def databases() -> Names:
    return Names()


@pytest.fixture
def first(tmp_path: Path, databases: Names) -> Docroot:
    """The first run of an account's first install."""
    for name in ("www", "private"):
        (tmp_path / "ann" / name).mkdir(parents=True)
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    return Docroot(tmp_path / "ann", "ann", "order-g1", Run(1, 1), deadline, databases, "http://192.0.2.7/~ann/")


def claimed_again(docroot: Docroot) -> Docroot:
    return replace(docroot, run=Run(docroot.run.generation, docroot.run.fence + 1))


def reinstall(docroot: Docroot) -> Docroot:
    generation = docroot.run.generation + 1
    return replace(docroot, run=Run(generation, 1), install_id=f"order-g{generation}")


def marker_of(docroot: Docroot) -> SiteMarker:
    database = docroot.run.database(docroot.username)
    url = "http://192.0.2.7/~ann/"
    return SiteMarker(docroot.install_id, docroot.run, "test", "1", url, database=database)


@contextmanager
def built(docroot: Docroot) -> Iterator[Path]:
    """A tree that says whose it is, and its database."""
    assert docroot.databases is not None
    with docroot.building() as stage:
        (stage / "index.html").write_text(docroot.install_id)
        docroot.databases.create(docroot.run.database(docroot.username))
        yield stage


def put_in_place(
    docroot: Docroot, meanwhile: Callable[[Path], object] = nothing, verify: Callable[[], object] = nothing
) -> None:
    """What follows a run's beginning; `meanwhile` happens between the building and the exchange."""
    with built(docroot) as stage:
        meanwhile(stage)
        docroot.go_live(stage, marker_of(docroot), verify, lambda _: nullcontext())


def install(docroot: Docroot, verify: BaseException | None = None) -> None:
    """A whole run; `verify` is raised where the site is verified."""

    def verifying() -> None:
        assert shown(docroot) == docroot.install_id
        if verify is not None:
            raise verify

    assert docroot.begin() is None
    put_in_place(docroot, verify=verifying)


def shown(docroot: Docroot) -> str | None:
    index = docroot.www / "index.html"
    return index.read_text() if index.exists() else None


def leftovers(docroot: Docroot) -> list[str]:
    trash.wait()
    return sorted(path.name for path in docroot.home.iterdir() if path.name not in {"www", "private"})


class Crash(BaseException):
    """The process is gone: nothing that would tidy up runs."""


def crash(docroot: Docroot, monkeypatch: pytest.MonkeyPatch, *, after_marker: bool = False) -> None:
    """A run that ends between the exchange and the marker, or right after the marker."""
    assert docroot.begin() is None
    with monkeypatch.context() as dead:
        dead.setattr(Docroot, "_settle", lambda _: None)
        dead.setattr(Docroot, "sweep", crashing if after_marker else lambda _: None)
        with pytest.raises(Crash):
            put_in_place(docroot, verify=nothing if after_marker else crashing)


def crashing(*_: object) -> None:
    raise Crash


def test_later_runs_compare_greater_by_generation_and_then_by_fence() -> None:
    assert Run(1, 1) < Run(1, 2) < Run(1, 10) < Run(2, 1) < Run(10, 1)


def test_a_run_is_known_again_by_the_names_of_its_things() -> None:
    run = Run(12, 3)
    assert Run.of_stage(run.stage(Path("/home"))) == run
    assert Run.of_database(run.database("ann")) == run
    assert run.database("ann").startswith(database_prefix("ann"))
    assert not run.database("anna").startswith(database_prefix("ann"))
    strangers = [Run.of_stage(Path("/home/www")), Run.of_database("ann_shop"), Run.of_database("ann_g1f1x")]
    assert strangers == [None, None, None]


def test_a_first_install_puts_its_tree_in_place_and_leaves_nothing_else(first: Docroot, databases: Names) -> None:
    install(first)
    assert shown(first) == "order-g1"
    assert read_site(first.private) == marker_of(first)
    assert leftovers(first) == []
    assert databases.existing == {"ann_g1f1"}


def test_the_tree_keeps_the_document_roots_group_and_mode(first: Docroot) -> None:
    first.www.chmod(0o2750)
    before = first.www.stat()
    install(first)
    after = first.www.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_an_install_that_is_done_is_not_done_again(first: Docroot) -> None:
    install(first)
    site = claimed_again(first).begin()
    assert site is not None
    assert (site.adopted, site.application, site.url) == (True, "test", "http://192.0.2.7/~ann/")


def test_a_reinstall_replaces_the_site_and_retires_the_old_one(first: Docroot, databases: Names) -> None:
    install(first)
    install(reinstall(first))
    assert shown(first) == "order-g2"
    assert leftovers(first) == []
    assert databases.existing == {"ann_g2f1"}


def test_a_first_install_that_cannot_be_verified_leaves_an_empty_document_root(
    first: Docroot, databases: Names
) -> None:
    with pytest.raises(Failed, match="verify_failed"):
        install(first, verify=failed("verify_failed", "answered 500"))
    assert (list(first.www.iterdir()), leftovers(first), databases.existing) == ([], [], set())


@pytest.mark.parametrize("end", [failed("verify_failed", "answered 500"), KeyboardInterrupt()])
def test_a_reinstall_that_cannot_be_verified_gives_the_old_site_back(
    first: Docroot, databases: Names, end: BaseException
) -> None:
    install(first)
    with pytest.raises(type(end)):
        install(reinstall(first), verify=end)
    assert shown(first) == "order-g1"
    assert leftovers(first) == []
    assert databases.existing == {"ann_g1f1"}
    assert read_site(first.private) == marker_of(first)


def test_after_a_crash_before_the_marker_the_next_run_ends_well(
    first: Docroot, databases: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(first, monkeypatch)
    assert shown(first) == "order-g1"
    second = claimed_again(first)
    assert second.begin() is None
    assert (list(first.www.iterdir()), leftovers(first), databases.existing) == ([], [], set())
    install(second)
    assert (shown(first), leftovers(first), databases.existing) == ("order-g1", [], {"ann_g1f2"})


def test_after_a_crash_of_a_reinstall_the_old_site_comes_back_first(
    first: Docroot, databases: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(first)
    crash(reinstall(first), monkeypatch)
    assert shown(first) == "order-g2"
    assert claimed_again(reinstall(first)).begin() is None
    assert (shown(first), leftovers(first), databases.existing) == ("order-g1", [], {"ann_g1f1"})


def test_after_a_crash_behind_the_marker_the_site_is_adopted_and_cleaned_up_after(
    first: Docroot, databases: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(first)
    crash(reinstall(first), monkeypatch, after_marker=True)
    assert len(leftovers(first)) == 1
    site = claimed_again(reinstall(first)).begin()
    assert site is not None
    assert site.adopted
    assert (shown(first), leftovers(first), databases.existing) == ("order-g2", [], {"ann_g2f1"})


def test_a_swap_that_cannot_be_undone_at_once_keeps_the_old_tree_for_the_next_run(
    first: Docroot, databases: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(first)
    calls = iter([exchange])

    def once(one: Path, other: Path) -> None:
        call = next(calls, None)
        if call is None:
            raise OSError(errno.EIO, "the disk is ill")
        call(one, other)

    with monkeypatch.context() as ill:
        ill.setattr(docroot_module, "exchange", once)
        with pytest.raises(OSError, match="the disk is ill"):
            install(reinstall(first), verify=failed("verify_failed", "answered 500"))
    assert databases.existing == {"ann_g1f1", "ann_g2f1"}
    assert claimed_again(reinstall(first)).begin() is None
    assert (shown(first), leftovers(first), databases.existing) == ("order-g1", [], {"ann_g1f1"})


def test_a_run_that_was_overtaken_cannot_go_live(first: Docroot, databases: Names) -> None:
    assert first.begin() is None
    with pytest.raises(Failed, match="superseded"):
        put_in_place(first, meanwhile=lambda _: install(claimed_again(first)))
    assert read_site(first.private) == marker_of(claimed_again(first))
    assert (leftovers(first), databases.existing) == ([], {"ann_g1f2"})


def test_a_run_that_was_overtaken_cannot_go_live_even_while_its_tree_is_still_there(
    first: Docroot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtake(_: Path) -> None:
        with monkeypatch.context() as hurried:
            hurried.setattr(Docroot, "sweep", lambda _: None)
            assert claimed_again(first).begin() is None

    assert first.begin() is None
    with pytest.raises(Failed, match="superseded"):
        put_in_place(first, meanwhile=overtake)
    assert list(first.www.iterdir()) == []
    assert read_site(first.private) is None


def test_a_run_whose_tree_was_taken_away_says_that_it_was_overtaken(first: Docroot) -> None:
    def take_away(stage: Path) -> None:
        assert claimed_again(first).begin() is None
        (stage / "more").mkdir()

    assert first.begin() is None
    with pytest.raises(Failed, match="superseded") as failure:
        put_in_place(first, meanwhile=take_away)
    assert isinstance(failure.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize("late", [Run(1, 1), Run(1, 9)])
def test_a_run_of_an_older_generation_does_not_begin(first: Docroot, late: Run) -> None:
    install(reinstall(first))
    with pytest.raises(Failed, match="superseded"):
        replace(first, run=late).begin()
    assert shown(first) == "order-g2"


def test_files_that_are_not_ours_are_never_replaced(first: Docroot, databases: Names) -> None:
    (first.www / "index.html").write_text("the customer's")
    with pytest.raises(Failed, match="docroot_not_empty"):
        first.begin()
    assert (shown(first), leftovers(first), databases.existing) == ("the customer's", [], set())


def test_files_that_arrive_while_the_first_site_is_built_are_not_replaced_either(first: Docroot) -> None:
    assert first.begin() is None
    with pytest.raises(Failed, match="docroot_not_empty"):
        put_in_place(first, meanwhile=lambda _: (first.www / "index.html").write_text("the customer's"))
    assert (shown(first), leftovers(first)) == ("the customer's", [])


def test_an_account_without_its_directories_is_missing(first: Docroot) -> None:
    first.www.rmdir()
    with pytest.raises(Failed, match="account_missing"):
        first.begin()


def test_a_run_whose_time_is_up_does_not_begin(first: Docroot) -> None:
    with pytest.raises(Failed, match="timeout"):
        replace(first, deadline=datetime.now(UTC)).begin()


def test_a_run_waits_for_the_document_root_no_longer_than_its_deadline(first: Docroot) -> None:
    handle = os.open(first.private / "site.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with pytest.raises(Failed, match="timeout: ann: another run holds"):
            replace(first, deadline=datetime.now(UTC) + timedelta(seconds=0.2)).begin()
    finally:
        os.close(handle)
    assert first.begin() is None


def test_leftovers_in_a_database_that_is_down_wait_for_the_next_sweep(first: Docroot, databases: Names) -> None:
    databases.existing.add("ann_g1f0")
    databases.down = True
    assert first.begin() is None
    databases.down = False
    first.sweep()
    assert databases.existing == set()


def test_a_sweep_leaves_alone_what_later_runs_other_accounts_and_customers_made(
    first: Docroot, databases: Names
) -> None:
    foreign = {"ann_g1f2", "ann_g2f1", "ann_shop", "anna_g1f1"}
    databases.existing |= foreign
    Run(1, 2).stage(first.home).mkdir()
    first.sweep()
    assert databases.existing == foreign
    assert leftovers(first) == [".stage-g1-f2"]


def test_the_journal_holds_no_swap_open_after_a_run(first: Docroot) -> None:
    install(first)
    journal = read_journal(first.private)
    assert journal is not None
    assert (journal.run, journal.swapping) == (first.run, None)


def test_markers_that_are_no_markers_count_as_none(first: Docroot) -> None:
    for content in (b"", b"[]", b"{}", b"\xff", b'{"install_id": 7}'):
        (first.private / "site.json").write_bytes(content)
        assert read_site(first.private) is None


def test_at_no_moment_of_a_reinstall_is_there_no_site(first: Docroot) -> None:
    """Looked at before each line of the code that could take it away."""
    install(first)
    second, seen = reinstall(first), list[str | None]()

    def look(frame: FrameType, _event: str, _argument: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename != docroot_module.__file__:
            return None
        seen.append(shown(second))
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        install(second)
    finally:
        sys.settrace(before)
    assert list(dict.fromkeys(seen)) == [first.install_id, second.install_id]


def test_an_exchange_never_leaves_a_name_empty_handed(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
    exchange(tmp_path / "one", tmp_path / "other")
    assert [(tmp_path / name / "who").read_text() for name in ("one", "other")] == ["other", "one"]


@dataclass(frozen=True)
class OldKernel:
    number: int

    def renameat2(self, *_: object) -> int:
        ctypes.set_errno(self.number)
        return -1


@pytest.mark.parametrize("libc", [OldKernel(errno.EINVAL), OldKernel(errno.ENOSYS), object()])
def test_a_file_system_that_cannot_exchange_is_named_as_the_cause(
    first: Docroot, monkeypatch: pytest.MonkeyPatch, libc: object
) -> None:
    with monkeypatch.context() as old:
        old.setattr(syscalls, "_libc", libc)
        with pytest.raises(Failed, match="exchange_unsupported"):
            exchange(first.www, first.private)


def test_other_errors_of_an_exchange_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / secrets.token_hex(4), tmp_path)
