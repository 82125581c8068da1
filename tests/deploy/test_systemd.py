"""The units for systemd: understood by it, hardened, and with lines that start the services."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from foundation.config.keys import generate_keys
from foundation.config.settings import known, load
from foundation.config.sources import setting_of
from tests.support.brokers import Brokers

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = ("order-intake", "installer", "mailer", "api")
EXPOSURE = 20
"""Tenths; systemd calls up to 2.0 well protected, and a service without any of this has 9.6."""
SECONDS = 90.0


def lines(name: str, section: str = "Service") -> Iterator[tuple[str, str]]:
    """The settings of a section of a unit, in order."""
    current = ""
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == section and "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            yield key, value


def value(name: str, key: str) -> list[str]:
    return [told for found, told in lines(name) if found == key]


@pytest.fixture
def analyze() -> str:
    found = shutil.which("systemd-analyze")
    if found is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)("systemd-analyze is not installed")
    return found


@pytest.mark.parametrize("service", [*SERVICES, "audit"])
def test_systemd_understands_a_unit(service: str, analyze: str, tmp_path: Path) -> None:
    for unit in UNITS.glob("sitecrew*.*"):
        text = unit.read_text().replace("/opt/sitecrew/bin", str(Path(sys.executable).parent))
        (tmp_path / unit.name).write_text(text)
    names = [
        str(tmp_path / f"sitecrew-{service}.service"),
        str(tmp_path / "sitecrew.target"),
        str(tmp_path / "sitecrew-audit.timer"),
    ]
    ran = subprocess.run([analyze, "verify", *names], capture_output=True, text=True, check=False)
    said = [line for line in ran.stderr.splitlines() if "sitecrew" in line]
    assert said == []


@pytest.mark.parametrize("service", [*SERVICES, "audit"])
def test_a_unit_leaves_little_to_whoever_breaks_in(service: str, analyze: str) -> None:
    unit = str(UNITS / f"sitecrew-{service}.service")
    options = ("--offline=yes", f"--threshold={EXPOSURE}", "--no-pager")
    ran = subprocess.run([analyze, "security", *options, unit], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-300:]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_with_wrong_settings_is_not_started_again(service: str) -> None:
    assert value(f"sitecrew-{service}.service", "RestartPreventExitStatus") == ["2"]


def test_only_the_mailer_gets_the_private_key_and_only_the_api_its_own() -> None:
    given = {service: value(f"sitecrew-{service}.service", "LoadCredential") for service in SERVICES}
    mailers, apis = ["private-key:/etc/sitecrew/mailer.key"], ["secret-key:/etc/sitecrew/api.key"]
    assert given == {"order-intake": [], "installer": [], "mailer": mailers, "api": apis}
    assert "SITECREW_KEYS__PRIVATE_FILE=%d/private-key" in value("sitecrew-mailer.service", "Environment")
    assert "SITECREW_API__SECRET_KEY_FILE=%d/secret-key" in value("sitecrew-api.service", "Environment")


def test_every_variable_of_the_environment_file_is_a_setting() -> None:
    named = re.findall(r"^#(SITECREW_\w+)=", (UNITS / "sitecrew.env").read_text(), re.MULTILINE)
    assert len(named) >= 3
    assert [name for name in named if not setting_of(name.removesuffix("_FILE"), known())] == []


def test_the_services_start_by_the_lines_of_their_units_and_end_when_told(
    tmp_path: Path, brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With /opt, /etc, /var/lib and /srv in another place, and without systemd's walls."""
    for name in [name for name in os.environ if name.startswith("SITECREW_")]:
        monkeypatch.delenv(name)
    public, private = generate_keys()
    text = (UNITS / "sitecrew.toml").read_text()
    text = text.replace('keys.public = ""', f'keys.public = "{public}"').replace("/srv/", f"{tmp_path}/srv/")
    text = re.sub(r'amqp_url = ".*"', f'amqp_url = "{brokers.url()}"', text)
    text = text.replace("127.0.0.1:8080", "127.0.0.1:0")
    config = tmp_path / "sitecrew.toml"
    config.write_text(text.replace("/var/lib/", f"{tmp_path}/") + 'databases.host = "127.0.0.1"\n')
    (tmp_path / "private-key").write_text(f"{private}\n")
    (tmp_path / "secret-key").write_text("any long random text\n")
    assert load(config).servers["local"].root == tmp_path / "srv" / "hosting"
    with ExitStack() as opened:
        running = {service: started(service, tmp_path, config, opened) for service in SERVICES}
        for service, process in running.items():
            deadline = time.monotonic() + SECONDS
            log = tmp_path / f"{service}.log"
            while "service.started" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        for process in running.values():
            process.send_signal(signal.SIGTERM)
        assert [process.wait(SECONDS) for process in running.values()] == [0, 0, 0, 0]


def started(service: str, place: Path, config: Path, opened: ExitStack) -> "subprocess.Popen[bytes]":
    (line,) = value(f"sitecrew-{service}.service", "ExecStart")
    told = value(f"sitecrew-{service}.service", "Environment")
    environment = dict(one.replace("%d", str(place)).split("=", 1) for one in told)
    arguments = line.replace("/opt/sitecrew/bin", str(Path(sys.executable).parent)).split()
    listen = f"SITECREW_{service.replace('-', '_').upper()}__LISTEN"
    output = opened.enter_context((place / f"{service}.log").open("wb"))
    process = subprocess.Popen(
        arguments,
        env={"PATH": "/usr/bin:/bin", "SITECREW_CONFIG": str(config), listen: "127.0.0.1:0", **environment},
        stdout=output,
        stderr=output,
        cwd="/",
    )
    opened.callback(process.wait)
    opened.callback(process.kill)
    return process
