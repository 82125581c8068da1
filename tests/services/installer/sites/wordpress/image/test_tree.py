"""Files of an image: packed once, written as often as needed, and never when the archive is not what was packed."""

import os
from pathlib import Path

import pytest

from services.installer.sites.wordpress.image.tree import Archive, Tree, pack

CONTENT = {
    "index.php": b"<?php",
    "empty": b"",
    "a/small.css": b"x" * 4095,
    "a/b/large.bin": os.urandom(200_001),
    "a/b/block.bin": os.urandom(1 << 16),
    "wp-config.php": b"secret",
    "a/wp-config.php": b"a customer's plug-in may have one",
}


@pytest.fixture
def packed(tmp_path: Path) -> tuple[Path, Tree]:
    source = tmp_path / "source"
    for name, content in CONTENT.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    (source / "a" / "hollow").mkdir()
    archive = tmp_path / "tree"
    return archive, pack(source, archive, frozenset({"wp-config.php"}))


def test_what_is_unpacked_is_what_was_packed(packed: tuple[Path, Tree], tmp_path: Path) -> None:
    (stage := tmp_path / "stage").mkdir()
    stage.chmod(0o2750)
    Archive(*packed).unpack(stage, None)
    found = {str(path.relative_to(stage)): path for path in stage.rglob("*")}
    assert {name: path.read_bytes() for name, path in found.items() if path.is_file()} == {
        name: content for name, content in CONTENT.items() if name != "wp-config.php"
    }
    assert {oct(path.stat().st_mode) for path in found.values() if path.is_dir()} == {"0o42750"}
    assert {oct(path.stat().st_mode) for path in found.values() if path.is_file()} == {"0o100640"}
    assert (stage / "a" / "hollow").is_dir()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_files_are_their_owners_from_the_first_moment(packed: tuple[Path, Tree], tmp_path: Path) -> None:
    (stage := tmp_path / "stage").mkdir(0o700)
    Archive(*packed).unpack(stage, (1234, 2345))
    assert {(path.stat().st_uid, path.stat().st_gid) for path in stage.rglob("*")} == {(1234, 2345)}
    assert stage.stat().st_uid == 0


def test_a_changed_archive_is_not_sound(packed: tuple[Path, Tree]) -> None:
    archive, tree = packed
    assert Archive(archive, tree).is_sound()
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1
    archive.write_bytes(content)
    assert not Archive(archive, tree).is_sound()


def test_a_shortened_archive_is_not_sound(packed: tuple[Path, Tree]) -> None:
    archive, tree = packed
    os.truncate(archive, archive.stat().st_size - 1)
    assert not Archive(archive, tree).is_sound()


def test_an_archive_serves_again_and_again(packed: tuple[Path, Tree], tmp_path: Path) -> None:
    archive = Archive(*packed)
    packed[0].unlink()  # a newer image takes its place while this one is in use
    for number in range(3):
        (stage := tmp_path / f"stage{number}").mkdir()
        archive.unpack(stage, None)
        assert (stage / "a/b/large.bin").read_bytes() == CONTENT["a/b/large.bin"]
