"""PHP as houses set it up: fenced in, talkative, or private. An install works, or says in PHP's own words why not."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites.programs import Ran
from services.installer.sites.programs import php as php_module
from services.installer.sites.programs.php import Php
from services.installer.sites.wordpress import WordPress
from tests.support.installing import assert_untouched, new_job, opens, quietly, shim

takes_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")

pytest_plugins = ("tests.support.web_host",)


@pytest.mark.parametrize("setting", ["auto_append_file", "auto_prepend_file"])
def test_what_the_host_has_printed_around_every_script_does_not_hide_the_answer(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path, setting: str
) -> None:
    (tmp_path / "banner.php").write_text(
        '\ufeff<!-- {"ok": false} --><?php ob_start(fn ($text) => strrev($text)); echo 1;'
    )
    program = shim(tmp_path, f'exec php -d {setting}={tmp_path}/banner.php "$@"')
    job = new_job(web_host)
    # The home page is rendered to stdout: there, a buffer that turns everything round is in the way, rightly.
    installer = replace(
        wordpress, php=shim(tmp_path, f'case "$*" in *render.php*) exec php "$@";; esac\n{_line(program)}')
    )
    assert opens(web_host, installer.install(job, web_host, quietly))


def _line(program: str) -> str:
    return Path(program).read_text().partition("\n")[2]


def test_php_within_the_hosting_root_alone_installs(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    program = shim(tmp_path, f'exec php -d open_basedir={web_host.root} "$@"')
    job = new_job(web_host)
    assert opens(web_host, replace(wordpress, php=program).install(job, web_host, quietly))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("disable_functions=ini_set", r"Call to undefined function ini_set\(\) in .*/wp-"),
        ("disable_functions=set_time_limit,version_compare", r"Call to undefined function version_compare\(\) in"),
        ("disable_functions=file_put_contents", r"Call to undefined function file_put_contents\(\)"),
        # Of these WordPress knows nothing before it is well on its way.
        ("disable_functions=html_entity_decode", r"Call to undefined function html_entity_decode\(\)"),
        ("disable_functions=file_get_contents", r"Call to undefined function file_get_contents\(\)"),
        ("disable_classes=DateTimeZone", r"DateTimeZone"),
        ("open_basedir=/nowhere", r"open_basedir restriction in effect"),
    ],
)
def test_a_fence_that_wordpress_cannot_live_with_is_named_in_phps_words(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path, flags: str, said: str
) -> None:
    job = new_job(web_host)
    program = shim(tmp_path, f'exec php -d {flags} "$@"')
    with pytest.raises(Failed, match=f"php_fatal: .*{said}"):
        replace(wordpress, php=program).install(job, web_host, quietly)
    assert_untouched(web_host, job)


def test_a_php_that_prints_at_its_start_is_php_all_the_same(tmp_path: Path) -> None:
    program = shim(tmp_path, 'echo \'PHP Warning:  Module "curl" is already loaded\'; exec php "$@"')
    Php(program).require(["json"])
    with pytest.raises(Failed, match=r"php_ext: .* lacks nosuch"):
        Php(program).require(["nosuch", "json"])


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Our own scripts in a folder that only root may walk, as a home of root's is."""
    folder = Path(tempfile.mkdtemp())
    for name in ("_SPEAK", "_LOOK"):
        monkeypatch.setattr(php_module, name, Path(shutil.copy(getattr(php_module, name), folder)))
    yield folder
    shutil.rmtree(folder)


@takes_root
@pytest.mark.usefixtures("private")
def test_a_customers_php_runs_scripts_that_lie_where_he_may_not_walk() -> None:
    Php().require(["json"], owner=(54321, 33))


def test_nothing_but_the_installs_own_time_limits_php(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def ran(_command: object, _stdin: str, *, seconds: float, **_: Any) -> Ran:
        given.append(seconds)
        return Ran(0, "", "")

    monkeypatch.setattr(php_module, "run", ran)
    Php().run((php_module._LOOK,), {}, deadline=datetime.now(UTC) + timedelta(hours=2))
    assert given[0] > 7000


# The doctor asks what installs ask


@pytest.mark.parametrize(
    "flags", ["disable_functions=ini_set", "disable_functions=version_compare", "open_basedir=/nowhere"]
)
def test_the_doctor_finds_the_fences_that_installs_would_run_into(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path, flags: str
) -> None:
    with pytest.raises(Failed, match="php_fatal"):
        replace(wordpress, php=shim(tmp_path, f'exec php -d {flags} "$@"')).rehearse(web_host)
    assert_nothing_of_the_trial(web_host)


@pytest.mark.parametrize(
    ("wish", "value", "code"),
    [
        ("locale", "tlh", "locale_missing"),
        ("timezone", "Mars", "value_unsupported"),
        ("space", 10**18, "disk_full"),
        ("inodes", 10**15, "disk_full"),
    ],
)
def test_the_doctor_finds_what_every_install_of_a_type_would_fail_by(
    web_host: LocalServer, wordpress: WordPress, wish: str, value: object, code: str
) -> None:
    with pytest.raises(Failed, match=code):
        replace(wordpress, **{wish: value}).rehearse(web_host)  # type: ignore[arg-type]
    assert_nothing_of_the_trial(web_host)


@pytest.mark.parametrize("linux_users", [False, pytest.param(True, marks=takes_root)])
@pytest.mark.usefixtures("private")
def test_the_doctor_leaves_nothing_of_a_trial_that_went_well(
    web_host: LocalServer, wordpress: WordPress, linux_users: bool
) -> None:
    assert isinstance(web_host.databases, MariaDatabases)
    assert web_host.databases.socket is not None
    for folder in (web_host.root, web_host.databases.socket.parent):
        folder.chmod(0o711)
    replace(wordpress, permalinks="/%postname%/").rehearse(replace(web_host, linux_users=linux_users))
    assert_nothing_of_the_trial(web_host)


def assert_nothing_of_the_trial(server: LocalServer) -> None:
    assert server.databases is not None
    assert [name for name in server.databases.names("") if "trial" in name] == []
    assert list((server.root / "accounts").glob("*trial*")) == []
