"""What is shipped: the licence, no development packages in production, and locks that anybody can install from."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.partition("==")[0] for line in lines if "==" in line}


def wanted(requirements: list[str]) -> set[str]:
    return {str(canonicalize_name(Requirement(line).name)) for line in requirements}


def test_anybody_may_use_it() -> None:
    assert PROJECT["license"] == "MIT"
    text = (ROOT / "LICENSE").read_text()
    assert "MIT License" in text
    assert "The Sitecrew authors" in text


def test_the_locks_hold_what_is_asked_for() -> None:
    extras = [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    assert wanted(PROJECT["dependencies"]) <= locked("requirements.txt")
    assert wanted([*PROJECT["dependencies"], *extras]) - {PROJECT["name"]} <= locked("requirements-dev.txt")


def test_production_does_without_what_only_a_demonstration_or_spans_need() -> None:
    for extra in ("demo", "tracing"):
        assert not wanted(PROJECT["optional-dependencies"][extra]) & locked("requirements.txt")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-build.txt"])
def test_every_package_is_locked_by_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "index" not in text
    packages = re.split(r"(?m)^(?=[a-zA-Z0-9])", text)[1:]
    assert packages
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []


@pytest.mark.parametrize("module", ["sitecrew.demo", "sitecrew up"])
def test_without_the_extra_it_says_what_to_install(module: str) -> None:
    program = """
import importlib.util, runpy, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "aiosmtpd" else find(name, *rest)
module, *sys.argv = sys.argv[1].split() if sys.argv[1] != "sitecrew.demo" else ["sitecrew.demo"]
sys.argv = [module, *sys.argv]
runpy.run_module(module, run_name="__main__")
"""
    ran = subprocess.run([sys.executable, "-c", program, module], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 2, ran.stderr
    assert "pip install 'sitecrew[api,demo]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_the_services_do_not_need_the_extras() -> None:
    """Nothing that runs in production imports a package that is not in its lock."""
    program = """
import sys
for name in ("aiosmtpd", "pydantic_settings", "opentelemetry"):
    sys.modules[name] = None
import sitecrew.cli.doctor, sitecrew.cli.order, sitecrew.cli.install, sitecrew.cli.client.beside, sitecrew.cli.checks
import services.order_intake.__main__, services.installer.__main__, services.mailer.__main__
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
