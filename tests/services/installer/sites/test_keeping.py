"""What else lives in a document root stays there, and what must not be there is named."""

import ctypes
import errno
import os
import pickle
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from foundation.errors import Failed
from schemas.values import CauseKind
from services.installer.sites.docroot import Docroot, syscalls
from services.installer.sites.docroot.htaccess import merged, own
from services.installer.sites.docroot.markers import read_site
from tests.services.installer.sites.test_docroot import (  # noqa: F401
    databases,
    first,
    install,
    leftovers,
    put_in_place,
    reinstall,
    shown,
)

CHALLENGE = ".well-known/acme-challenge/token"


def put(docroot: Docroot, name: str, text: str = "the host's") -> Path:
    path = docroot.www / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def there(docroot: Docroot) -> dict[str, str]:
    files = (path for path in docroot.www.rglob("*") if path.is_file())
    return {str(path.relative_to(docroot.www)): path.read_text() for path in files}


# The names are those of fixtures.
# ruff: noqa: F811


def test_a_certificates_challenge_and_a_panels_files_stay_through_install_and_reinstall(first: Docroot) -> None:
    kept = {CHALLENGE: "a", "cgi-bin/x.cgi": "b", ".htaccess": "c", ".user.ini": "d", ".htpasswd": "e"}
    for name, text in kept.items():
        put(first, name, text)
    (first.www / "cgi-bin/x.cgi").chmod(0o755)
    install(first)
    assert there(first) == kept | {"index.html": "order-g1"}
    put(first, ".well-known/later", "f")
    install(reinstall(first))
    assert there(first) == kept | {".well-known/later": "f", "index.html": "order-g2"}
    assert (first.www / "cgi-bin/x.cgi").stat().st_mode & 0o777 == 0o755
    assert leftovers(first) == []


def test_what_was_carried_over_goes_back_with_the_older_tree(first: Docroot) -> None:
    put(first, CHALLENGE)
    with pytest.raises(RuntimeError):
        install(first, verify=RuntimeError())
    assert there(first) == {CHALLENGE: "the host's"}
    install(first_again := reinstall(first))
    with pytest.raises(RuntimeError):
        install(reinstall(first_again), verify=RuntimeError())
    assert there(first) == {CHALLENGE: "the host's", "index.html": "order-g2"}


def killed(docroot: Docroot, where: str) -> None:
    """A run in a process of its own that dies right behind one of the things that going live is made of."""
    script = f"""
        import os, pickle, signal, sys
        from services.installer.sites import docroot
        from services.installer.sites.docroot import keeping
        from tests.services.installer.sites.test_docroot import install
        def deadly(act):
            def acting(*given, **more):
                act(*given, **more)
                os.kill(os.getpid(), signal.SIGKILL)
            return acting
        {where} = deadly({where})
        install(pickle.load(sys.stdin.buffer))
    """
    ended = subprocess.run(
        [sys.executable, "-c", dedent(script)], input=pickle.dumps(docroot), check=False, capture_output=True
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()


@pytest.mark.parametrize(
    "where", ["docroot.write_journal", "docroot.exchange", "keeping.move", "docroot.sync_directory"]
)
def test_a_worker_killed_anywhere_around_the_exchange_leaves_nothing_unverified(first: Docroot, where: str) -> None:
    put(first, CHALLENGE)
    install(first)
    second = reinstall(first)
    killed(second, where)
    assert reinstall(second).begin() is None
    assert there(first) == {CHALLENGE: "the host's", "index.html": "order-g1"}
    assert leftovers(first) == []


def test_a_folder_that_the_application_brings_too_has_both_ones_files(first: Docroot) -> None:
    put(first, CHALLENGE)

    def bring(stage: Path) -> None:
        (stage / ".well-known/acme-challenge").mkdir(parents=True)
        (stage / ".well-known/security.txt").write_text("the application's")
        (stage / ".well-known/acme-challenge/own").touch()

    assert first.begin() is None
    put_in_place(first, meanwhile=bring)
    assert there(first) == {
        CHALLENGE: "the host's",
        ".well-known/security.txt": "the application's",
        "index.html": "order-g1",
    }
    assert leftovers(first) == []


def test_a_file_that_the_application_brings_too_is_never_lost_at_a_first_install(first: Docroot) -> None:
    put(first, ".user.ini")
    assert first.begin() is None
    with pytest.raises(Failed, match=r"docroot_not_empty: .* \.user\.ini, which the application also brings"):
        put_in_place(first, meanwhile=lambda stage: (stage / ".user.ini").touch())
    assert there(first) == {".user.ini": "the host's"}


def test_the_hosts_lines_of_htaccess_stay_beside_the_applications(first: Docroot) -> None:
    put(first, ".htaccess", "AddHandler php82 .php")  # without a line's end
    assert first.begin() is None
    put_in_place(first, meanwhile=lambda stage: (stage / ".htaccess").write_text("Options -Indexes\n"))
    block = "# BEGIN the application\nOptions {}Indexes\n# END the application\n"
    assert there(first)[".htaccess"] == "AddHandler php82 .php\n" + block.format("-")
    put(first, ".htaccess", there(first)[".htaccess"] + "Require ip 192.0.2.7\n")
    second = reinstall(first)
    assert second.begin() is None
    put_in_place(second, meanwhile=lambda stage: (stage / ".htaccess").write_text("Options +Indexes\n"))
    assert there(first)[".htaccess"] == f"AddHandler php82 .php\n{block.format('+')}Require ip 192.0.2.7\n"


def test_wordpresss_own_lines_are_known_by_its_markers() -> None:
    before, after = (f"# BEGIN WordPress\n{rule}\n# END WordPress\n" for rule in ("RewriteBase /a", r"R \1"))
    assert own(before) == before
    assert merged(f"a\n{before}b\n", own(after)) == f"a\n{after}b\n"
    assert merged("", own(after)) == after


def test_they_are_also_where_an_editor_has_ended_the_lines_in_another_way() -> None:
    ours = "# BEGIN WordPress\nnew\n# END WordPress\n"
    theirs = "# BEGIN WordPress\r\nold\r\n# END WordPress\r\nOptions -Indexes\r\n"
    assert merged(theirs, own(ours)) == f"{ours}Options -Indexes\r\n"


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "socket", "large"])
def test_an_htaccess_that_is_no_plain_file_is_neither_followed_nor_replaced(first: Docroot, kind: str) -> None:
    path = first.www / ".htaccess"
    match kind:
        case "link":
            path.symlink_to("/etc/passwd")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case _:
            path.write_text("#" * 300_000)
    assert first.begin() is None
    with pytest.raises(Failed, match="docroot_not_empty"):
        put_in_place(first, meanwhile=lambda stage: (stage / ".htaccess").touch())
    assert os.listdir(first.www) == [".htaccess"]  # noqa: PTH208
    install(first)
    assert sorted(os.listdir(first.www)) == [".htaccess", "index.html"]  # noqa: PTH208


