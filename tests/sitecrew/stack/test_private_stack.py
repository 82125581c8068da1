"""The servers that `sitecrew up` brings along, run for real: they come up, come back, and leave nothing behind."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from foundation.errors import ConfigurationError, Refused, SitecrewError
from sitecrew.stack import claim
from sitecrew.stack.claim import claimed
from sitecrew.stack.ports import free_port, port_taken
from sitecrew.stack.process_group import Crew
from sitecrew.stack.processes import PATH, Child, Command, first_ended
from sitecrew.stack.servers import mariadb, rabbitmq, rabbitmq_home
from sitecrew.stack.servers.mariadb import PrivateMariaDB
from sitecrew.stack.servers.php import PhpWeb
from sitecrew.stack.servers.rabbitmq import PrivateRabbit
from tests.support.brokers import BOOT

PROJECT = Path(__file__).parents[3]

PARENT = """\
import signal, sys
from pathlib import Path
from sitecrew.stack.processes import PATH, Child, Command
script, environment = "sleep 600 & sleep 600 & wait", {"PATH": PATH, "MARK": sys.argv[1]}
log = Path(sys.argv[1]) / "log"
child = Child(Command(name="child", argv=("sh", "-c", script), environment=environment, log=log))
child.start()
print("started", flush=True)
signal.pause()
"""


def require(program: str) -> None:
    """Without the program: skips on a developer's machine, fails in CI."""
    if shutil.which(program, path=PATH) is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{program} is not installed: run script/bootstrap")


def left_behind(mark: str | Path) -> list[str]:
    """What still runs with the mark among its arguments or in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue  # it has just ended, or is another user's
        if str(mark).encode() in told and int(process.name) != os.getpid():
            found.append(f"{process.name}: {told[:200]!r}")
    return found


def soon(true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it becomes true in time. Asked again and again: the processes are not ours to wait for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def nothing_left(mark: str | Path) -> bool:
    return soon(lambda: not left_behind(mark))


def listening_addresses(pid: int) -> set[str]:
    """The local IPv4 and IPv6 addresses that a process listens on, as the kernel writes them."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, as temporary files are
            sockets |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]  # fmt: skip
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


def shell(directory: Path, script: str, name: str = "child") -> Command:
    environment = {"PATH": PATH, "MARK": str(directory)}
    return Command(name=name, argv=("sh", "-c", script), environment=environment, log=directory / f"{name}.log")


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateRabbit]:
    require("rabbitmq-server")
    with PrivateRabbit(tmp_path_factory.mktemp("broker"), patience=BOOT) as rabbit:
        yield rabbit


