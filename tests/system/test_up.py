"""`sitecrew up` and the demonstration, as whoever tries Sitecrew uses them: as processes of their own."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from foundation.config.rights import USERS
from foundation.config.settings import Settings, known, load
from foundation.config.sources import variable_of
from foundation.errors import ConfigurationError, Refused
from foundation.store import Store
from services.api.access.staff import verified
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter
from sitecrew.cli.client.beside import running_stack
from sitecrew.stack.claim import claimed, is_claimed
from sitecrew.stack.machine import SERVICES
from sitecrew.stack.own_settings import HONOURED, exported, ports_of, write
from sitecrew.stack.processes import PATH
from tests.support.brokers import Brokers

PROJECT = Path(__file__).parents[2]
SECONDS = 90.0


@dataclass
class Up:
    """A running `sitecrew up`, and what it has said so far."""

    process: subprocess.Popen[str]
    directory: Path
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def until(self, words: str) -> str:
        deadline = time.monotonic() + SECONDS
        while words not in self.said():
            if time.monotonic() > deadline or (self.process.poll() is not None and words not in self.said()):
                pytest.fail(f"{words!r} was not said: {self.said()[-3000:]}")
            time.sleep(0.02)
        return self.said()

    def settings(self) -> Settings:
        return load(self.directory / "sitecrew.toml", environment=False)

    def ends(self) -> int:
        return self.process.wait(timeout=SECONDS)


def environment(**variables: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("SITECREW_")}
    return {**ours, **variables}


@contextmanager
def up(directory: Path, *arguments: str, **variables: str) -> Iterator[Up]:
    log = directory.with_suffix(".said")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "sitecrew", "up", "--directory", str(directory), *arguments],
            stdout=said,
            stderr=said,
            text=True,
            env=environment(**variables),
            cwd=PROJECT,
            start_new_session=True,
        )
    try:
        yield Up(process, directory, log)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def sitecrew(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sitecrew", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(PYTHONPATH=str(PROJECT), **variables),
        timeout=SECONDS,
    )


def static(directory: Path, brokers: Brokers, *arguments: str, **variables: str) -> AbstractContextManager[Up]:
    return up(directory, "--site", "static", *arguments, SITECREW_AMQP_URL=brokers.url(), **variables)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str]) -> Iterator[Up]:
    """One that runs in `var/up` of a directory of its own."""
    directory = tmp_path_factory.mktemp("house") / "var" / "up"
    with up(directory, "--site", "static", "--every", "*/2 * * * * *", SITECREW_AMQP_URL=next(vhosts)) as running:
        running.until("Ctrl-C stops everything")
        yield running


def pid_of(log_name: str, directory: Path) -> int:
    """The process that serves the directory with such words in its arguments."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if log_name in arguments and str(directory) in arguments and "read -r never" not in arguments:
                return int(process.name)
    pytest.fail(f"nothing like {log_name} runs for {directory}")


# What is exported


def canaries(outside: Path) -> dict[str, str]:
    """Every setting as a variable, each leading outside."""
    found = {}
    for name, info in known().items():
        kind = str(info.annotation)
        value = str(outside / name.replace("*", "x"))
        if name.endswith("store_url"):
            value = f"sqlite:///{outside}/{name}.db"
        elif "int" in kind or "float" in kind:
            value = "7"
        elif "bool" in kind:
            value = "true"
        elif name.endswith(("listen", "web_address")):
            value = "127.0.0.1:9"
        found[variable_of(name.replace("sites.*", "sites.static").replace("servers.*", "servers.local"))] = value
    return found


SENSIBLE = {
    "SITECREW_TIMER__EVERY": "*/2 * * * * *",
    "SITECREW_TIMER__TIMEZONE": "UTC",
    "SITECREW_LOG__LEVEL": "info",
    "SITECREW_SITES__STATIC__STAGE": "false",
    "SITECREW_SITES__STATIC__SETTLE_SECONDS": "0",
    "SITECREW_SITES__STATIC__SOLD": "true",
    "SITECREW_SITES__STATIC__BLOG_NAME": "Ours",
    "SITECREW_SITES__STATIC__INSTALLER": "static",
    "SITECREW_SITES__STATIC__ADDRESS": "temporary",
}
"""Of what a stack honours, values that it can work with."""


def every_setting(outside: Path, brokers: Brokers) -> dict[str, str]:
    honoured = ("SITECREW_AMQP_TLS__", "SITECREW_SITES__STATIC__", "SITECREW_TIMER__")
    given = {name: "" if name.startswith(honoured) else value for name, value in canaries(outside).items()}
    given.pop("SITECREW_SERVERS__LOCAL__OPTIONS__*", None)
    given = {name: value for name, value in given.items() if "*" not in name}
    return {**given, **SENSIBLE, "SITECREW_AMQP_URL": brokers.url(), "SITECREW_NO_SETTING": "x"}


