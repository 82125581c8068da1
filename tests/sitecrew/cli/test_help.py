"""Help and completion: at once, whole, with examples, and in one style."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from sitecrew.cli.root import FORMER, NOUNS, app, load
from tests.support.cli import settings_file, sitecrew


def lines() -> Iterator[tuple[str, ...]]:
    """Every command line that has help."""
    for noun in NOUNS:
        yield (noun,)
        yield from ((noun, verb) for verb in getattr(load(noun), "commands", {}))


HEAVY = (
    *("pydantic_settings", "sqlalchemy", "alembic", "pika", "opentelemetry", "structlog", "httpx", "httpx2", "jinja2"),
    *("nacl", "rich", "orjson", "schemas.values", "foundation.errors", "foundation.config.settings"),
)
"""What takes longer to import than a person, or a shell that completes, wants to wait for help."""

_ASK = f"""
import sys
from typer.testing import CliRunner
from sitecrew.cli.root import app
for line in sys.stdin.read().splitlines():
    result = CliRunner().invoke(app, [*line.split(), "--help"], prog_name="sitecrew")
    assert result.exit_code == 0, line
    if found := [name for name in {HEAVY} if name in sys.modules]:
        sys.exit(f"sitecrew {{line}} --help imports {{found}}")
"""


@pytest.mark.parametrize(("former", "noun"), FORMER.items())
def test_a_noun_s_former_name_does_the_same_and_is_not_shown(former: str, noun: str) -> None:
    for words in ((), ("--help",), ("list", "--help"), ("list", "--state", "none"), ("lst",)):
        old, new = sitecrew(former, *words), sitecrew(noun, *words)
        assert (old.exit_code, old.stdout, old.stderr) == (new.exit_code, new.stdout, new.stderr)
    assert f" {former} " not in sitecrew("--help").stdout


def test_the_help_of_run_names_the_services() -> None:
    said = sitecrew("run", "--help").stdout
    assert all(name in said.split("Options:")[0] for name in ("order-intake", "installer", "mailer"))


def test_help_of_no_noun_and_no_command_imports_what_its_work_needs() -> None:
    asked = "\n".join(["", *(" ".join(line) for line in lines())])
    ran = subprocess.run(  # a process of its own: in this one everything is imported already
        [sys.executable, "-c", _ASK], input=asked, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_completing_a_line_imports_no_more_than_help() -> None:
    script = f"""
import sys
from sitecrew.cli.root import app
import typer
root = typer.main.get_command(app)
context = root.make_context("sitecrew", ["install"], resilient_parsing=True)
name, noun, _ = root.resolve_command(context, ["install"])
inner = noun.make_context(name, [], parent=context, resilient_parsing=True)
assert "list" in [item.value for item in noun.shell_complete(inner, "li")]
assert not [name for name in {HEAVY} if name in sys.modules]
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("line", list(lines()), ids=" ".join)
def test_help_is_whole_at_80_columns_with_examples_and_no_word_of_python(line: tuple[str, ...]) -> None:
    ran = sitecrew(*line, "--help")
    assert max(map(len, ran.lines)) <= 80
    assert "Examples:\n    sitecrew " in ran.stdout
    assert "--config" in ran.stdout
    for odd in ("......", "list[", "<str>", "{", "x>=", "<int>"):
        assert odd not in ran.stdout, odd


@pytest.mark.parametrize("noun", [noun for noun in NOUNS if hasattr(load(noun), "commands")])
def test_a_noun_alone_shows_its_help_with_exit_codes(noun: str) -> None:
    ran = sitecrew(noun)
    assert ran.stderr.startswith(f"Usage: sitecrew {noun}")
    assert "Exit codes: 0 done" in ran.stderr
    assert "docs/support.md" in ran.stderr


def test_the_root_tells_of_the_settings_file_colours_and_exit_codes() -> None:
    told = " ".join(sitecrew("--help").stdout.split())
    for word in ("$SITECREW_CONFIG", "$NO_COLOR", "6 refused or in conflict", "docs/operate.md"):
        assert word in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("install", "lst"), "Did you mean 'list'?"),
        (("instal",), "Did you mean 'install'"),
        (("install", "list", "--stat", "failed"), "--state"),
        (("install", "list", "--state", "faild"), "did you mean failed?"),
        (("install", "list", "--limit", "many"), "--limit"),
        (("order", "cancel"), "ORDER"),
        (("run", "maler"), "mailer"),
        (("store", "migrate", "instaler"), "did you mean installer?"),
    ],
)
def test_a_wrong_line_is_told_in_the_one_style_with_the_nearest_word(line: tuple[str, ...], told: str) -> None:
    ran = sitecrew(*line)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: ")
    assert told in ran.stderr
    assert "Usage:" not in ran.stderr
    assert "--help`" in ran.stderr


@pytest.mark.parametrize(
    "place", [lambda at: ["--config", at, "config", "show"], lambda at: ["config", "--config", at, "show"]]
)
def test_the_settings_file_may_be_named_anywhere_on_the_line(place: Any, tmp_path: Any) -> None:
    at = settings_file(tmp_path, timer__every="0 3 * * *")
    for line in (place(at), ["config", "show", "--config", at]):
        ran = sitecrew(*line)
        assert ran.exit_code == 0, ran.stderr
        assert "0 3 * * *" in ran.stdout


def test_quiet_leaves_data_and_errors(tmp_path: Any) -> None:
    at = settings_file(tmp_path)
    assert sitecrew("schema", "check").stderr
    assert not sitecrew("schema", "check", "-q").stderr
    assert sitecrew("-q", "installs", "list", "--config", at).stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("install", "list", "--state", "pending,fa"), "pending,failed"),
        (("order", "list", "--state", "acc"), "accepted"),
        (("install", "retry", "--cause", "db_do"), "db_down"),
        (("install", "list", "--cause", "db_down,worker_l"), "db_down,worker_lost"),
        (("install", "list", "--cause", "smtp_au"), "smtp_auth"),
        (("order", "list", "--cause", "domain_c"), "domain_conflict"),
        (("mail", "list", "--cause", "smtp_au"), "smtp_auth"),
        (("install", "list", "--server", "we"), "web1"),
        (("order", "place", "--site-type", "stat"), "static"),
        (("sites", "show", "word"), "wordpress"),
        (("server", "show", "web"), "web1"),
        (("parked", "list", "--queue", "unr"), "unrouted"),
        (("parked", "re"), "requeue"),
        (("install", "retry", "--dry"), "--dry-run"),
        (("run", "mai"), "mailer"),
    ],
)
def test_words_are_completed(words: tuple[str, ...], offered: str, tmp_path: Any) -> None:
    at = settings_file(tmp_path, servers__web1__address="203.0.113.9", default_server="web1")
    line = ("sitecrew", "--config", at, *words)
    asked = {"_SITECREW_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}
    ran = CliRunner().invoke(app, [], prog_name="sitecrew", env=asked)
    assert offered in ran.stdout.split()
