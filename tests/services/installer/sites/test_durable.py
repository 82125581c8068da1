"""What a marker vouches for is on the disk before it, and what it is written with survives a power cut: by the order
of the calls that say so to the kernel."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foundation.hosting.disk import write_marker
from services.installer.sites import docroot as docroot_module
from services.installer.sites.docroot import Docroot, syscalls
from services.installer.sites.docroot.syscalls import sync_disk
from services.installer.sites.verification.probe import Probe
from tests.services.installer.sites.test_docroot import databases, first, install, put_in_place  # noqa: F401

# ruff: noqa: F811


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is done to the disk, in order, each with the name of what it is done to."""
    seen: list[tuple[str, str]] = []

    def watched(owner: Any, name: str, target: Any) -> None:
        real = getattr(owner, name)

        def call(*given: Any, **more: Any) -> Any:
            seen.append((name, target(*given)))
            return real(*given, **more)

        monkeypatch.setattr(owner, name, call)

    def opened(handle: int) -> str:
        return Path(f"/proc/self/fd/{handle}").readlink().name

    watched(os, "fsync", opened)
    watched(Path, "replace", lambda _, target: Path(target).name)
    watched(docroot_module, "sync_disk", lambda path: path.name)
    watched(docroot_module, "exchange", lambda _, other: other.name)
    return seen


def test_a_marker_is_on_the_disk_before_it_has_its_name_and_its_name_before_anybody_goes_on(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    write_marker(tmp_path / "site.json", {"a": 1})
    (first_call, draft), *others = calls
    assert first_call == "fsync"
    assert draft.startswith(".site.json.")
    assert others == [("replace", "site.json"), ("fsync", tmp_path.name)]


def test_a_tree_is_on_the_disk_before_the_journal_announces_it_and_the_journal_before_the_exchange(
    first: Docroot, calls: list[tuple[str, str]]
) -> None:
    install(first)
    journal = [("replace", "journal.json"), ("fsync", "private")]
    # A draft is synced under a passing name; the test before this one looks at that.
    assert [call for call in calls if not call[1].startswith(".") or call[0] == "sync_disk"] == [
        *journal,  # the run has begun
        ("sync_disk", ".stage-g1-f1"),
        *journal,  # its tree may stand in `www`
        ("exchange", "www"),
        ("fsync", "ann"),
        *[("replace", "site.json"), ("fsync", "private")],
        *journal,  # the swap is closed
    ]


def test_what_is_carried_over_is_there_before_the_tree_is_verified(first: Docroot) -> None:
    (first.www / ".well-known").mkdir()
    seen: list[bool] = []
    assert first.begin() is None
    put_in_place(first, verify=lambda: seen.append((first.www / ".well-known").is_dir()))
    assert seen == [True]


def test_the_disk_of_a_tree_is_synced_by_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Libc:
        def syncfs(self, handle: int) -> int:
            asked.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
            return 0

    with monkeypatch.context() as watched:
        watched.setattr(syscalls, "_libc", Libc())
        sync_disk(tmp_path)
    assert asked == [str(tmp_path)]


# Handing over


@contextmanager
def another_owner(monkeypatch: pytest.MonkeyPatch, owner: tuple[int, int]) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setattr(Docroot, "owner", lambda _: owner)
        yield


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_a_link_in_the_tree_is_handed_over_and_not_what_it_leads_to(
    first: Docroot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for victim in ("file", "folder"):
        (tmp_path / victim).mkdir() if victim == "folder" else (tmp_path / victim).touch()
    with first.building() as stage, another_owner(monkeypatch, (54321, 54321)):
        (stage / "in").mkdir()
        for victim in ("file", "folder"):
            (stage / "in" / victim).symlink_to(tmp_path / victim)
        first.hand_over(stage)
        assert {path.lstat().st_uid for path in (stage, *stage.rglob("*"))} == {54321}
    assert {(tmp_path / victim).stat().st_uid for victim in ("file", "folder")} == {0}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_a_probe_is_handed_over_by_its_open_file_whatever_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel does not protect hard links, a customer could put root's file where the probe was."""
    victim = tmp_path / "victim"
    victim.touch()
    real = os.fchmod

    def swapped(handle: int, mode: int) -> None:
        real(handle, mode)
        (probe,) = (tmp_path / "tree").iterdir()
        probe.unlink()
        probe.hardlink_to(victim)

    (tmp_path / "tree").mkdir()
    with monkeypatch.context() as racing:
        racing.setattr(os, "fchmod", swapped)
        Probe.put(tmp_path / "tree", (54321, 54321))
    assert victim.stat().st_uid == 0
