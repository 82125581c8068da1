"""What all commands have in common: their help, their exit codes, where they write."""

import importlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from foundation.config import keys
from foundation.errors import BrokerUnreachable, ConfigurationError, Failed, NotFound, Refused, SitecrewError
from schemas.values import CauseKind
from sitecrew.cli import everywhere, root
from sitecrew.stack.ports import free_port, port_taken
from tests.support.brokers import until
from tests.support.cli import settings_file, sitecrew


def commands() -> Iterator[tuple[str, Any]]:
    for noun in root.NOUNS:
        yield from below(noun, root.load(noun))


def below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """The commands of a noun, and of the nouns below it; or the command itself."""
    if not isinstance(command, TyperGroup):
        yield path, command
        return
    for verb, inner in command.commands.items():
        yield from below(f"{path} {verb}", inner)


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_command_tells_in_one_line_what_it_does_and_gives_examples(path: str) -> None:
    ran = sitecrew(*path.split(), "--help")
    usage, empty, line, *rest = ran.lines
    above = path.split()[:-1]
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert usage.startswith(f"Usage: sitecrew {path}")
    assert (empty, line[:2], line[-1], rest[0]) == ("", "  ", ".", "")
    assert line.strip(" .") in " ".join(sitecrew(*above, "--help").stdout.split())
    assert any(text.startswith((f"    sitecrew {path}", "    sitecrew --config")) for text in rest)
    assert all(len(text) <= 80 for text in ran.lines)


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_commands_that_show_data_show_it_as_json(path: str) -> None:
    silent = {"up", "run", "topology definitions"}  # the last prints nothing but JSON
    assert ("--json" in sitecrew(*path.split(), "--help").stdout) == (path not in silent)


def test_the_list_of_commands_fits_a_terminal() -> None:
    lines = sitecrew("--help").lines
    assert all(len(line) <= 80 and "..." not in line for line in lines[2:])
    assert [line for line in lines if line.startswith("  install   ")]


def test_help_needs_none_of_the_heavy_libraries() -> None:
    heavy = ("pydantic", "sqlalchemy", "pika", "structlog", "httpx2", "rich")
    program = (
        "import sys; from sitecrew.__main__ import main\n"
        "try: main()\n"
        f"finally: print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"


def test_the_version_is_the_packages() -> None:
    assert sitecrew("--version").stdout == "sitecrew 0.1.0\n"


def test_no_command_is_wrong_usage() -> None:
    ran = sitecrew()
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "Commands:" in ran.stderr


def test_a_misspelt_command_is_wrong_usage_with_a_suggestion() -> None:
    ran = sitecrew("instal", "list")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "'install'" in ran.stderr


def test_a_settings_file_that_is_not_there_is_wrong_configuration(tmp_path: Path) -> None:
    ran = sitecrew("--config", str(tmp_path / "none.toml"), "config", "show")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: there is no settings file")


def test_a_wrong_setting_is_named_with_its_neighbour(tmp_path: Path) -> None:
    ran = sitecrew("--config", settings_file(tmp_path, timer__evry="* * * * *"), "config", "show")
    assert ran.exit_code == 2
    assert "unknown setting timer.evry; did you mean timer.every?" in ran.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SitecrewError("so"), 1),
        (Failed.because("code", CauseKind.PERMANENT, "so", "do that"), 1),
        (ConfigurationError("so"), 2),
        (BrokerUnreachable("so"), 3),
        (NotFound("so"), 5),
        (Refused("so"), 6),
        (PermissionError(13, "so", "/some/file"), 1),
    ],
)
def test_expected_errors_become_a_message_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(keys, "generate_keys", fail)
    ran = sitecrew("keys", "generate")
    assert (ran.exit_code, ran.stdout) == (code, "")
    assert ran.stderr.startswith("error: ")
    assert "so" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert ("what to do: do that" in ran.stderr) == isinstance(error, Failed)


def test_an_error_that_nobody_expected_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(keys, "generate_keys", fail)
    with pytest.raises(ZeroDivisionError):
        sitecrew("keys", "generate")


