"""WordPress for real: Debian's core, MariaDB, PHP's web server, and a login with the password from the sealed box."""

import grp
import multiprocessing
import os
import pwd
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting import Database, Databases
from foundation.hosting.causes import failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import CauseKind
from services.installer.sites import InstalledSite, Job, SiteInstaller
from services.installer.sites.markers import read_site
from services.installer.sites.static import Static
from services.installer.sites.verify import shows
from services.installer.sites.wordpress import WordPress
from tests.services.installing import (
    at_step,
    browser,
    claimed_again,
    eventually,
    killed_at,
    leftovers,
    local_server,
    logs_in,
    mariadb,
    new_job,
    quietly,
    reinstall,
    require,
    unseal,
)

pytest_plugins = ("tests.services.web_host",)

CORE = Path("/usr/share/wordpress")


@pytest.fixture(autouse=True)
def _wordpress_is_there() -> None:
    require("php", "mariadbd")
    if not CORE.is_dir():
        pytest.fail("no WordPress") if os.environ.get("CI") else pytest.skip("no WordPress")


@pytest.fixture
def wordpress() -> WordPress:
    return WordPress(isolated=True)


def opens(server: LocalServer, site: InstalledSite) -> bool:
    return logs_in(server.web_address, site.login_url, site.username, unseal(site.sealed_password))


def home_page(server: LocalServer, job: Job) -> str:
    with browser(server.web_address) as visitor:
        return visitor.get(job.url).raise_for_status().text


def databases_of(server: LocalServer, job: Job) -> list[str]:
    assert server.databases is not None
    return server.databases.names(f"{job.username}_")


def assert_untouched(server: LocalServer, job: Job) -> None:
    """A first install that failed has left nothing."""
    assert list((server.home(job.username) / "www").iterdir()) == []
    assert leftovers(server, job.username) == []


@pytest.fixture(scope="module")
def installed(web_host: LocalServer) -> tuple[Job, InstalledSite]:
    """A site that tests look at and do not change."""
    installer: SiteInstaller = WordPress(isolated=True)
    job = new_job(web_host)
    return job, installer.install(job, web_host, quietly)


def test_a_site_at_its_temporary_url_opens_with_the_sealed_password(
    web_host: LocalServer, installed: tuple[Job, InstalledSite]
) -> None:
    job, site = installed
    assert shows(home_page(web_host, job), job.title)
    assert (site.application, site.url, site.username, site.adopted) == ("WordPress", job.url, job.username, False)
    assert site.version.startswith("6.")
    assert opens(web_host, site)
    assert not logs_in(web_host.web_address, site.login_url, site.username, "wrong")
    assert leftovers(web_host, job.username) == []


def test_a_site_under_its_own_domain_opens_before_the_domain_leads_here(
    web_host: LocalServer, wordpress: WordPress
) -> None:
    job = new_job(web_host, own_domain=True)
    site = wordpress.install(job, web_host, quietly)
    assert site.login_url == f"http://{job.domain}:{web_host.public_port}/wp-login.php"
    assert opens(web_host, site)


@pytest.mark.parametrize("title", ['It\'s 9x9 -- "WordPress"...', "<b>Wordpress</b> & ümläut 🙂 \\o/"])
def test_a_title_may_be_any_line_of_text(web_host: LocalServer, wordpress: WordPress, title: str) -> None:
    wordpress.install(job := new_job(web_host, title=title), web_host, quietly)
    assert "<b>Wordpress</b>" not in home_page(web_host, job)


def test_a_finished_install_is_adopted_with_the_same_credentials(
    web_host: LocalServer, wordpress: WordPress, installed: tuple[Job, InstalledSite]
) -> None:
    job, site = installed
    assert wordpress.install(claimed_again(job), web_host, quietly) == replace(site, adopted=True)


