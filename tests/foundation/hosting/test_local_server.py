"""Accounts of this machine: made once, adopted after a crash, never taken from somebody else."""

import errno
import os
import pwd
import secrets
import shutil
import signal
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting import Account, AccountRequest, Server, disk, drafts
from foundation.hosting.local import LocalServer
from schemas.values import CauseKind

REQUEST = AccountRequest("ann", "shop.example", "ann@example.org", marker="order-1", password="pass:word")


@pytest.fixture
def server(tmp_path: Path) -> LocalServer:
    return LocalServer(name="one", root=tmp_path, address="192.0.2.7", web_address="127.0.0.1:8080", public_port=8080)


def everything_in(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_account_has_a_home_that_others_can_only_walk_through(server: LocalServer) -> None:
    before = os.umask(0o077)
    try:
        assert server.create_account(REQUEST) == Account("ann", "shop.example", adopted=False)
    finally:
        os.umask(before)
    home = server.home("ann")
    assert [mode(path) for path in (home, home / "www", home / "private")] == [0o711, 0o2750, 0o700]
    assert mode(server.root / "accounts") == mode(server.root / "vhosts") == 0o711


def test_the_domain_leads_to_the_document_root_wherever_the_root_is_mounted(
    server: LocalServer, tmp_path: Path
) -> None:
    server.create_account(REQUEST)
    moved = tmp_path.with_name(f"{tmp_path.name}-elsewhere")
    tmp_path.rename(moved)
    assert (moved / "vhosts" / "shop.example").resolve() == moved / "accounts" / "ann" / "www"


def test_the_marker_knows_the_order_and_no_secret(server: LocalServer) -> None:
    server.create_account(REQUEST)
    marker = disk.read_marker(server.home("ann") / "private" / "account.json")
    assert marker is not None
    assert (marker["marker"], marker["domain"]) == ("order-1", "shop.example")
    assert REQUEST.password not in str(marker)
    assert mode(server.home("ann") / "private" / "account.json") == 0o600


def test_the_same_order_adopts_its_account(server: LocalServer) -> None:
    server.create_account(REQUEST)
    (server.home("ann") / "www" / "index.html").write_text("kept")
    assert server.create_account(REQUEST).adopted
    assert (server.home("ann") / "www" / "index.html").read_text() == "kept"


def test_another_order_cannot_have_the_username(server: LocalServer) -> None:
    server.create_account(REQUEST)
    before = everything_in(server.root)
    with pytest.raises(Failed, match="username_taken") as failure:
        server.create_account(replace(REQUEST, marker="order-2", domain="other.example"))
    assert failure.value.cause.kind is CauseKind.CONFLICT
    assert everything_in(server.root) == before


def test_a_home_without_a_marker_is_somebody_elses(server: LocalServer) -> None:
    (server.home("ann") / "www").mkdir(parents=True)
    with pytest.raises(Failed, match="username_taken"):
        server.create_account(REQUEST)
    assert not (server.root / "vhosts" / "shop.example").is_symlink()


def test_another_order_cannot_have_the_domain_and_leaves_no_account_behind(server: LocalServer) -> None:
    server.create_account(REQUEST)
    before = everything_in(server.root)
    with pytest.raises(Failed, match="domain_taken") as failure:
        server.create_account(replace(REQUEST, username="bob", marker="order-2"))
    assert failure.value.cause.kind is CauseKind.CONFLICT
    assert everything_in(server.root) == before


def test_a_domain_that_an_operator_keeps_as_a_directory_is_taken(server: LocalServer) -> None:
    (server.root / "vhosts" / "shop.example").mkdir(parents=True)
    with pytest.raises(Failed, match="domain_taken"):
        server.create_account(REQUEST)


@pytest.mark.parametrize("call", ["symlink_to", "rename", "mkdir", "replace", "chmod"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_crash_anywhere_leaves_what_the_same_order_completes(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, call: str, which: int
) -> None:
    server.check()
    with monkeypatch.context() as patched:
        patched.setattr(Path, call, dying(getattr(Path, call), which))
        # What tidies up after an exception does not run in a crash.
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        with suppress(Crash):
            server.create_account(REQUEST)
    server.create_account(REQUEST)
    assert (server.root / "vhosts" / "shop.example" / "..").resolve() == server.home("ann")
    assert mode(server.home("ann") / "www") == 0o2750
    with pytest.raises(Failed, match="username_taken"):
        server.create_account(replace(REQUEST, marker="order-2", domain="other.example"))


class Crash(BaseException):
    """The process is gone."""


def dying(function: object, which: int) -> object:
    """`function`, and on its n-th call a crash before it does anything."""
    calls = iter(range(1, 1000))

    def call(*args: object, **kwargs: object) -> object:
        if next(calls) == which:
            raise Crash
        return function(*args, **kwargs)  # type: ignore[operator]

    return call


def killed_while_it_builds(server: LocalServer) -> int:
    """Another process begins an account for `zoe` and is killed in the middle of it; its process id."""
    ready, started = os.pipe()
    child = os.fork()
    if child == 0:
        with drafts.drafted(server.home("zoe"), {"marker": "order-9"}):
            os.write(started, b"x")
            signal.pause()
    os.read(ready, 1)
    for end in (ready, started):
        os.close(end)
    return child


def drafts_in(server: LocalServer) -> list[str]:
    return [path.name for path in (server.root / "accounts").iterdir() if path.name.startswith(".")]


def aged(server: LocalServer, seconds: float) -> None:
    for name in drafts_in(server):
        os.utime(server.root / "accounts" / name, (time.time() - seconds,) * 2)


def test_what_a_killed_run_left_half_built_is_cleared_away_by_the_next_account_whoever_it_is_for(
    server: LocalServer,
) -> None:
    server.check()
    child = killed_while_it_builds(server)
    aged(server, 7200)
    server.create_account(REQUEST)
    assert len(drafts_in(server)) == 1, "its builder lives, however slow it is"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    server.create_account(replace(REQUEST, username="bob", marker="order-2", domain="other.example"))
    assert drafts_in(server) == []


def test_a_home_that_has_just_been_begun_is_left_to_its_builder(server: LocalServer) -> None:
    server.check()
    (server.root / "accounts" / ".zoe.young" / "www").mkdir(parents=True)
    server.create_account(REQUEST)
    assert drafts_in(server) == [".zoe.young"]


@pytest.mark.parametrize("absolute", [False, True])
def test_a_domain_whose_account_was_removed_is_free(server: LocalServer, absolute: bool) -> None:
    server.create_account(REQUEST)
    link = server.root / "vhosts" / "shop.example"
    if absolute:
        link.unlink()
        link.symlink_to(server.home("ann") / "www")
    shutil.rmtree(server.home("ann"))
    server.create_account(replace(REQUEST, username="bob", marker="order-2"))
    assert link.resolve() == server.home("bob") / "www"


def test_a_link_of_the_operators_own_is_never_taken_to_be_free(server: LocalServer) -> None:
    server.check()
    (server.root / "vhosts" / "shop.example").symlink_to("/a/disk/that/is/not/mounted/just/now")
    with pytest.raises(Failed, match="domain_taken"):
        server.create_account(REQUEST)


def test_a_document_root_that_is_gone_for_a_moment_does_not_free_its_domain(server: LocalServer) -> None:
    server.create_account(REQUEST)
    (server.home("ann") / "www").rename(server.home("ann") / "www-on-its-way")
    with pytest.raises(Failed, match="domain_taken"):
        server.create_account(replace(REQUEST, username="bob", marker="order-2"))


def test_an_account_gives_its_domain_back_and_stays(server: LocalServer) -> None:
    server.create_account(REQUEST)
    for _ in range(2):
        server.release_domain("ann", "shop.example")
    assert server.home("ann").is_dir()
    server.create_account(replace(REQUEST, username="bob", marker="order-2"))
    server.release_domain("ann", "shop.example")
    assert (server.root / "vhosts" / "shop.example").resolve() == server.home("bob") / "www"


def test_of_those_who_take_a_domain_and_those_who_give_it_back_at_once_one_has_it(server: LocalServer) -> None:
    server.create_account(REQUEST)
    requests = [replace(REQUEST, marker=f"order-{n}", username=f"bob{n}") for n in range(6)]

    def give_back() -> None:
        for _ in range(50):
            server.release_domain("ann", "shop.example")

    giving = threading.Thread(target=give_back)
    giving.start()
    outcomes = at_once(server, requests)
    giving.join(20)
    owner = (server.root / "vhosts" / "shop.example").resolve().parent.name
    made = {request.username for request in requests if isinstance(outcomes[request.marker], Account)}
    assert made <= {owner}, "an account that was made has its domain"


def test_of_many_orders_for_one_username_at_once_exactly_one_gets_it(server: LocalServer) -> None:
    requests = [replace(REQUEST, marker=f"order-{n}", domain=f"shop{n}.example") for n in range(8)]
    outcomes = at_once(server, requests)
    (winner,) = [request for request in requests if isinstance(outcomes[request.marker], Account)]
    assert {str(outcome)[:14] for key, outcome in outcomes.items() if key != winner.marker} == {"username_taken"}
    assert [path.name for path in (server.root / "vhosts").iterdir()] == [winner.domain]
    assert [path.name for path in (server.root / "accounts").iterdir()] == ["ann"]


def test_of_many_orders_for_one_domain_at_once_exactly_one_gets_it(server: LocalServer) -> None:
    requests = [replace(REQUEST, marker=f"order-{n}", username=f"ann{n}") for n in range(8)]
    outcomes = at_once(server, requests)
    (winner,) = [request for request in requests if isinstance(outcomes[request.marker], Account)]
    assert {str(outcome)[:12] for key, outcome in outcomes.items() if key != winner.marker} == {"domain_taken"}
    assert [path.name for path in (server.root / "accounts").iterdir()] == [winner.username]


def at_once(server: LocalServer, requests: list[AccountRequest]) -> dict[str, Account | Failed]:
    outcomes: dict[str, Account | Failed] = {}
    gate = threading.Barrier(len(requests))

    def order(request: AccountRequest) -> None:
        gate.wait(10)
        try:
            outcomes[request.marker] = server.create_account(request)
        except Failed as failure:
            outcomes[request.marker] = failure

    threads = [threading.Thread(target=order, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return outcomes


@pytest.mark.parametrize("knows_flags", [True, False])
def test_accounts_are_placed_apart_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, knows_flags: bool
) -> None:
    asked: list[bytes] = []

    def ioctl(_handle: int, _request: int, flags: bytes) -> bytes:
        asked.append(flags)
        if not knows_flags:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        return struct.pack("@i", 0x80000)

    monkeypatch.setattr("foundation.hosting.disk.fcntl.ioctl", ioctl)
    LocalServer(name="one", root=tmp_path, address="127.0.0.1", web_address="127.0.0.1:1").check()
    assert (struct.pack("@i", 0xA0000) in asked) is knows_flags


def test_a_missing_root_is_a_matter_of_configuration(server: LocalServer) -> None:
    server.root = server.root / "gone"
    with pytest.raises(Failed, match="server_root_missing") as failure:
        server.check()
    assert failure.value.cause.kind is CauseKind.CONFIGURATION
    assert not server.root.exists()


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EROFS, "disk_denied")]
)
def test_a_full_or_read_only_disk_says_so_and_leaves_nothing_behind(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    server.check()
    before = everything_in(server.root)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Failed, match=code):
        server.create_account(REQUEST)
    assert everything_in(server.root) == before


def test_room_is_asked_for_in_bytes_and_in_inodes(tmp_path: Path) -> None:
    disk.require_room(tmp_path, 1, 1)
    with pytest.raises(Failed, match=r"disk_full: .* bytes"):
        disk.require_room(tmp_path, 10**18, 1)
    if os.statvfs(tmp_path).f_files:
        with pytest.raises(Failed, match=r"disk_full: .* inodes"):
            disk.require_room(tmp_path, 1, 10**15)


def test_generated_urls_leave_out_the_usual_port(server: LocalServer) -> None:
    assert server.temporary_url("ann") == "http://192.0.2.7:8080/~ann/"
    assert server.domain_url("shop.example") == "http://shop.example:8080/"
    server.public_port = 80
    assert server.temporary_url("ann") == "http://192.0.2.7/~ann/"
    assert server.domain_url("shop.example") == "http://shop.example/"


def test_it_is_a_server_and_shows_no_password(server: LocalServer) -> None:
    port: Server = server
    assert port.home("ann") == server.root / "accounts" / "ann"
    assert REQUEST.password not in repr(REQUEST)


root_only = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="takes root and useradd")


