"""Archives: what comes out of them, and what never does."""

import hashlib
import io
import os
import stat
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.errors import Failed
from services.installer.sites.archive.cache import unpacked
from services.installer.sites.archive.recipe import Source
from services.installer.sites.archive.unpack import survey, unpack

Change = Callable[[tarfile.TarInfo], object]


def tar(path: Path, *members: tuple[str, bytes | Change], mode: str = "w:gz") -> Path:
    """An archive of files by their content; of anything else by what makes a member of it."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # a literal is wanted
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            else:
                content(member)
                archive.addfile(member)
    return path


def link(target: str, kind: bytes = tarfile.SYMTYPE) -> Change:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, target

    return change


def of_type(kind: bytes) -> Change:
    return lambda member: setattr(member, "type", kind)


FOLDER = of_type(tarfile.DIRTYPE)


def source(archive: Path, **limits: int) -> Source:
    return Source(path=archive, sha256=hashlib.sha256(archive.read_bytes()).hexdigest(), **limits)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def out(tmp_path: Path, archive: Path, **limits: int) -> dict[str, str]:
    """What is unpacked."""
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(archive, source(archive, **limits), folder)
    return content(folder)


def refused(tmp_path: Path, archive: Path, **limits: int) -> str:
    """Why it is not unpacked; and nothing is outside of its folder then."""
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(Failed) as unpacking:
        out(tmp_path, archive, **limits)
    with pytest.raises(Failed) as looking:
        survey(archive, source(archive, **limits))
    assert looking.value.cause.code == unpacking.value.cause.code
    assert {path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "out" not in path.parents} == before
    return str(unpacking.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_unpacked_however_it_is_compressed(tmp_path: Path, mode: str) -> None:
    archive = tar(tmp_path / "a", ("app", FOLDER), ("app/index.php", b"1"), ("app/deep/er.php", b"2"), mode=mode)
    assert out(tmp_path, archive) == {"app/index.php": "1", "app/deep/er.php": "2"}
    assert survey(archive, source(archive)) == (2, 3)


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("app/", "")
        archive.writestr("app/index.php", "1")
        linked = zipfile.ZipInfo("app/link.php")
        linked.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(linked, "index.php")
    assert out(tmp_path, tmp_path / "a.zip") == {"app/index.php": "1", "app/link.php": "1"}


def test_permissions_owners_and_special_bits_of_an_archive_mean_nothing(tmp_path: Path) -> None:
    def setuid(member: tarfile.TarInfo) -> None:
        member.mode, member.uid, member.uname = 0o6777, 4711, "nobody"

    out(tmp_path, tar(tmp_path / "a", ("bin", setuid), ("open", FOLDER)))
    assert stat.S_IMODE((tmp_path / "out/bin").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "out/open").stat().st_mode) == 0o700
    assert (tmp_path / "out/bin").stat().st_uid == os.geteuid()


def test_links_within_an_archive_become_copies(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "a",
        ("app/vendor/bin/tool", link("../tool/run.php")),
        ("app/vendor/tool/run.php", b"1"),
        ("app/hard.php", link("app/vendor/tool/run.php", tarfile.LNKTYPE)),
        ("app/again.php", link("vendor/bin/tool")),
    )
    assert set(out(tmp_path, archive).values()) == {"1"}
    assert not any(path.is_symlink() or path.lstat().st_nlink > 1 for path in tmp_path.rglob("out/**/*.php"))


@pytest.mark.parametrize(
    "members",
    [
        [("/etc/evil", b"")],
        [("../evil", b"")],
        [("app/../../evil", b"")],
        [("app\\..\\evil", b"")],
        [("..", FOLDER)],
        [("app/passwd", link("/etc/passwd"))],
        [("app/passwd", link("../../../etc/passwd"))],
        [("app/hosts", link("/etc/hosts", tarfile.LNKTYPE))],
        [("app/up", link("..")), ("app/up/evil", b"")],
        [("app/other", link("folder")), ("app/folder", FOLDER)],
        [("one", link("two")), ("two", link("one"))],
        [("nowhere", link("nothing"))],
        [("null", of_type(tarfile.CHRTYPE))],
        [("pipe", of_type(tarfile.FIFOTYPE))],
    ],
)
def test_nothing_of_an_archive_leads_out_of_its_folder(
    tmp_path: Path, members: list[tuple[str, bytes | Change]]
) -> None:
    assert refused(tmp_path, tar(tmp_path / "a", *members)).startswith("archive_unsafe")


def test_a_file_below_a_link_to_a_folder_does_not_follow_it(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    said = refused(tmp_path, tar(tmp_path / "a", ("way", link(str(tmp_path / "outside"))), ("way/evil", b"")))
    assert said.startswith("archive_unsafe")
    assert list((tmp_path / "outside").iterdir()) == []


def test_more_files_than_allowed_are_refused_before_one_is_written(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", *((f"{number}", b"") for number in range(11)))
    assert "more than 10 entries (`most_files`)" in refused(tmp_path, archive, most_files=10)


def test_more_bytes_than_allowed_are_refused_before_one_is_written(tmp_path: Path) -> None:
    bomb = tar(tmp_path / "a", ("zeros", bytes(10_000_000)))
    assert bomb.stat().st_size < 20_000
    assert "more than 9999999 bytes (`largest`)" in refused(tmp_path, bomb, largest=9_999_999)
    assert list((tmp_path / "out").iterdir()) == []


def test_links_do_not_multiply_what_an_archive_may_hold(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", ("one", bytes(1000)), *((f"link{number}", link("one")) for number in range(9)))
    (tmp_path / "out").mkdir()
    with pytest.raises(Failed, match=r"archive_unsafe: .* more than `largest` allows"):
        unpack(archive, source(archive, largest=5000), tmp_path / "out")


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40_000:40_100] = bytes(100)
    path.write_bytes(content)


def zip_that_lies(path: Path) -> Path:
    """A zip whose directory says of a file of a million bytes that it has one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1_000_000))
        archive.infolist()[0].file_size = 1
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"no archive at all"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(tar(path, ("a", os.urandom(90_000))).read_bytes()[:-40_000]),
        lambda path: path.write_bytes(tar(path, ("a", os.urandom(90_000)), mode="w:xz").read_bytes()[:-40_000]),
        lambda path: path.write_bytes(tar(path, ("a", os.urandom(90_000)), mode="w:bz2").read_bytes()[:-40_000]),
        lambda path: damaged(tar(path, ("a", os.urandom(90_000)), mode="w:xz")),
        lambda path: damaged(tar(path, ("a", os.urandom(90_000)), mode="w:bz2")),
        zip_that_lies,
    ],
)
def test_what_is_no_archive_or_was_cut_is_told_so(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a")
    (tmp_path / "out").mkdir()
    with pytest.raises(Failed, match=r"archive_broken: .*/a"):
        unpack(tmp_path / "a", source(tmp_path / "a"), tmp_path / "out")


@pytest.mark.parametrize("members", [[("a", b"1"), ("a/b", b"2")], [("a/b", b"2"), ("a", b"1")], [("x" * 300, b"")]])
def test_an_archive_that_contradicts_itself_is_broken(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    archive = tar(tmp_path / "a", *members)
    with pytest.raises(Failed, match="archive_broken"):
        out(tmp_path, archive)


# The cache


def test_an_archive_is_unpacked_once(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", ("index.php", b"1"))
    place = unpacked(archive, source(archive), tmp_path / "places")
    (place / "index.php").write_text("kept")
    assert content(unpacked(archive, source(archive), tmp_path / "places")) == {"index.php": "kept"}
    assert stat.S_IMODE((tmp_path / "places").stat().st_mode) == 0o700


def test_an_archive_with_another_checksum_is_changed_and_never_unpacked(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", ("index.php", b"1"))
    wanted = source(archive)
    unpacked(archive, wanted, tmp_path / "places")
    tar(archive, ("index.php", b"2"))
    with pytest.raises(Failed, match="archive_changed"):
        unpacked(archive, wanted, tmp_path / "places")
    assert len(list((tmp_path / "places").iterdir())) == 1


def test_an_archive_that_is_not_there_is_missing(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a", ("index.php", b"1"))
    wanted = source(archive)
    archive.unlink()
    with pytest.raises(Failed, match=r"archive_missing: .*No such file"):
        unpacked(archive, wanted, tmp_path / "places")


def test_an_archive_that_fails_leaves_nothing_and_old_leftovers_go(tmp_path: Path) -> None:
    places = tmp_path / "places"
    (places / ".abandoned").mkdir(parents=True)
    (places / ".at-work").mkdir()
    long_ago = time.time() - 7200
    os.utime(places / ".abandoned", (long_ago, long_ago))
    archive = tar(tmp_path / "a", ("fine", b"1"), ("../evil", b""))
    with pytest.raises(Failed, match="archive_unsafe"):
        unpacked(archive, source(archive), places)
    assert [path.name for path in places.iterdir()] == [".at-work"]


def test_many_who_unpack_the_same_at_once_all_get_it_whole(tmp_path: Path) -> None:
    files = [(f"{number}.php", b"1") for number in range(200)]
    archive = tar(tmp_path / "a", *files)
    found: list[int] = []
    gate = threading.Barrier(6)

    def work() -> None:
        gate.wait(10)
        found.append(len(content(unpacked(archive, source(archive), tmp_path / "places"))))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [200] * 6
    assert len(list((tmp_path / "places").iterdir())) == 1