def test_the_core_is_copied_whole_without_links_and_without_debians_configuration(
    web_host: LocalServer, installed: tuple[Job, InstalledSite]
) -> None:
    job, _ = installed
    www = web_host.home(job.username) / "www"
    assert not any(path.is_symlink() for path in www.rglob("*"))
    assert (www / "wp-includes/certificates/ca-bundle.crt").stat().st_size > 0
    config = www / "wp-config.php"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert "/etc/wordpress" not in config.read_text()
    assert len({line for line in config.read_text().splitlines() if "_KEY'" in line or "_SALT'" in line}) == 8
    assert not (www / ".htaccess").exists()
    assert not list(www.glob("sitecrew-*"))


def test_a_reinstall_keeps_the_site_answering_and_gives_new_credentials(
    web_host: LocalServer, wordpress: WordPress
) -> None:
    job = new_job(web_host)
    old = wordpress.install(job, web_host, quietly)
    with polled(web_host, job) as statuses:
        new = wordpress.install(reinstall(job), web_host, quietly)
    assert len(statuses) > 3
    assert set(statuses) == {200}
    assert opens(web_host, new)
    assert not opens(web_host, replace(new, sealed_password=old.sealed_password))
    assert databases_of(web_host, job) == [f"{job.username}_g2f1"]
    assert leftovers(web_host, job.username) == []


@contextmanager
def polled(server: LocalServer, job: Job) -> Iterator[list[int]]:
    """The statuses with which a site's home page answers meanwhile."""
    statuses: list[int] = []
    done = threading.Event()

    def poll() -> None:
        with browser(server.web_address) as visitor:
            while not done.is_set():
                statuses.append(visitor.get(job.url).status_code)

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield statuses
    finally:
        done.set()
        thread.join(30)


@pytest.mark.parametrize("step", ["stage", "database", "install", "swap", "verify", "marker", "retire"])
def test_killed_at_any_step_the_old_site_answers_and_the_next_run_ends_well(
    web_host: LocalServer, wordpress: WordPress, step: str
) -> None:
    job = new_job(web_host, title="The old shop")
    Static().install(job, web_host, quietly)
    new = reinstall(job, title="The new shop")
    killed_at(step, wordpress, new, web_host)
    assert shows(home_page(web_host, job), "The new shop" if step in {"verify", "marker", "retire"} else "The old shop")
    site = wordpress.install(claimed_again(new), web_host, quietly)
    assert site.adopted == (step == "retire")
    assert opens(web_host, site)
    assert databases_of(web_host, job) == [f"{job.username}_g2f{1 if site.adopted else 2}"]
    assert leftovers(web_host, job.username) == []


def test_killed_at_step_after_step_of_a_first_install_the_last_run_ends_well(
    web_host: LocalServer, wordpress: WordPress
) -> None:
    job = new_job(web_host)
    for step in ("render", "verify"):
        killed_at(step, wordpress, job, web_host)
        job = claimed_again(job)
    assert opens(web_host, wordpress.install(job, web_host, quietly))
    assert databases_of(web_host, job) == [f"{job.username}_g1f3"]
    assert leftovers(web_host, job.username) == []


def test_of_two_workers_only_the_later_claim_goes_live(web_host: LocalServer, wordpress: WordPress) -> None:
    job = new_job(web_host)
    later: list[InstalledSite] = []

    def overtake() -> None:
        later.append(wordpress.install(claimed_again(job), web_host, quietly))

    with pytest.raises(Failed, match="superseded"):
        wordpress.install(job, web_host, at_step("render", overtake))
    assert opens(web_host, later[0])
    assert databases_of(web_host, job) == [f"{job.username}_g1f2"]
    assert leftovers(web_host, job.username) == []


