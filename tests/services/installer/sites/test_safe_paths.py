"""Changing files in a tree whose owner may be at work in it, too."""

import stat
from pathlib import Path

import pytest

from services.installer.sites.docroot import safe_paths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("not ours")
    return tmp_path / "site"


def outside(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root.parent / "outside").iterdir()}


def test_a_file_is_written_with_its_mode_and_the_folders_to_it(root: Path) -> None:
    safe_paths.write(root, "conf/deep/local.php", "text\n", 0o640, None)
    assert (root / "conf/deep/local.php").read_text() == "text\n"
    assert stat.S_IMODE((root / "conf/deep/local.php").stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "conf/deep").stat().st_mode) == 0o2750


def test_what_is_there_is_replaced_and_not_written_into(root: Path) -> None:
    (root / "file").symlink_to("../outside/file")
    (root / "hard").hardlink_to(root.parent / "outside/file")
    for name in ("file", "hard"):
        safe_paths.write(root, name, "ours", 0o600, None)
        assert (root / name).read_text() == "ours"
    (root / "folder/inner").mkdir(parents=True)
    safe_paths.write(root, "folder", "ours", 0o600, None)
    assert (root / "folder").read_text() == "ours"
    assert outside(root) == {"file": "not ours"}


def test_no_folder_on_the_way_may_be_a_link(root: Path) -> None:
    (root / "way").symlink_to("../outside")
    with pytest.raises(OSError, match="way"):
        safe_paths.write(root, "way/file", "ours", 0o600, None)
    with pytest.raises(OSError, match="way"):
        safe_paths.write(root, "way/new/file", "ours", 0o600, None)
    with pytest.raises(OSError, match="way"):
        safe_paths.remove(root, "way/file")
    assert outside(root) == {"file": "not ours"}


def test_a_file_a_link_and_a_whole_folder_are_taken_away(root: Path) -> None:
    (root / "install/deep").mkdir(parents=True)
    (root / "install/deep/index.php").touch()
    (root / "install/out").symlink_to("../../outside")
    (root / "link").symlink_to("../outside")
    (root / "file").touch()
    for name in ("install", "link", "file", "nothing", "no/where"):
        safe_paths.remove(root, name)
    assert list(root.iterdir()) == []
    assert outside(root) == {"file": "not ours"}
