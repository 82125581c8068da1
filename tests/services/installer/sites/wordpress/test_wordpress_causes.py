"""Why a WordPress could not be installed: each cause by its code, and nothing left behind."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import CauseKind
from services.installer.sites.wordpress import WordPress
from tests.support.daemons import mariadb
from tests.support.installing import (
    assert_untouched,
    at_step,
    databases_of,
    local_server,
    new_job,
    only_at,
    quietly,
    shim,
)

pytest_plugins = ("tests.support.web_host",)

CORE = WordPress().core


@pytest.mark.parametrize(
    ("script", "code", "kind"),
    [
        ("exit 1", "php_missing", CauseKind.CONFIGURATION),
        ("echo hello", "php_missing", CauseKind.CONFIGURATION),
        ('exec php -n "$@"', "php_ext", CauseKind.CONFIGURATION),
        (only_at("install.php", "echo '<h1>Error</h1>'; exit 0"), "php_fatal", CauseKind.PERMANENT),
        (only_at("install.php", "cat >&2; exit 0"), "php_fatal", CauseKind.PERMANENT),
        (only_at("install.php", "echo '{\"ok\": true}'; exit 0"), "php_fatal", CauseKind.PERMANENT),
        (only_at("render.php", "echo nothing; exit 0"), "php_fatal", CauseKind.PERMANENT),
    ],
)
def test_a_php_that_is_none_or_fails_while_it_exits_with_0_is_found_out(
    web_host: LocalServer, tmp_path: Path, script: str, code: str, kind: CauseKind, wordpress: WordPress
) -> None:
    sealed: list[str] = []

    def seal(secret: str) -> str:
        sealed.append(secret)
        return "c2VhbGVk"

    job = replace(new_job(web_host), seal=seal)
    with pytest.raises(Failed, match=code) as failure:
        replace(wordpress, php=shim(tmp_path, script)).install(job, web_host, quietly)
    assert failure.value.cause.kind is kind
    assert not any(password in str(failure.value) for password in sealed)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


def test_a_php_that_is_not_installed_is_missing(web_host: LocalServer, tmp_path: Path, wordpress: WordPress) -> None:
    with pytest.raises(Failed, match="php_missing"):
        replace(wordpress, php=str(tmp_path / "php")).check(web_host)


def test_files_that_are_not_ours_are_never_replaced(web_host: LocalServer, wordpress: WordPress) -> None:
    job = new_job(web_host)
    index = web_host.home(job.username) / "www/index.html"
    index.write_text("the customer's")
    with pytest.raises(Failed, match="docroot_not_empty") as failure:
        wordpress.install(job, web_host, quietly)
    assert failure.value.cause.kind is CauseKind.CONFLICT
    assert index.read_text() == "the customer's"
    assert databases_of(web_host, job) == []


def test_a_disk_without_room_is_found_before_anything_is_copied(web_host: LocalServer, wordpress: WordPress) -> None:
    for greedy in (replace(wordpress, space=10**18), replace(wordpress, inodes=10**15)):
        job = new_job(web_host)
        with pytest.raises(Failed, match="disk_full") as failure:
            greedy.install(job, web_host, quietly)
        assert failure.value.cause.kind is CauseKind.CAPACITY
        assert_untouched(web_host, job)


def broken_core(directory: Path, damage: Callable[[Path], object]) -> Path:
    """A core of the few files that are looked at before anything is copied."""
    core = directory / "core"
    for name in ("index.php", "wp-load.php", "wp-settings.php", "wp-login.php", "wp-admin/includes/upgrade.php"):
        (core / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CORE / name, core / name)
    (core / "wp-content/themes/one").mkdir(parents=True)
    (core / "wp-content/themes/one/style.css").touch()
    damage(core)
    return core


@pytest.mark.parametrize(
    "damage",
    [
        lambda core: (core / "wp-load.php").unlink(),
        lambda core: (core / "wp-content/themes/one/style.css").unlink(),
        lambda core: (core / "wp-includes.php").symlink_to("/nowhere/at/all"),
    ],
)
def test_a_core_without_a_file_a_theme_or_a_links_target_is_missing(
    web_host: LocalServer, tmp_path: Path, damage: Callable[[Path], object], wordpress: WordPress
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match="core_missing"):
        replace(wordpress, core=broken_core(tmp_path, damage)).install(job, web_host, quietly)
    assert_untouched(web_host, job)


def test_an_install_past_its_deadline_gives_up(web_host: LocalServer, wordpress: WordPress) -> None:
    job = replace(new_job(web_host), deadline=datetime.now(UTC) + timedelta(seconds=0.4))
    with pytest.raises(Failed, match="timeout"):
        wordpress.install(job, web_host, quietly)
    assert_untouched(web_host, job)


def test_a_server_without_databases_cannot_have_wordpress(web_host: LocalServer, wordpress: WordPress) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match="db_unset"):
        wordpress.install(job, replace(web_host, databases=None), quietly)


@pytest.mark.parametrize("step", ["preflight", "database", "install", "render"])
def test_a_database_that_stops_is_down(tmp_path: Path, wordpress: WordPress, step: str) -> None:
    with mariadb() as (databases, daemon):
        server = local_server(tmp_path, "127.0.0.1:1", databases)
        job = new_job(server)
        with pytest.raises(Failed, match="db_down") as failure:
            wordpress.install(job, server, at_step(step, daemon.stop))
        assert failure.value.cause.kind is CauseKind.TRANSIENT
        assert_untouched(server, job)


def test_a_database_that_freezes_runs_into_the_time_limit(tmp_path: Path, wordpress: WordPress) -> None:
    with mariadb() as (databases, daemon):
        server = local_server(tmp_path, "127.0.0.1:1", replace(databases, read_seconds=5))
        job = replace(new_job(server), deadline=datetime.now(UTC) + timedelta(seconds=8))
        with pytest.raises(Failed, match="timeout"):
            wordpress.install(job, server, at_step("install", daemon.freeze))
        assert_untouched(server, job)


def test_a_database_that_refuses_the_site_is_told_apart_from_a_fault_of_php(
    web_host: LocalServer, wordpress: WordPress, database_server: MariaDatabases
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match=r"db_site_refused: WordPress with its database at localhost:/.*: 1045") as failure:
        wordpress.install(job, web_host, at_step("install", lambda: database_server.drop(f"{job.username}_g1f1")))
    assert failure.value.cause.kind is CauseKind.CONFIGURATION
    assert_untouched(web_host, job)