def test_two_workers_at_once_leave_one_site_that_opens(web_host: LocalServer, wordpress: WordPress) -> None:
    job = new_job(web_host)
    sites: dict[int, InstalledSite] = {}
    failures: list[str] = []

    def work(claim: Job) -> None:
        try:
            sites[claim.fence] = wordpress.install(claim, web_host, quietly)
        except Failed as failure:
            failures.append(failure.cause.code)

    threads = [threading.Thread(target=work, args=(claim,)) for claim in (job, claimed_again(job))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures in ([], ["superseded"])
    assert opens(web_host, sites[2])
    assert len(databases_of(web_host, job)) == 1
    assert leftovers(web_host, job.username) == []


def only_at(script: str, action: str) -> str:
    """A shell script that is PHP, but for one PHP script."""
    return f'case "$*" in *{script}*) {action};; esac; exec php "$@"'


def shim(directory: Path, script: str) -> str:
    """A program in PHP's place."""
    program = directory / "php-shim"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_the_php_of_a_killed_worker_that_lives_on_changes_nothing(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    tells = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid"
    waits = only_at("install.php", f"{tells}; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    job = new_job(web_host)
    slow = replace(wordpress, php=shim(tmp_path, waits))
    worker = multiprocessing.get_context("spawn").Process(target=slow.install, args=(job, web_host, quietly))
    worker.start()
    eventually((tmp_path / "pid").exists)
    worker.kill()
    worker.join(10)
    site = wordpress.install(claimed_again(job), web_host, quietly)
    (tmp_path / "go").touch()
    eventually(lambda: ended(int((tmp_path / "pid").read_text())))
    assert opens(web_host, site)
    assert databases_of(web_host, job) == [f"{job.username}_g1f2"]
    assert leftovers(web_host, job.username) == []


def ended(pid: int) -> bool:
    """Whether a process is gone, or a zombie whom nobody has fetched yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_php_that_hangs_is_stopped_with_all_its_children(web_host: LocalServer, tmp_path: Path) -> None:
    hangs = only_at("install.php", f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    job = new_job(web_host)
    with pytest.raises(Failed, match="timeout") as failure:
        WordPress(php=shim(tmp_path, hangs), php_seconds=1).install(job, web_host, quietly)
    assert failure.value.cause.kind is CauseKind.TRANSIENT
    eventually(lambda: ended(int((tmp_path / "pid").read_text())))
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


def test_no_secret_is_in_argv_or_in_the_environment(web_host: LocalServer, tmp_path: Path) -> None:
    tells = f'printf "%s\\n" "$@" >> {tmp_path}/seen; env >> {tmp_path}/seen; exec php "$@"'
    job = new_job(web_host)
    site = WordPress(php=shim(tmp_path, tells), isolated=True).install(job, web_host, quietly)
    config = (web_host.home(job.username) / "www/wp-config.php").read_text()
    database_password = config.partition("'DB_PASSWORD', '")[2].partition("'")[0]
    seen = (tmp_path / "seen").read_text()
    assert "install.php" in seen
    assert database_password
    assert not any(secret in seen for secret in (unseal(site.sealed_password), database_password))
    marker = read_site(web_host.home(job.username) / "private")
    assert unseal(site.sealed_password) not in f"{marker} {site}"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="takes root and useradd")
def test_with_linux_users_the_site_is_the_users_and_its_php_runs_as_the_user(
    web_host: LocalServer, database_server: MariaDatabases
) -> None:
    assert database_server.socket is not None
    for private in (web_host.root, database_server.socket.parent):
        private.chmod(0o711)
    server = replace(web_host, linux_users=True)
    job = new_job(server)
    try:
        told = web_host.root / "uid"
        told.touch()
        told.chmod(0o666)
        program = shim(web_host.root, only_at("install.php", f"id -u > {told}"))
        site = WordPress(php=program, isolated=True).install(job, server, quietly)
        user = pwd.getpwnam(job.username).pw_uid
        www = server.home(job.username) / "www"
        assert int(told.read_text()) == user
        assert {path.lstat().st_uid for path in (www, *www.rglob("*"))} == {user}
        assert {path.lstat().st_gid for path in www.rglob("*")} == {grp.getgrnam(server.web_group).gr_gid}
        assert opens(server, site)
    finally:
        subprocess.run(["userdel", job.username], check=False, capture_output=True)


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
    web_host: LocalServer, tmp_path: Path, script: str, code: str, kind: CauseKind
) -> None:
    sealed: list[str] = []

    def seal(secret: str) -> str:
        sealed.append(secret)
        return "c2VhbGVk"

    job = replace(new_job(web_host), seal=seal)
    with pytest.raises(Failed, match=code) as failure:
        WordPress(php=shim(tmp_path, script)).install(job, web_host, quietly)
    assert failure.value.cause.kind is kind
    assert not any(password in str(failure.value) for password in sealed)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


def test_a_php_that_is_not_installed_is_missing(web_host: LocalServer, tmp_path: Path) -> None:
    with pytest.raises(Failed, match="php_missing"):
        WordPress(php=str(tmp_path / "php")).check(web_host)


def test_files_that_are_not_ours_are_never_replaced(web_host: LocalServer, wordpress: WordPress) -> None:
    job = new_job(web_host)
    index = web_host.home(job.username) / "www/index.html"
    index.write_text("the customer's")
    with pytest.raises(Failed, match="docroot_not_empty") as failure:
        wordpress.install(job, web_host, quietly)
    assert failure.value.cause.kind is CauseKind.CONFLICT
    assert index.read_text() == "the customer's"
    assert databases_of(web_host, job) == []


def test_a_disk_without_room_is_found_before_anything_is_copied(web_host: LocalServer) -> None:
    for greedy in (WordPress(space=10**18), WordPress(inodes=10**15)):
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
    web_host: LocalServer, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match="core_missing"):
        WordPress(core=broken_core(tmp_path, damage)).install(job, web_host, quietly)
    assert_untouched(web_host, job)


def test_a_site_that_does_not_answer_is_taken_back(web_host: LocalServer, wordpress: WordPress) -> None:
    job = replace(new_job(web_host), url=f"http://nobody.example:{web_host.public_port}/")
    with pytest.raises(Failed, match=r"verify_failed: .*Host: nobody.example.* answered 404, expected 200"):
        wordpress.install(job, web_host, quietly)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


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


@dataclass
class DownOnceUsed:
    """A database server that goes down after it has made one database, before it can say so."""

    real: Databases
    down: bool = False

    def create(self, name: str) -> Database:
        self.real.create(name)
        self.down = True
        raise failed("db_down", "the connection was lost")

    def drop(self, name: str) -> None:
        raise failed("db_down", f"nobody answers to drop {name}")

    def names(self, prefix: str) -> list[str]:
        if self.down:
            raise failed("db_down", "nobody answers")
        return self.real.names(prefix)


def test_what_a_run_left_in_a_database_that_went_down_is_gone_after_the_next(
    web_host: LocalServer, wordpress: WordPress, database_server: MariaDatabases
) -> None:
    job = new_job(web_host)
    away = replace(web_host, databases=DownOnceUsed(database_server))
    with pytest.raises(Failed, match="db_down"):
        wordpress.install(job, away, quietly)
    assert databases_of(web_host, job) == [f"{job.username}_g1f1"]
    site = wordpress.install(claimed_again(job), web_host, quietly)
    assert opens(web_host, site)
    assert databases_of(web_host, job) == [f"{job.username}_g1f2"]


def test_a_database_that_freezes_runs_into_the_time_limit(tmp_path: Path) -> None:
    with mariadb() as (databases, daemon):
        server = local_server(tmp_path, "127.0.0.1:1", replace(databases, read_seconds=1))
        job = new_job(server)
        with pytest.raises(Failed, match="timeout"):
            WordPress(php_seconds=1).install(job, server, at_step("install", daemon.freeze))
        assert_untouched(server, job)


def test_a_database_that_refuses_the_site_is_told_apart_from_a_fault_of_php(
    web_host: LocalServer, wordpress: WordPress, database_server: MariaDatabases
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match="db_auth: WordPress: 1045") as failure:
        wordpress.install(job, web_host, at_step("install", lambda: database_server.drop(f"{job.username}_g1f1")))
    assert failure.value.cause.kind is CauseKind.CONFIGURATION
    assert_untouched(web_host, job)
