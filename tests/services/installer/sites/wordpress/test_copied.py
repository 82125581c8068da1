"""WordPress copied from an image: the same as what `wp_install` makes, for every order that an image fits."""

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pymysql
import pytest
import structlog
from structlog.testing import capture_logs

from foundation.errors import Failed
from foundation.hosting.database_connection import Connection
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites import Job, SiteInstaller
from services.installer.sites.causes import failed
from services.installer.sites.deployment import Plan, Site
from services.installer.sites.programs.php import Php
from services.installer.sites.verification.verify import shows
from services.installer.sites.wordpress import WordPress
from services.installer.sites.wordpress import image as wordpress_image
from services.installer.sites.wordpress.image import Image
from services.installer.sites.wordpress.image.shelf import Shelf
from services.installer.sites.wordpress.image.templates import Unfit
from services.installer.sites.wordpress.steps import Filled, InSteps
from tests.support import forked
from tests.support.installing import (
    assert_untouched,
    at_step,
    claimed_again,
    databases_of,
    home_page,
    killed_at,
    leftovers,
    logs_in,
    new_job,
    opens,
    quietly,
    reinstalled_under_watch,
    shim,
)

pytest_plugins = ("tests.support.web_host",)


@pytest.fixture(scope="module")
def made(web_host: LocalServer, wordpress: WordPress, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the image of an order without wishes, to be copied by those who change it."""
    place = tmp_path_factory.mktemp("made")
    replace(wordpress, images=place).install(new_job(web_host), web_host, quietly)
    return place


@pytest.fixture(scope="module")
def images(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(made, tmp_path_factory.mktemp("images"), dirs_exist_ok=True)


@pytest.fixture(scope="module")
def copying(wordpress: WordPress, images: Path) -> WordPress:
    return replace(wordpress, images=images)


@contextlib.contextmanager
def reasons() -> Iterator[list[str]]:
    """Collect why sites are not copied, and why images are not made."""
    found: list[str] = []
    with capture_logs() as lines:
        yield found
    found += [line["reason"] for line in lines if line["event"] in ("image.not_used", "image.given_up")]


def steps_of(installer: SiteInstaller, job: Job, server: LocalServer) -> list[str]:
    """Install, and return the steps that were taken."""
    taken: list[str] = []

    @contextlib.contextmanager
    def step(name: str) -> Iterator[None]:
        taken.append(name)
        yield

    installer.install(job, server, step)
    return taken


def tables(server: MariaDatabases, job: Job) -> dict[str, list[str]]:
    """All rows of a site, with what differs between any two sites written in one way."""
    with (
        pymysql.connect(unix_socket=str(server.socket), user=server.user, database=f"{job.username}_g1f1") as link,
        link.cursor() as cursor,
    ):
        cursor.execute("SHOW TABLES")
        names = [name for (name,) in cursor.fetchall()]
        found = {}
        for name in names:
            cursor.execute(f"SELECT * FROM `{name}` ORDER BY 1")
            found[name] = [alike(str(row), job) for row in cursor.fetchall()]
            cursor.execute(f"SHOW CREATE TABLE `{name}`")
            found[f"{name} as it was made"] = [row[1] for row in cursor.fetchall()]
        return found


def _look(found: list[dict[str, list[str]]], server: MariaDatabases, job: Job) -> None:
    found.append(tables(server, job))


def alike(row: str, job: Job) -> str:
    row = row.replace(job.url.rstrip("/"), "URL").replace(job.username, "USER")
    row = re.sub(r"\$P\$[./0-9A-Za-z]{31}", "HASH", row)
    row = re.sub(r"datetime\.datetime\([\d, ]+\)", "TIME", row)
    return re.sub(r"\b\d{10}(\.\d+)?\b", "SECONDS", row)


def files(server: LocalServer, job: Job) -> dict[str, tuple[object, ...]]:
    """All files of a site: their owners, modes and contents, but for the passwords in wp-config.php."""
    www = server.home(job.username) / "www"
    return {str(path.relative_to(www)): _file(path, job) for path in www.rglob("*")}


def _file(path: Path, job: Job) -> tuple[object, ...]:
    about = path.lstat()
    content = path.read_bytes() if path.is_file() else b""
    if path.name == "wp-config.php":
        content = re.sub(rb"'[^']*'\);", b"...", content)
    return about.st_mode, about.st_uid, about.st_gid, content.replace(job.username.encode(), b"USER")


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"locale": "de_DE", "timezone": "America/New_York", "permalinks": "/%year%/%monthnum%/%postname%/"},
    ],
    ids=["as shipped", "with wishes"],
)
@pytest.mark.parametrize("own_domain", [False, True], ids=["temporary URL", "own domain"])
def test_a_copy_is_what_wordpress_would_have_made(
    web_host: LocalServer,
    database_server: MariaDatabases,
    wordpress: WordPress,
    copying: WordPress,
    wishes: dict[str, str],
    own_domain: bool,
) -> None:
    one, other = (replace(new_job(web_host, own_domain=own_domain), **wishes) for _ in range(2))  # type: ignore[arg-type]
    found: list[dict[str, list[str]]] = []
    with reasons() as why:
        # The first page view, be it rendered or verified, makes WordPress plan its cron jobs.
        for installer, job, before in ((copying, one, "verify"), (wordpress, other, "render")):
            look = partial(_look, found, database_server, job)
            installer.install(job, web_host, at_step(before, look))
    assert why == []
    assert files(web_host, one) == files(web_host, other)
    copied, made = found
    for name in made:
        assert copied[name] == made[name], name
    assert copied.keys() == made.keys()


def test_a_copy_opens_with_the_sealed_password(web_host: LocalServer, copying: WordPress) -> None:
    title = 'It\'s 9x9 -- <b>"Wordpress"</b> & ümläut 🙂 \\o/ ...'
    job = new_job(web_host, title=title)
    site = copying.install(job, web_host, quietly)
    assert opens(web_host, site)
    assert not logs_in(web_host.web_address, site.login_url, site.username, "wrong")
    assert shows(home_page(web_host, job), title)
    assert leftovers(web_host, job.username) == []


def test_each_copy_has_secrets_of_its_own(web_host: LocalServer, copying: WordPress) -> None:
    configs = []
    for job in (new_job(web_host), new_job(web_host)):
        copying.install(job, web_host, quietly)
        configs.append((web_host.home(job.username) / "www" / "wp-config.php").read_text())
    one, other = (set(re.findall(r"(?:PASSWORD|KEY|SALT)', '(\S+)'", config)) for config in configs)
    assert len(one) == 9
    assert not one & other


def test_a_site_keeps_answering_while_it_is_replaced_by_a_copy(web_host: LocalServer, copying: WordPress) -> None:
    _, old, new = reinstalled_under_watch(web_host, copying)
    assert old.sealed_password != new.sealed_password
    assert opens(web_host, new)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"admin_email": "pat.o'brien@example.org"}, "email"),
        ({"title": "Caf&eacute; &lt;3"}, "title"),
        ({"fence": 2}, "tried again"),
    ],
)
def test_what_does_not_fit_is_installed_step_by_step(
    web_host: LocalServer, copying: WordPress, changes: dict[str, object], reason: str
) -> None:
    job = replace(new_job(web_host), **changes)  # type: ignore[arg-type]
    with reasons() as why:
        assert "render" in steps_of(copying, job, web_host)
    assert len(why) == 1
    assert reason in why[0]


def test_an_image_is_made_once_and_found_by_the_next_process(
    web_host: LocalServer, copying: WordPress, images: Path
) -> None:
    copying.install(new_job(web_host), web_host, quietly)
    before = {path: path.stat().st_mtime_ns for path in images.rglob("*") if path.is_file()}
    replace(copying).install(new_job(web_host), web_host, quietly)
    assert {path: path.stat().st_mtime_ns for path in images.rglob("*") if path.is_file()} == before
    assert {oct(path.stat().st_mode & 0o77) for path in before} == {"0o0"} or images.stat().st_mode & 0o77 == 0


def test_processes_that_need_an_image_at_the_same_time_make_it_once(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    installer = replace(wordpress, images=tmp_path / "images")
    racers = [forked.CONTEXT.Process(target=_install, args=(installer, new_job(web_host), web_host)) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(200)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert len([path for path in (tmp_path / "images").iterdir() if path.is_dir()]) == 1


def _install(installer: WordPress, job: Job, server: LocalServer) -> None:
    with reasons() as why:
        installer.install(job, server, quietly)
    assert why == []


@pytest.mark.parametrize("damage", ["tree", "image.json"])
def test_a_damaged_image_is_made_anew(
    web_host: LocalServer, wordpress: WordPress, made: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    (file,) = tmp_path.glob(f"*/{damage}")
    file.write_bytes(file.read_bytes()[:-100])
    with reasons() as why:
        assert "image" in steps_of(replace(wordpress, images=tmp_path), job := new_job(web_host), web_host)
    assert why == []
    assert shows(home_page(web_host, job), job.title)


def test_another_wordpress_makes_another_image(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.installer.sites.wordpress.image.shelf._TRUSTED", 0.0)
    core = tmp_path / "core"
    shutil.copytree(wordpress.core, core, ignore=shutil.ignore_patterns(".htaccess", "wp-config.php"))
    installer = replace(wordpress, core=core, images=tmp_path / "images")
    installer.install(new_job(web_host), web_host, quietly)
    (core / "wp-content" / "of-the-new-core.txt").write_text("here")
    installer.install(job := new_job(web_host), web_host, quietly)
    assert (web_host.home(job.username) / "www" / "wp-content" / "of-the-new-core.txt").read_text() == "here"
    assert len([path for path in (tmp_path / "images").iterdir() if path.is_dir()]) == 1


def test_files_and_database_are_filled_at_the_same_time(
    web_host: LocalServer, copying: WordPress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits for the other's beginning: one after the other, they would wait for ever."""
    copying.install(new_job(web_host), web_host, quietly)
    both = threading.Barrier(2, timeout=20)

    def meeting(then: Callable[..., object]) -> Callable[..., object]:
        return lambda *given: (both.wait(), then(*given))[1]

    for place, name in ((Image, "unpack"), (wordpress_image, "fill")):
        monkeypatch.setattr(place, name, meeting(getattr(place, name)))
    assert "render" not in steps_of(copying, new_job(web_host), web_host)


def test_another_version_of_the_database_server_makes_another_image(
    web_host: LocalServer, wordpress: WordPress, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    installer = replace(wordpress, images=tmp_path)
    monkeypatch.setattr(Connection, "version", "99.1")
    with reasons() as why:
        assert "render" in steps_of(installer, new_job(web_host), web_host)
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
        assert "render" in steps_of(installer, new_job(web_host), web_host)
        assert "render" not in steps_of(replace(installer), new_job(web_host), web_host)
    assert len(why) == 2
    assert all(reason.endswith("this is 99.1") for reason in why)


def test_a_server_whose_image_cannot_be_made_keeps_no_other_waiting(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    made: list[object] = []

    class Sick(InSteps):
        def fill(self, site: Site, *, tried: bool = False) -> Filled:
            if site.server.name == "one":
                return super().fill(site, tried=tried)
            made.append(shelf.image(new_job(web_host), web_host, plan))
            raise failed("verify_failed", "it is sick")

    maker = Sick(wordpress.core, Php(wordpress.php, wordpress.limits), isolated=True, extras=wordpress.extras)
    shelf, plan = Shelf(tmp_path, maker), Plan(0, 0, build=lambda _: pytest.fail("not built"))
    sick = replace(web_host, name="sick")
    with pytest.raises(Unfit, match="it is sick"):
        shelf.image(new_job(sick), sick, plan)
    assert len(made) == 1


def test_what_differs_with_each_install_is_not_copied(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    core = tmp_path / "core"
    shutil.copytree(wordpress.core, core, ignore=shutil.ignore_patterns(".htaccess", "wp-config.php"))
    plugins = core / "wp-content" / "mu-plugins"
    plugins.mkdir()
    (plugins / "key.php").write_text("<?php add_action('wp_install', fn () => add_option('key', wp_generate_uuid4()));")
    with reasons() as why:
        taken = steps_of(replace(wordpress, core=core, images=tmp_path / "images"), new_job(web_host), web_host)
    assert "render" in taken
    assert "two installs differ in table wp_options" in why[0]
    assert web_host.databases is not None
    assert web_host.databases.names("sitecrewimage") == []


def test_a_wordpress_that_refuses_our_hashes_is_not_copied(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    core = tmp_path / "core"
    shutil.copytree(wordpress.core, core, ignore=shutil.ignore_patterns(".htaccess", "wp-config.php"))
    (core / "wp-content" / "mu-plugins").mkdir()
    (core / "wp-content" / "mu-plugins" / "strict.php").write_text(
        "<?php add_filter('check_password', fn ($opens, $password, $hash, $user) => $opens && $user !== '', 10, 4);"
    )
    with reasons() as why:
        taken = steps_of(replace(wordpress, core=core, images=tmp_path / "images"), new_job(web_host), web_host)
    assert "render" in taken
    assert "a hash of the usual form opens" in why[0]


def test_a_failure_while_copying_leaves_nothing(web_host: LocalServer, copying: WordPress) -> None:
    job = new_job(web_host)
    copying.install(new_job(web_host), web_host, quietly)

    def fail() -> None:
        raise OSError(28, os.strerror(28))

    with pytest.raises(Failed, match="disk_full"):
        copying.install(job, web_host, at_step("config", fail))
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


@pytest.mark.parametrize("step", ["stage", "config", "swap", "verify", "marker"])
def test_a_worker_that_dies_while_copying_is_followed_by_another(
    web_host: LocalServer, copying: WordPress, step: str
) -> None:
    job = new_job(web_host)
    copying.install(new_job(web_host), web_host, quietly)
    killed_at(step, replace(copying), job, web_host)
    site = copying.install(claimed_again(job), web_host, quietly)
    assert opens(web_host, site)
    assert leftovers(web_host, job.username) == []


def test_a_maker_that_dies_leaves_the_next_one_free(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    """PHP kills whoever makes the image, in the middle of the first of its two installs."""
    kill = "maker=$(ps -o ppid= $PPID); kill -9 $maker $PPID; exit 1"
    php = shim(tmp_path, f'case "$*" in *install.php*) {kill};; esac; exec php "$@"')
    installer = replace(wordpress, images=tmp_path / "images")
    killed_at("", replace(installer, php=php), new_job(web_host), web_host)
    with reasons() as why:
        assert "image" in steps_of(installer, new_job(web_host), web_host)
    assert why == []
    structlog.reset_defaults()