@pytest.fixture
def linux_name() -> Iterator[str]:
    name = f"sc{secrets.token_hex(5)}"
    yield name
    subprocess.run(["userdel", name], check=False, capture_output=True)


@root_only
def test_with_linux_users_the_document_root_is_the_users_and_the_home_is_not(
    server: LocalServer, linux_name: str
) -> None:
    server.linux_users = True
    request = replace(REQUEST, username=linux_name)
    server.create_account(request)
    assert server.create_account(request).adopted
    user, home = pwd.getpwnam(linux_name), server.home(linux_name)
    assert user.pw_dir == str(home)
    assert (home.stat().st_uid, (home / "www").stat().st_uid) == (0, user.pw_uid)
    assert mode(home / "www") == 0o2750
    shadow = next(line for line in Path("/etc/shadow").read_text().splitlines() if line.startswith(f"{linux_name}:"))
    assert shadow.split(":")[1].startswith("$")


@root_only
def test_with_linux_users_the_machines_own_users_are_taken(server: LocalServer) -> None:
    server.linux_users = True
    with pytest.raises(Failed, match="username_taken"):
        server.create_account(replace(REQUEST, username="daemon"))
    assert not server.home("daemon").exists()


@root_only
def test_with_linux_users_a_missing_web_group_is_found_before_anything_is_made(server: LocalServer) -> None:
    server.linux_users, server.web_group = True, "no-such-group"
    with pytest.raises(Failed, match="server_denied"):
        server.create_account(REQUEST)
    assert not server.home("ann").exists()


def test_www_leads_to_the_site_too_and_goes_with_its_domain(server: LocalServer, tmp_path: Path) -> None:
    account = server.create_account(replace(REQUEST, aliases=("www.shop.example",)))
    assert account.aliases == ("www.shop.example",)
    assert (tmp_path / "vhosts" / "www.shop.example").resolve() == (tmp_path / "accounts" / "ann" / "www").resolve()
    assert server.create_account(replace(REQUEST, aliases=("www.shop.example",))).aliases == account.aliases
    server.release_domain("ann", "shop.example")
    assert list((tmp_path / "vhosts").iterdir()) == []


def test_a_www_that_is_another_customers_stays_his_and_is_not_claimed_to_be_ours(
    server: LocalServer, tmp_path: Path
) -> None:
    server.create_account(replace(REQUEST, username="eve", domain="www.shop.example", marker="order-2"))
    account = server.create_account(replace(REQUEST, aliases=("www.shop.example",)))
    assert account.aliases == ()
    assert (tmp_path / "vhosts" / "www.shop.example").resolve() == (tmp_path / "accounts" / "eve" / "www").resolve()
    server.release_domain("ann", "shop.example")
    assert [link.name for link in (tmp_path / "vhosts").iterdir()] == ["www.shop.example"]
