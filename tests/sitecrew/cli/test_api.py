"""`sitecrew api`: the first people who may sign in to the console."""

from pathlib import Path

import pytest

from foundation.store import Store
from services.api.access import staff
from services.api.access.identity import Role
from tests.support.cli import sitecrew


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/api.db"
    monkeypatch.setenv("SITECREW_API__STORE_URL", url)
    return url


def verified(url: str, name: str, password: str) -> Role | None:
    store = Store(url)
    with store.reading() as connection:
        member = staff.verified(connection, name, password)
    store.close()
    return member.role if member else None


def test_the_first_admin_s_password_is_printed_once(url: str) -> None:
    ran = sitecrew("api", "staff", "add", "eve", "--role", "admin")
    assert ran.exit_code == 0, ran.stderr
    assert verified(url, "eve", ran.stdout.strip()) == Role.ADMIN
    again = sitecrew("api", "staff", "add", "eve")
    assert (again.exit_code, again.stdout) == (6, "")


def test_a_password_comes_from_a_file_and_is_not_printed(url: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of a good length\n")
    ran = sitecrew("api", "staff", "add", "eve", "--password-file", str(tmp_path / "password"))
    assert "of a good length" not in ran.stdout + ran.stderr
    assert verified(url, "eve", "of a good length") == Role.VIEWER
    new = sitecrew("api", "staff", "password", "eve").stdout.strip()
    assert verified(url, "eve", "of a good length") is None
    assert verified(url, "eve", new) == Role.VIEWER
    assert sitecrew("api", "staff", "password", "nobody").exit_code == 5


@pytest.mark.usefixtures("url")
def test_a_short_password_and_an_unknown_role_are_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("short")
    ran = sitecrew("api", "staff", "add", "eve", "--password-file", str(tmp_path / "password"))
    assert (ran.exit_code, "12 to 200 characters" in ran.stderr) == (6, True)
    assert sitecrew("api", "staff", "add", "eve", "--role", "boss").exit_code == 2