class TestBroker:
    def test_it_greets_clients_and_obeys_rabbitmqctl(self, rabbit: PrivateRabbit) -> None:
        assert rabbitmq.greeting(rabbit.port) == rabbit.version
        assert re.match(r"\d+\.\d+\.\d+", rabbit.version)
        assert f"RabbitMQ version: {rabbit.version}" in rabbit.ctl("status")

    def test_it_listens_on_loopback_only(self, rabbit: PrivateRabbit) -> None:
        assert listening_addresses(rabbit.pid) == {"0100007F"}

    def test_its_password_is_in_no_argument_and_in_no_log(self, rabbit: PrivateRabbit) -> None:
        password = rabbit.amqp_url.split(":")[2].split("@")[0]
        assert (rabbit.directory / "password").read_text() == password
        assert password not in repr(rabbit)
        assert password not in Path(f"/proc/{rabbit.pid}/cmdline").read_text()
        assert password not in (rabbit.directory / "rabbitmq.log").read_text()
        assert rabbit.directory.stat().st_mode & 0o077 == 0

    def test_a_failing_command_says_why(self, rabbit: PrivateRabbit) -> None:
        with pytest.raises(SitecrewError, match=r"delete_vhost failed: (.|\n)*nowhere"):
            rabbit.ctl("delete_vhost", "nowhere")

    def test_nobody_else_gets_its_directory(self, rabbit: PrivateRabbit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(claim, "_PATIENCE", 0)
        with pytest.raises(Refused, match="Another run still uses"):
            PrivateRabbit(rabbit.directory).start()
        assert rabbitmq.greeting(rabbit.port) == rabbit.version

    def test_it_comes_back_with_its_data_when_killed_and_ends_without_a_trace(self, rabbit: PrivateRabbit) -> None:
        rabbit.ctl("add_vhost", "kept")
        url = rabbit.amqp_url
        rabbit.kill()
        assert not rabbit.running
        assert nothing_left(rabbit.directory)
        rabbit.start()
        assert "kept" in rabbit.ctl("--quiet", "list_vhosts").split()
        assert rabbit.amqp_url == url
        rabbit.stop()
        assert nothing_left(rabbit.directory)
        assert not port_taken("127.0.0.1", rabbit.port)

    def test_a_start_that_fails_shows_the_nodes_own_words(self, tmp_path: Path) -> None:
        require("rabbitmq-server")
        rabbit = PrivateRabbit(tmp_path / "broker", settings={"no_such_thing": "1"})
        with pytest.raises(SitecrewError, match=r"ended with exit code(.|\n)*no_such_thing"):
            rabbit.start()
        assert nothing_left(tmp_path)

    def test_without_it_the_error_names_the_package(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(rabbitmq_home, "_PLACES", (str(tmp_path),))
        with pytest.raises(ConfigurationError, match="apt-get install rabbitmq-server"):
            PrivateRabbit(tmp_path)


class TestDatabase:
    def test_it_comes_back_with_its_data_when_killed_and_ends_without_a_trace(self, tmp_path: Path) -> None:
        require("mariadbd")
        with PrivateMariaDB(tmp_path / "db") as server:
            with pymysql.connect(unix_socket=str(server.socket), user=server.admin_user, autocommit=True) as client:
                client.cursor().execute("CREATE DATABASE kept")
            assert listening_addresses(server.pid) == set()
            server.kill()
            assert nothing_left(tmp_path)
            server.start()
            with pymysql.connect(unix_socket=str(server.socket), user=server.admin_user) as client:
                client.select_db("kept")
                assert client.get_server_info().endswith(server.version)  # type: ignore[no-untyped-call]
        assert nothing_left(tmp_path)
        assert not server.running

    def test_a_path_too_long_for_a_socket_is_no_obstacle(self, tmp_path: Path) -> None:
        require("mariadbd")
        with PrivateMariaDB(tmp_path / ("long" * 30)) as server:
            assert len(os.fsencode(server.socket)) <= 107
            assert mariadb.greeting(server.socket) == server.version
        assert not server.socket.parent.exists()


class TestWeb:
    def test_php_serves_and_its_workers_end_with_it(self, tmp_path: Path) -> None:
        require("php")
        router = tmp_path / "router.php"
        router.write_text("<?php echo 'page ' . $_SERVER['REQUEST_URI'];")
        with PhpWeb(tmp_path, "127.0.0.1", free_port(), router, log=tmp_path / "php.log") as web:
            page = urllib.request.urlopen(f"http://127.0.0.1:{web.port}/~alex/", timeout=60).read()
            assert page == b"page /~alex/"
            assert soon(lambda: len(left_behind(tmp_path)) > 4)
        assert nothing_left(tmp_path)

    def test_a_port_in_use_is_refused(self, tmp_path: Path) -> None:
        require("php")
        with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Refused, match="another program"):
            PhpWeb(tmp_path, "127.0.0.1", other.getsockname()[1], tmp_path / "r.php", log=tmp_path / "log").start()


class TestChild:
    def test_it_dies_with_all_its_own_when_its_parent_is_killed(self, tmp_path: Path) -> None:
        mark = f"MARK={tmp_path}"
        arguments = (sys.executable, "-c", PARENT, str(tmp_path))
        parent = subprocess.Popen(arguments, cwd=PROJECT, stdout=subprocess.PIPE)
        with parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"started\n"
            assert soon(lambda: sum("sleep\\x00600" in found for found in left_behind(mark)) == 2)
            parent.send_signal(signal.SIGKILL)
        assert nothing_left(mark)

    def test_it_outlives_the_thread_that_started_it(self, tmp_path: Path) -> None:
        child = Child(shell(tmp_path, "sleep 600"))
        starter = threading.Thread(target=child.start)
        starter.start()
        starter.join()
        assert child.wait(0.2) is None
        assert child.stop() == -signal.SIGTERM

    def test_a_line_that_strays_into_its_leash_does_not_end_it(self, tmp_path: Path) -> None:
        """A library that writes to a number which was another file's before."""
        with Child(shell(tmp_path, "sleep 600")) as child:
            leash = child._leash(child._started())
            os.write(leash.fileno(), b"a line of a log\n")
            assert child.wait(0.5) is None
        assert nothing_left(tmp_path)

    def test_its_lines_reach_the_log_and_the_listener_in_order(self, tmp_path: Path) -> None:
        heard: list[tuple[str, str]] = []
        child = Child(shell(tmp_path, "echo one; echo two >&2; printf three"), lambda *line: heard.append(line))
        with child:
            assert child.wait(60) == 0
        assert heard == [("child", "one"), ("child", "two"), ("child", "three")]
        assert (tmp_path / "child.log").read_text() == "one\ntwo\nthree"
        assert stat.S_IMODE((tmp_path / "child.log").stat().st_mode) == 0o600

    def test_a_listener_that_fails_does_not_stall_it(self, tmp_path: Path) -> None:
        def fail(_name: str, _line: str) -> None:
            raise ValueError

        with Child(shell(tmp_path, "seq 100000"), fail) as child:
            assert child.wait(60) == 0
        assert (tmp_path / "child.log").read_text().endswith("99999\n100000\n")

    def test_one_that_ignores_the_request_to_end_is_killed_with_its_group(self, tmp_path: Path) -> None:
        stubborn = shell(tmp_path, "trap '' TERM; sleep 600 & echo ready; wait; sleep 600")
        child = Child(replace(stubborn, grace=0.1))
        with child:
            assert soon(lambda: child.last_words() == "ready")
            assert child.stop() == -signal.SIGKILL
        assert nothing_left(tmp_path)

    def test_one_that_asks_for_time_to_finish_gets_it(self, tmp_path: Path) -> None:
        child = Child(shell(tmp_path, "trap 'echo drained; exit 3' TERM; echo ready; while :; do sleep 0.01; done"))
        with child:
            assert soon(lambda: child.last_words() == "ready")
            assert child.stop() == 3
        assert child.last_words() == "ready\ndrained"

    def test_one_that_was_told_to_end_has_not_fallen_at_any_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = Child(shell(tmp_path, "sleep 600"))
        with child:
            kill, seen = child.kill, list[tuple[bool, bool]]()

            def look_and_kill() -> None:
                seen.append((child.running, child.fell))
                kill()

            monkeypatch.setattr(child, "kill", look_and_kill)
            child.stop()
        assert seen[0] == (False, False), "it has ended, and who supervises it must not start it again"

    def test_one_that_another_thread_waits_for_just_now_has_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Child(shell(tmp_path, "sleep 600")) as child:

            def reaped(_pid: int) -> int:
                raise ProcessLookupError

            monkeypatch.setattr(os, "pidfd_open", reaped)
            assert first_ended([child], 60) is child

    def test_restarted_it_is_another_process(self, tmp_path: Path) -> None:
        with Child(shell(tmp_path, "sleep 600")) as child:
            before = child.pid
            child.stop()
            child.start()
            assert child.pid != before
            assert child.poll() is None
            with pytest.raises(Refused, match="is already running"):
                child.start()

    def test_one_that_ends_before_it_is_ready_is_quoted(self, tmp_path: Path) -> None:
        child = Child(shell(tmp_path, "echo no such luck; exit 4"))
        child.start()
        with pytest.raises(SitecrewError, match=r"ended with exit code 4(.|\n)*Try again(.|\n)*no such luck"):
            child.ready(lambda: None, 60, "Try again.")

    def test_one_that_never_gets_ready_is_given_up_and_killed(self, tmp_path: Path) -> None:
        child = Child(shell(tmp_path, "sleep 600"))
        child.start()
        with pytest.raises(SitecrewError, match="was not ready within"):
            child.ready(lambda: None, 0.1, "Try again.")
        assert nothing_left(tmp_path)

    def test_its_environment_is_the_given_one_and_is_not_in_its_repr(self, tmp_path: Path) -> None:
        command = shell(tmp_path, "env")
        with Child(command) as child:
            child.wait(60)
        names = {line.partition("=")[0] for line in (tmp_path / "child.log").read_text().splitlines()}
        assert names <= {"PATH", "MARK", "PWD", "OLDPWD", "SHLVL", "_"}
        assert "MARK" not in repr(command)

    def test_a_claim_lasts_as_long_as_anybody_of_its_group(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock = tmp_path / "lock"
        command = shell(tmp_path, "sleep 600 & exit 0")
        holding = Command(
            name="holder", argv=command.argv, environment=command.environment, log=command.log, claim=lock
        )
        with Child(holding) as child:
            assert child.wait(60) == 0
            monkeypatch.setattr(claim, "_PATIENCE", 0)
            with pytest.raises(Refused), claimed(lock):
                pass
            monkeypatch.undo()
        with claimed(lock):
            pass


class TestCrew:
    def test_children_are_stopped_side_by_side_also_on_an_error(self, tmp_path: Path) -> None:
        heard: list[str] = []

        def crew_that_fails() -> None:
            with Crew() as crew:
                for name in ("first", "second", "third"):
                    script = f"trap 'echo {name} ends; exit' TERM; echo {name} runs; while :; do sleep 0.01; done"
                    crew.start(shell(tmp_path, script, name), lambda _name, line: heard.append(line))
                assert soon(lambda: len(heard) == 3)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            crew_that_fails()
        assert set(heard[3:]) == {"third ends", "second ends", "first ends"}
        assert nothing_left(tmp_path)

    def test_it_notices_which_child_ends(self, tmp_path: Path) -> None:
        with Crew() as crew:
            crew.start(shell(tmp_path, "sleep 600", "lasting"))
            assert crew.first_ended(0.05) is None
            brief = crew.start(shell(tmp_path, "exit 7", "brief"))
            assert crew.first_ended(60) is brief
            assert brief.poll() == 7