def test_what_must_not_be_there_is_named_and_how_much_there_is(first: Docroot) -> None:
    for number in range(8):
        put(first, f"file{number}.html")
    put(first, CHALLENGE)
    with pytest.raises(
        Failed, match=r"contains file0\.html, file1\.html, .*file4\.html and 3 more, and there is no marker"
    ) as error:
        first.begin()
    assert error.value.cause.kind is CauseKind.CONFLICT
    assert "well-known" not in str(error.value)


def test_names_that_are_no_text_are_named_all_the_same(first: Docroot) -> None:
    (Path(os.fsdecode(os.fsencode(first.www) + b"/caf\xe9"))).touch()
    put(first, "new\nline")
    with pytest.raises(Failed, match="docroot_not_empty") as error:
        first.begin()
    assert r"caf\xe9, new\nline" in str(error.value)
    error.value.cause.model_dump_json().encode()


def test_names_that_are_no_text_are_carried_over_and_taken_back(first: Docroot) -> None:
    for name in (b".well-known", b".well-known/\xff\xfe"):
        os.mkdir(os.fsencode(first.www) + b"/" + name)  # noqa: PTH102
    install(first)
    install(reinstall(first))
    assert os.listdir(os.fsencode(first.www) + b"/.well-known") == [b"\xff\xfe"]  # noqa: PTH208


def test_a_placeholder_may_be_replaced_if_the_settings_name_it(first: Docroot) -> None:
    put(first, "index.html", "coming soon")
    put(first, "logo.png")
    named = replace(first, replace=("index.htm*", "logo.png"))
    with pytest.raises(RuntimeError):
        install(named, verify=RuntimeError())
    assert there(first) == {"index.html": "coming soon", "logo.png": "the host's"}
    install(named)
    assert there(first) == {"index.html": "order-g1"}


@pytest.mark.parametrize("name", ["www", "private", ""])
def test_a_link_in_place_of_a_directory_is_refused_by_its_name_and_nothing_is_changed(
    first: Docroot, tmp_path: Path, name: str
) -> None:
    linked, elsewhere = first.home / name, tmp_path / "second-disk"
    linked.rename(elsewhere)
    linked.symlink_to(elsewhere)
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(Failed, match=f"docroot_linked: {linked} is a link to {elsewhere}") as error:
        first.begin()
    assert error.value.cause.kind is CauseKind.CONFIGURATION
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_link_that_leads_nowhere_is_a_link_too(first: Docroot) -> None:
    first.www.rmdir()
    first.www.symlink_to("/nowhere")
    with pytest.raises(Failed, match="docroot_linked"):
        first.begin()
    assert first.www.is_symlink()
    assert shown(first) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root")
@pytest.mark.parametrize("option", [["-t", "tmpfs", "tmpfs"], ["--bind", "elsewhere"]])
def test_a_mount_point_as_document_root_is_refused_by_its_name(
    first: Docroot, tmp_path: Path, option: list[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    given = [str(tmp_path / "elsewhere") if word == "elsewhere" else word for word in option]
    if subprocess.run(["mount", *given, first.www], check=False, capture_output=True).returncode:
        pytest.skip("nothing may be mounted here")
    try:
        with pytest.raises(Failed, match=f"docroot_mounted: {first.www}"):
            install(first)
        assert (os.listdir(first.www), read_site(first.private)) == ([], None)  # noqa: PTH208
    finally:
        subprocess.run(["umount", first.www], check=True)
    assert leftovers(first) == []
    install(first)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.EXDEV, "docroot_mounted"),
        (errno.EBUSY, "docroot_mounted"),
        (errno.EROFS, "disk_denied"),
        (errno.EDQUOT, "disk_full"),
        (errno.EPERM, "disk_denied"),
    ],
)
def test_what_keeps_directories_from_being_exchanged_is_the_cause(
    first: Docroot, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    put(first, CHALLENGE)
    with monkeypatch.context() as broken:
        broken.setattr(syscalls, "_libc", Unable(number))
        with pytest.raises(Failed, match=code):
            install(first)
    assert (there(first), leftovers(first)) == ({CHALLENGE: "the host's"}, [])


class Unable:
    """A C library whose exchange ends in an error."""

    def __init__(self, number: int) -> None:
        self.number = number

    def renameat2(self, *_: object) -> int:
        ctypes.set_errno(self.number)
        return -1

    def syncfs(self, _: int) -> int:
        return 0