def test_with_every_setting_exported_an_order_touches_nothing_outside_of_the_directory(
    tmp_path: Path, brokers: Brokers
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as smtp:
        smtp.setblocking(False)
        given = every_setting(outside, brokers)
        given |= {"SITECREW_MAILER__SMTP__HOST": "127.0.0.1", "SITECREW_MAILER__SMTP__PORT": str(smtp.getsockname()[1])}
        assert {variable_of(name) for name in known() if "*" not in name} <= given.keys()
        with up(tmp_path / "up", "--site", "static", **given) as running:
            said = running.until("In another terminal:")
            placed = sitecrew(
                *("--config", str(running.directory / "sitecrew.toml")),
                *("order", "place", str(PROJECT / "examples/orders/static.json"), "--wait"),
                cwd=tmp_path,
            )
            assert placed.returncode == 0, placed.stderr
            assert len(list((running.directory / "letters").glob("*.eml"))) == 1
        assert list(outside.iterdir()) == []
        with pytest.raises(BlockingIOError):
            smtp.accept()
    assert re.search(r"taken from the environment: amqp_.*, installer.concurrency, .*timer.every", said)
    ignored = re.search(r"ignored in the environment, .*", said)
    assert ignored
    for name in ("SITECREW_MAILER__SMTP__HOST", "SITECREW_SERVERS__LOCAL__ROOT", "SITECREW_KEYS__PRIVATE"):
        assert name in ignored[0]
    assert "SITECREW_NO_SETTING" in ignored[0]


def test_every_path_and_database_of_a_stack_lies_below_its_directory(house: Up) -> None:
    settings = house.settings()
    shown = json.dumps(settings.model_dump(mode="json"))
    assert "var/" not in shown.replace(str(house.directory), "")
    for service in (settings.order_intake, settings.installer, settings.mailer, settings.api):
        assert service.store_url.get_secret_value().startswith(f"sqlite:///{house.directory}/")


def test_what_counts_of_the_environment_is_checked_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SITECREW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SITECREW_MAILER__SMTP__PORT", "not even a number")
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", "/nowhere")
    monkeypatch.setenv("SITECREW_TIMER__EVERY", "0 3 * * *")
    assert exported() == ({"timer.every": "0 3 * * *"}, ["SITECREW_KEYS__PRIVATE_FILE", "SITECREW_MAILER__SMTP__PORT"])
    monkeypatch.setenv("SITECREW_INSTALLER__CONCURRENCY", "many")
    with pytest.raises(ConfigurationError, match=r"^SITECREW_INSTALLER__CONCURRENCY must be a whole number"):
        exported()


def test_tls_for_a_broker_counts_only_with_that_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SITECREW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SITECREW_AMQP_TLS__CA_FILE", "/etc/ca.pem")
    assert exported() == ({}, ["SITECREW_AMQP_TLS__CA_FILE"])
    monkeypatch.setenv("SITECREW_AMQP_URL", "amqps://shop:secret@127.0.0.1/")
    assert set(exported()[0]) == {"amqp_url", "amqp_tls.ca_file"}


def test_a_broker_on_which_others_take_orders_is_left_to_them(house: Up, tmp_path: Path) -> None:
    url = house.settings().amqp_url.get_secret_value()
    arguments = ("up", "--directory", str(tmp_path / "up"), "--site", "static")
    ran = sitecrew(*arguments, cwd=tmp_path, SITECREW_AMQP_URL=url)
    assert ran.returncode == 6
    assert "another Sitecrew works with this broker" in ran.stderr
    assert "intake.orders" in ran.stderr


def test_nothing_that_a_stack_honours_is_a_place() -> None:
    dangerous = ("store_url", "root", "host", "port", "socket", "private", "listen", "password", "templates")
    assert not [name for name in HONOURED if name.rpartition(".")[2] in dangerous]


# From run to run


def test_a_directory_keeps_its_ports_and_a_site_answers_after_the_second_start(
    tmp_path: Path, brokers: Brokers
) -> None:
    with static(tmp_path / "up", brokers) as first:
        first.until("In another terminal:")
        before = first.settings()
    with static(tmp_path / "up", brokers) as second:
        said = second.until("In another terminal:")
        after = second.settings()
    for name in ("servers", "mailer", "installer", "order_intake", "api"):
        assert getattr(after, name) == getattr(before, name)
    assert "sitecrew api staff password admin" in said, "the first admin's password was told at the first start"
    assert "sign in as" not in said


def test_a_port_that_another_program_has_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sitecrew.stack.own_settings._FREED_SECONDS", 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        write(tmp_path, {"servers.local.public_port": port})
        with pytest.raises(Refused, match=f"port {port} on 127.0.0.1, used before by the web server of"):
            ports_of(tmp_path)
    assert ports_of(tmp_path).web == port


def test_a_private_broker_keeps_its_port_too_whatever_broker_was_used_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq").mkdir()
    (tmp_path / "rabbitmq" / "rabbitmq.conf").write_text("listeners.tcp.1 = 127.0.0.1:20999\n")
    write(tmp_path, {"amqp_url": "amqp://guest:guest@127.0.0.1:5672/"})
    assert ports_of(tmp_path).broker == 20999
    assert ports_of(tmp_path, own_broker=False).broker != 20999


def test_a_second_run_in_the_directory_is_refused_at_once_and_the_first_goes_on(house: Up) -> None:
    ran = sitecrew("up", "--directory", str(house.directory), "--site", "static", cwd=house.directory)
    assert ran.returncode == 6
    assert "Another run still uses" in ran.stderr
    assert house.process.poll() is None
    assert is_claimed(house.directory / "lock")


# A private broker


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    if shutil.which("rabbitmq-server", path=PATH) is None:
        pytest.skip("script/bootstrap broker installs it")
    with up(tmp_path_factory.mktemp("private") / "up", "--site", "static", "--every", "*/2 * * * * *") as running:
        running.until("Ctrl-C stops everything")
        yield running


def logins(private: Up) -> dict[str, str]:
    """The broker's URLs, by who has them."""
    files = (private.directory / "broker" / who for who in USERS)
    return {file.name: file.read_text() for file in files}


def test_each_process_logs_in_to_a_private_broker_as_a_user_of_its_own(private: Up) -> None:
    log = (private.directory / "rabbitmq" / "rabbitmq.log").read_text()
    seen = set(re.findall(r"sitecrew ([\w-]+)'?\)?: user '([\w-]+)' authenticated", log))
    assert {(who, USERS[who].name) for who in SERVICES} <= seen
    assert {user for who, user in seen if who in SERVICES} == {USERS[who].name for who in SERVICES}


def test_a_producer_places_an_order_with_the_url_that_it_is_told_of(private: Up) -> None:
    (told,) = re.findall(r"orders +(AMQP_URL=.*\)\") ", private.said())
    order = ("1042", "static", "bakery.example", "Jo Miller", "jo@customer.example")
    placing = shlex.join([sys.executable, "examples/producers/python/place_order.py", *order])
    ran = subprocess.run(
        ["sh", "-ec", f"{told} {placing}"], capture_output=True, text=True, check=False, cwd=PROJECT, env=environment()
    )
    assert ran.returncode == 0, ran.stderr
    assert "//sitecrew-shop:" in logins(private)["shop"]
    deadline = time.monotonic() + SECONDS
    while not list((private.directory / "letters").glob("*.eml")):
        assert time.monotonic() < deadline, private.said()[-3000:]
        time.sleep(0.02)


def test_its_passwords_are_found_in_files_of_its_owner_only(private: Up) -> None:
    secrets = [urlsplit(url).password or "" for url in logins(private).values()]
    assert len({*secrets}) == len(USERS)
    assert all(secrets)
    logs = [*(private.directory / "log").iterdir(), private.directory / "rabbitmq" / "rabbitmq.log", private.log]
    texts = [path.read_bytes() for path in logs]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            texts += [(process / "cmdline").read_bytes(), (process / "environ").read_bytes()]
    assert not [secret for secret in secrets for text in texts if secret.encode() in text]
    of_the_node = {*(private.directory / "rabbitmq").rglob("*")}
    found = [path for path in {*private.directory.rglob("*")} - of_the_node if path.is_file()]
    having = [path for path in found if any(secret.encode() in path.read_bytes() for secret in secrets)]
    assert sorted(path.name for path in having) == sorted([*USERS, "sitecrew.toml"])
    assert {path.stat().st_mode & 0o077 for path in having} == {0}


def test_whoever_administers_it_finds_what_the_command_may_not(private: Up) -> None:
    config = ("--config", str(private.directory / "sitecrew.toml"))
    admin = str(private.directory / "broker" / "admin")
    refused = sitecrew(*config, "topology", "check", cwd=private.directory)
    assert refused.returncode == 6
    assert "Use an administrator's amqp_url" in refused.stderr
    checked = sitecrew(*config, "topology", "check", cwd=private.directory, SITECREW_AMQP_URL_FILE=admin)
    assert checked.returncode == 0, checked.stderr


# Beginning and ending


def test_the_first_words_come_before_anything_is_loaded() -> None:
    program = """
import builtins, sys
from typer import echo
def told(text, **_):
    heavy = [name for name in ("pika", "sqlalchemy", "sitecrew.stack.machine", "aiosmtpd") if name in sys.modules]
    print(text, heavy)
    raise SystemExit
import sitecrew.cli.up as module
module.typer.echo = told
sys.argv = ["sitecrew", "up"]
from sitecrew.cli.root import app
app()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert ran.stdout.startswith("starting RabbitMQ, MariaDB, PHP, a mail catcher and the services in var/up ... []")


@pytest.mark.skipif(shutil.which("rabbitmq-server", path=PATH) is None, reason="script/bootstrap broker installs it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_while_it_starts_it_stops_there(tmp_path: Path, number: signal.Signals) -> None:
    with up(tmp_path / "up", "--site", "static") as running:
        deadline = time.monotonic() + SECONDS
        while not (tmp_path / "up" / "rabbitmq" / "rabbitmq.log").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        running.process.send_signal(number)
        assert running.ends() == 130
    said = running.said()
    assert "stopped" in said
    assert "In another terminal:" not in said
    assert "Traceback" not in said


def test_a_second_signal_kills_everything_at_once(tmp_path: Path, brokers: Brokers) -> None:
    with static(tmp_path / "up", brokers) as running:
        running.until("In another terminal:")
        web = pid_of("sitecrew.stack.web", tmp_path)
        os.kill(web, signal.SIGSTOP)  # it does not hear that it should end, so stopping takes its time
        running.process.send_signal(signal.SIGINT)
        running.until("stopping")
        running.process.send_signal(signal.SIGINT)
        assert running.ends() == 130
        assert "killed, and everything with it" in running.said()
    deadline = time.monotonic() + SECONDS
    while Path(f"/proc/{web}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{web}").exists()


def test_a_web_server_that_dies_is_told_and_comes_back_where_it_was(house: Up) -> None:
    port = house.settings().servers["local"].public_port
    web = pid_of("sitecrew.stack.web", house.directory)
    os.kill(web, signal.SIGKILL)
    house.until("the web server exited with -9: restarting it")
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.02)
    assert pid_of("sitecrew.stack.web", house.directory) != web
    assert not Path(f"/proc/{web}").exists()  # no zombie


# What to type next


def test_it_says_what_to_type_next_and_that_works(house: Up) -> None:
    said = house.said()
    typed = said[said.index("In another terminal:") : said.index("Ctrl-C stops everything")].splitlines()[1:]
    script = "\n".join(line for line in typed if line.startswith("  "))
    ran = subprocess.run(
        ["sh", "-ec", script], capture_output=True, text=True, check=False, cwd=PROJECT, env=environment()
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"sites +http://127.0.0.1:\d+/", said)
    assert re.search(r"emails +\S*/letters", said)
    assert re.search(r"health +.*installer http://127.0.0.1:\d+", said)


def test_the_first_admin_of_the_console_is_told_once(house: Up) -> None:
    found = re.search(r"sign in as admin with (\S+) \(shown only now\)", house.said())
    assert found
    store = Store(house.settings().api.store_url.get_secret_value())
    with store.reading() as connection:
        assert verified(connection, "admin", found[1])
        (added,) = listing.activity(connection, ActivityFilter(kinds=["staff.added"])).rows
        assert added.detail == "admin, role: admin"
    store.close()
    assert found[1] not in "".join(path.read_text(errors="replace") for path in (house.directory / "log").iterdir())


def test_what_it_leaves_out_is_not_sold(house: Up) -> None:
    """Else an order for it would be taken, and fail."""
    assert [house.settings().sites[name].sold for name in ("static", "wordpress")] == [True, False]


def test_a_command_finds_the_stack_that_runs_where_it_is_called_and_says_so(house: Up) -> None:
    below = house.directory.parents[1] / "deeper" / "down"
    below.mkdir(parents=True)
    found = sitecrew("install", "list", cwd=below, SITECREW_INSTALLER__STORE_URL="sqlite:////nowhere/x.db")
    assert found.returncode == 0, found.stderr
    assert "var/up/sitecrew.toml" in found.stderr
    named = sitecrew("config", "show", "--json", cwd=below)
    assert json.loads(named.stdout)["servers.local.root"]["from"].endswith("var/up/sitecrew.toml")


def test_a_stack_that_has_ended_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var" / "up").mkdir(parents=True)
    for name in ("lock", "sitecrew.toml"):
        (tmp_path / "var" / "up" / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SITECREW_CONFIG", raising=False)
    assert running_stack(None) is None
    with claimed(tmp_path / "var" / "up" / "lock"):
        assert running_stack(None) == tmp_path / "var" / "up" / "sitecrew.toml"
        (tmp_path / "sitecrew.toml").touch()
        assert running_stack(None) is None
