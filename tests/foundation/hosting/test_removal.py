"""A customer's old tree is taken away whatever it is like, and never holds up or fails what is put in its place."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.hosting.removal import remove_tree
from services.installer.sites.docroot import Docroot, trash
from tests.services.installer.sites.test_docroot import (  # noqa: F401
    databases,
    first,
    install,
    leftovers,
    put_in_place,
    reinstall,
    shown,
)

# ruff: noqa: F811


def dig(folder: Path, depth: int) -> None:
    """Folders in each other, deeper than any path may be long."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a" * 8, dir_fd=handle)
        os.close(os.open("file", os.O_CREAT, dir_fd=handle))
        inner = os.open("a" * 8, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


def spread(folder: Path) -> None:
    for number in range(300):
        (folder / f"folder{number}").mkdir()
        for other in range(10):
            (folder / f"folder{number}" / f"file{other}").touch()


def odd(folder: Path) -> None:
    (folder / "link").symlink_to("/etc")
    (folder / "dead").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    os.mkdir(os.fsencode(folder) + b"/\xff\n")  # noqa: PTH102
    (folder / "locked" / "in").mkdir(parents=True)
    (folder / "locked" / "in").chmod(0)
    (folder / "locked").chmod(0)


@pytest.mark.parametrize("make", [lambda folder: dig(folder, 3000), spread, odd, lambda _: None])
def test_any_tree_goes(tmp_path: Path, make: Callable[[Path], None]) -> None:
    (tmp_path / "tree").mkdir()
    make(tmp_path / "tree")
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []
    assert Path("/etc/passwd").exists()


def test_a_file_or_a_link_goes_and_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/etc")
    for name in ("file", "link", "nothing"):
        remove_tree(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_somebody_fills_as_fast_as_it_is_emptied_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").touch()
    real = os.unlink

    def refilled(name: str, *, dir_fd: int) -> None:
        real(name, dir_fd=dir_fd)
        os.close(os.open(name, os.O_CREAT, dir_fd=dir_fd))

    with monkeypatch.context() as racing:
        racing.setattr(os, "unlink", refilled)
        with pytest.raises(TimeoutError):
            remove_tree(tmp_path / "tree", seconds=0.2)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_a_reinstall_over_a_deep_tree_ends_well_and_nothing_stays(first: Docroot) -> None:
    install(first)
    dig(first.www, 1200)
    install(reinstall(first))
    assert shown(first) == "order-g2"
    assert leftovers(first) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
def test_a_file_that_nobody_may_remove_stays_and_fails_nothing(first: Docroot) -> None:
    install(first)
    file = first.www / "immutable"
    file.touch()
    if subprocess.run(["chattr", "+i", file], check=False, capture_output=True).returncode:
        pytest.skip("the file system has no immutable files")
    try:
        install(reinstall(first))
        assert shown(first) == "order-g2"
        assert len(leftovers(first)) == 1
    finally:
        for left in first.home.rglob("immutable"):
            subprocess.run(["chattr", "-i", left], check=True)
    first.sweep()
    assert leftovers(first) == []


@pytest.mark.parametrize("error", [OSError(5, "the disk is ill"), RecursionError(), ValueError()])
def test_whatever_goes_wrong_with_what_was_there_before_the_install_is_done(
    first: Docroot, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    install(first)

    def fail(*_: object) -> None:
        raise error

    second = reinstall(first)
    assert second.begin() is None
    with monkeypatch.context() as ill:
        ill.setattr(trash, "throw_away", fail)
        put_in_place(second)
    assert shown(first) == "order-g2"


def test_an_install_does_not_wait_for_the_removal(first: Docroot, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def slowly(path: Path) -> None:
        assert go.wait(60)
        remove_tree(path)

    install(first)
    assert leftovers(first) == []
    with monkeypatch.context() as slow:
        slow.setattr(trash, "remove_tree", slowly)
        install(reinstall(first))
        assert shown(first) == "order-g2"
        assert [path.name[:7] for path in first.home.iterdir() if path.name not in {"www", "private"}] == [".trash-"]
        go.set()
        assert leftovers(first) == []