@pytest.mark.parametrize(("answer", "code"), [(KeyboardInterrupt, 130), (EOFError, 1)])
def test_ctrl_c_at_a_question_has_the_code_of_every_ctrl_c(
    answer: type[BaseException], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def asked(*_: object, **__: object) -> None:
        aborted = typer.Abort()
        aborted.__context__ = answer()  # as its own prompt leaves it
        raise aborted

    monkeypatch.setattr(everywhere, "may_ask", lambda _: True)
    monkeypatch.setattr(typer, "prompt", asked)
    ran = sitecrew("--config", settings_file(tmp_path), "order", "reinstall", "1042")
    assert (ran.exit_code, "nothing was changed" in ran.stderr) == (code, True)


def test_an_error_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise SitecrewError("\x1b[2Jall is well\r[red]")

    monkeypatch.setattr(keys, "generate_keys", fail)
    assert sitecrew("keys", "generate").stderr == "error: \\x1b[2Jall is well\\r[red]\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("order", "cancel", "1"),
        ("order", "reinstall", "1", "--wait", "--yes"),
        ("install", "cancel", "1-g1"),
        ("install", "run-now"),
        ("install", "watch"),
        ("parked", "list"),
        ("parked", "requeue", "--all"),
        ("topology", "declare"),
        ("topology", "check"),
    ],
)
def test_a_broker_that_does_not_answer_is_exit_code_3_and_says_which(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    ran = sitecrew("--config", settings_file(tmp_path), *arguments)
    assert (ran.exit_code, ran.stdout) == (3, "")
    assert "127.0.0.1:1" in ran.stderr
    assert "SITECREW_AMQP_URL" in ran.stderr


@pytest.mark.parametrize(
    "arguments", [("list",), ("show", "1"), ("retry", "--all-failed"), ("retry", "1"), ("cancel", "1")]
)
def test_a_store_that_is_not_there_is_exit_code_4_and_is_not_created(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    place = tmp_path / "deeper" / "installer.db"
    config = settings_file(tmp_path, installer__store_url=f"sqlite:///{place}")
    ran = sitecrew("--config", config, "install", *arguments)
    assert (ran.exit_code, ran.stdout) == (4, "")
    assert str(place) in ran.stderr
    assert "installer.store_url" in ran.stderr
    assert not place.parent.exists()


def test_a_store_without_tables_is_exit_code_4_and_gets_none(tmp_path: Path) -> None:
    place = tmp_path / "installer.db"
    place.touch()
    ran = sitecrew("--config", settings_file(tmp_path, installer__store_url=f"sqlite:///{place}"), "install", "list")
    assert (ran.exit_code, ran.stdout) == (4, "")
    assert "no such table" in ran.stderr


def test_run_ends_with_the_exit_code_of_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import services.mailer.__main__ as mailer  # noqa: PLC0415 - heavy, and for this test alone

    served: list[str] = []

    def main(settings: Any) -> int:
        served.append(settings.mailer.brand)
        return 1

    monkeypatch.setattr(mailer, "main", main)
    ran = sitecrew("--config", settings_file(tmp_path, mailer__brand="Ours"), "run", "mailer")
    assert (ran.exit_code, served) == (1, ["Ours"])
    assert sitecrew("run", "baker").exit_code == 2


@pytest.mark.parametrize("service", ["order_intake", "installer", "mailer"])
def test_a_service_by_itself_ends_with_2_for_wrong_settings_and_one_line(tmp_path: Path, service: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        env={"PATH": "/usr/bin", "SITECREW_CONFIG": settings_file(tmp_path, timer__every="often")},
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: ")
    assert "timer.every is not a valid cron expression" in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("service", "setting"), [("order-intake", "threads"), ("installer", "concurrency"), ("mailer", "threads")]
)
def test_flags_of_run_go_before_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, service: str, setting: str
) -> None:
    name = service.replace("-", "_")
    module = importlib.import_module(f"services.{name}.__main__")
    seen: list[Any] = []
    monkeypatch.setattr(module, "main", seen.append)
    config = settings_file(tmp_path, **{f"{name}__{setting}": 3, f"{name}__listen": "127.0.0.1:1"}, log__level="error")
    monkeypatch.setenv(f"SITECREW_{name.upper()}__{setting.upper()}", "5")
    sitecrew("--config", config, "run", service)
    flags = ("--concurrency", "7", "--listen", "off", "--log-level", "DEBUG")
    assert sitecrew("--config", config, "run", service, *flags).exit_code == 0
    shown = [(getattr(getattr(s, name), setting), getattr(s, name).listen, s.log.level) for s in seen]
    assert shown == [(5, "127.0.0.1:1", "error"), (7, "", "debug")]
    wrong = sitecrew("--config", config, "run", service, "--concurrency", "0")
    assert (wrong.exit_code, wrong.stderr) == (2, "error: --concurrency must be at least 1\n")


def test_a_service_that_reloads_begins_anew_when_its_settings_change_and_ends_when_told(tmp_path: Path) -> None:
    """No broker is reached, and none is needed to see it start."""
    listen, public = free_port(), keys.generate_keys()[0]
    url = f"sqlite:///{tmp_path}/o.db"
    own = {"keys__public": public, "order_intake__store_url": url, "order_intake__listen": "off"}
    config = Path(settings_file(tmp_path, **own))
    said = tmp_path / "said"
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sitecrew", "--config", str(config), "run", "order-intake", "--reload"],
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: "service.waiting" in said.read_text(), 60)
        config.write_text(config.read_text().replace('"off"', f'"127.0.0.1:{listen}"'))
        until(lambda: f'"port":{listen}' in said.read_text(), 60)
        assert "reload: a file changed: restarting" in said.read_text()
        process.terminate()
        assert process.wait(60) == 0
        assert not port_taken("127.0.0.1", listen)
    finally:
        process.kill()
        process.wait()


def test_up_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import sitecrew.stack.up as stack  # noqa: PLC0415 - heavy, and for this test alone

    given: dict[str, Any] = {}
    monkeypatch.setattr(stack, "up", given.update, raising=False)
    ran = sitecrew("up", "--site", "static", "--every", "*/10 * * * * *", "--directory", "/x")
    assert ran.exit_code == 0, ran.stderr
    assert given == {"directory": Path("/x"), "sites": ("static",), "every": "*/10 * * * * *", "settle": None}


def test_typers_own_ways_out_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave() -> None:
        raise typer.Exit(7)

    monkeypatch.setattr(keys, "generate_keys", leave)
    assert sitecrew("keys", "generate").exit_code == 7


def test_every_exit_code_is_documented_and_no_other() -> None:
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    kinds = {SitecrewError.exit_code, *(kind.exit_code for kind in SitecrewError.__subclasses__())}
    assert documented == {0, *kinds, 128 + signal.SIGINT, 128 + signal.SIGTERM}
