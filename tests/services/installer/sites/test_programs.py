"""What a customer's program may do to the installer that runs it: nothing, and nothing of it stays."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from foundation.errors import Failed
from services.installer.sites.programs import USUAL, Limits, Ran, run
from tests.support.daemons import eventually
from tests.support.installing import ended

takes_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that everybody may write to, below folders that everybody may walk."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o777)
    return tmp_path


def sh(script: str, stdin: str = "", *, seconds: float = 60, limits: Limits = USUAL, **more: object) -> Ran:
    return run(["sh", "-c", script], stdin, seconds=seconds, limits=limits, **more)  # type: ignore[arg-type]


def py(script: str, *, seconds: float = 60, limits: Limits = USUAL, **more: object) -> Ran:
    command = [sys.executable, "-I", "-S", "-c", dedent(script)]
    return run(command, "", seconds=seconds, limits=limits, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_program_that_prints_without_end_is_ended_and_takes_no_memory(stream: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Failed, match="step_failed: sh was stopped: it printed more than 262144 bytes"):
        sh(f"cat /dev/zero {stream}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB


def test_what_is_just_within_the_limit_comes_whole_on_both_streams() -> None:
    ran = sh("head -c 262144 /dev/zero; head -c 262144 /dev/zero >&2")
    assert (ran.exit_code, len(ran.stdout), len(ran.stderr)) == (0, 262144, 262144)


def test_a_long_stdin_is_read_while_the_program_speaks_or_not_at_all() -> None:
    letters = "x" * 200_000
    assert sh("cat", letters).stdout == letters
    assert sh("exec <&-; echo enough", letters * 10).stdout == "enough\n"
    assert sh("wc -c", "ü").stdout.strip() == "2"


@pytest.mark.parametrize("ending", ["exit 0", "exec sleep 600", "exec cat /dev/zero"])
def test_a_child_in_a_session_of_its_own_ends_with_the_program(shared: Path, ending: str) -> None:
    """However the program ends: by itself, by its time, or by what it prints. So does a child's child, with no parent
    left, and one that ignores every signal it may."""
    pids = shared / "pids"
    pids.mkdir()
    script = f"""
        trap '' TERM HUP INT
        setsid sh -c 'echo > {pids}/$$; exec sleep 600' &
        (setsid sh -c '(setsid sh -c "echo > {pids}/\\$\\$; exec sleep 600" &) ' &)
        while [ "$(ls {pids} | wc -l)" -lt 2 ]; do :; done
        {ending}
    """
    with suppress(Failed):
        sh(script, seconds=5)
    children = [int(pid.name) for pid in pids.iterdir()]
    assert len(children) == 2
    assert all(map(ended, children))


def test_a_program_that_closes_its_streams_is_waited_for_all_the_same() -> None:
    assert sh("exec >&- 2>&-; sleep 0.2; exit 7").exit_code == 7


def test_a_program_ends_with_the_installer_that_started_it(shared: Path) -> None:
    told = f"echo $$ > {shared}/new; mv {shared}/new {shared}/pid; exec setsid -w sleep 600"
    script = f"""
        from services.installer.sites.programs import run
        run(["sh", "-c", {told!r}], "", seconds=600)
    """
    with subprocess.Popen([sys.executable, "-c", dedent(script)]) as installer:
        eventually((shared / "pid").exists)
        installer.send_signal(signal.SIGKILL)
    eventually(lambda: ended(int((shared / "pid").read_text())))


def test_an_installer_with_more_than_a_thousand_open_files_runs_programs_as_any_other() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            opened.enter_context(open(os.devnull))  # noqa: PTH123
        assert sh("echo done") == Ran(0, "done\n", "")


def test_a_program_has_a_path_and_nothing_else_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "canary")
    with open(os.devnull) as kept:  # noqa: PTH123
        os.set_inheritable(kept.fileno(), True)
        ran = py("""
            import os
            print(dict(os.environ))
            print(os.listdir("/proc/self/fd"))
            print(os.getsid(0) == os.getpid())
        """)
    environment, descriptors, leads_its_session = ran.stdout.splitlines()
    assert "canary" not in environment
    assert "PATH" in environment
    assert set(descriptors) & set("0123456789") == set("0123")  # the last is the folder being read
    assert leads_its_session == "True"


@takes_root
def test_a_customers_program_has_none_of_roots_groups() -> None:
    root = subprocess.run(["id", "-G"], capture_output=True, text=True, check=True).stdout.split()
    os.setgroups([*os.getgroups(), 4242])
    try:
        ran = sh("id -u; id -G", owner=(65534, 33))
    finally:
        os.setgroups([int(group) for group in root])
    assert ran.stdout.split() == ["65534", "33"]


@pytest.mark.parametrize(
    ("limits", "script"),
    [
        (replace(USUAL, address_space=200 << 20), "x = bytearray(400 << 20)"),
        (replace(USUAL, file_size=1 << 20), "open('f', 'wb').write(bytes(2 << 20))"),
        (replace(USUAL, cpu_seconds=1), "while True: pass"),
    ],
)
def test_a_program_takes_no_more_than_its_limits(shared: Path, limits: Limits, script: str) -> None:
    assert py(script, limits=limits, directory=shared).exit_code != 0
    assert py("pass", limits=limits, directory=shared).exit_code == 0


@takes_root
def test_a_customers_program_cannot_start_processes_without_end() -> None:
    script = "i=0; while [ $i -lt 100 ]; do sleep 600 & i=$((i+1)); done; echo all of them"
    ran = sh(script, limits=replace(USUAL, processes=20), owner=(54321, 54321))
    assert "all of them" not in ran.stdout
    assert "fork" in ran.stderr


def test_limits_of_zero_are_none_and_no_program_leaves_a_core() -> None:
    shown = sh("ulimit -v; ulimit -f; ulimit -c", limits=Limits(0, 0, 0, 0)).stdout.split()
    assert shown == ["unlimited", "unlimited", "0"]


def test_a_program_that_cannot_be_started_is_told_by_its_cause() -> None:
    with pytest.raises(Failed, match="program_missing: the program: /nowhere: No such file"):
        run(["/nowhere"], "", seconds=60)
    with pytest.raises(Failed, match="php_missing: look: /etc/passwd: Permission denied"):
        run(["/etc/passwd"], "", seconds=60, missing="php_missing", what="look")


def test_a_program_that_a_signal_ends_says_so() -> None:
    assert sh("kill -SEGV $$").exit_code == -signal.SIGSEGV


# What is said


@pytest.mark.parametrize(
    "around",
    ["{}", "\ufeff{}", "<!-- before -->\n{}", "{}\n<!-- x -->", "{} <!-- x -->", '{}\n{{"level": 3', "{}\n\n12\n[]"],
)
def test_an_answer_is_found_wherever_it_stands(around: str) -> None:
    said = around.format('{"ok": true}')
    assert Ran(0, said, "").answer() == {"ok": True}
    assert Ran(0, f'{{"ok": 1}}\nnoise m4rk{said}\n{{"ok": 2}}', "").answer("m4rk") in ({"ok": True}, None)
    assert Ran(0, around.format('m4rk{"ok": true}') + '\n{"ok": 2}', "").answer("m4rk") == {"ok": True}
    assert Ran(0, said, "").answer("m4rk") is None


def test_phps_own_message_stands_first_and_its_stack_trace_nowhere() -> None:
    trace = "".join(f"#{number} /a/file/with/a/long/name.php({number}): call()\n" for number in range(40))
    stderr = (
        "PHP Deprecated:  something old in x.php on line 1\n" * 20
        + "PHP Fatal error:  Uncaught Error: Call to undefined function ini_set() in /srv/wp-load.php:39\n"
        + f"Stack trace:\n{trace}#41 {{main}}\n  thrown in /srv/wp-load.php on line 39\n"
    )
    said = Ran(255, "", stderr).complaint(())
    assert said.startswith("exit 255: PHP Fatal error: Uncaught Error: Call to undefined function ini_set() in /srv")
    assert said.endswith("thrown in /srv/wp-load.php on line 39")
    assert "Stack trace" not in said


def test_of_a_long_complaint_beginning_and_end_are_kept() -> None:
    said = Ran(1, "", "first " + "x" * 5000 + " last").complaint(())
    assert said.startswith("exit 1: first x")
    assert said.endswith("x last")
    assert len(said) < 650
