"""DokuWiki for real, by its recipe: Debian's files in an archive, PHP's web server, and a login with the password
from the sealed box."""

import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.errors import Failed
from foundation.hosting.local import LocalServer
from schemas.values import CauseKind
from services.installer.sites import InstalledSite, Job, SiteInstaller
from services.installer.sites.archive import Archive
from services.installer.sites.verification.verify import shows
from tests.support.daemons import eventually
from tests.support.installing import (
    age,
    assert_untouched,
    at_step,
    claimed_again,
    ended,
    home_page,
    killed_at,
    leftovers,
    logs_in_to_dokuwiki,
    new_job,
    quietly,
    reinstall,
    reinstalled_under_watch,
    unseal,
)

pytest_plugins = ("tests.support.web_host",)

Changed = Callable[..., Archive]


@pytest.fixture(scope="module")
def installer(dokuwiki: Path, archives: Path) -> Archive:
    return Archive(recipe=dokuwiki, places=archives)


@pytest.fixture
def changed(dokuwiki: Path, archives: Path, tmp_path: Path) -> Changed:
    """The installer with another text in the recipe's place of one."""

    def change(old: str, new: str) -> Archive:
        folder = tmp_path / "recipe"
        shutil.copytree(dokuwiki.parent, folder)
        text = (folder / dokuwiki.name).read_text()
        assert old in text
        (folder / dokuwiki.name).write_text(text.replace(old, new))
        return Archive(recipe=folder / dokuwiki.name, places=archives)

    return change


@pytest.fixture(scope="module")
def installed(web_host: LocalServer, installer: Archive) -> tuple[Job, InstalledSite]:
    """A site that tests look at and do not change."""
    either: SiteInstaller = installer
    job = new_job(web_host)
    return job, either.install(job, web_host, quietly)


def opens(server: LocalServer, site: InstalledSite) -> bool:
    return logs_in_to_dokuwiki(server.web_address, site.login_url, site.username, unseal(site.sealed_password))


def test_a_site_opens_with_the_sealed_password(web_host: LocalServer, installed: tuple[Job, InstalledSite]) -> None:
    job, site = installed
    assert shows(home_page(web_host, job), job.title)
    assert (site.application, site.url, site.username, site.adopted) == ("DokuWiki", job.url, job.username, False)
    assert site.version.startswith("20")
    assert opens(web_host, site)
    assert not logs_in_to_dokuwiki(web_host.web_address, site.login_url, site.username, "wrong")
    assert leftovers(web_host, job.username) == []


def test_a_site_under_its_own_domain_opens_before_the_domain_leads_here(
    web_host: LocalServer, installer: Archive
) -> None:
    job = new_job(web_host, own_domain=True, title='It\'s <b>"ours"</b> & {{ title }}')
    site = installer.install(job, web_host, quietly)
    assert site.login_url == f"http://{job.domain}:{web_host.public_port}/doku.php?do=login"
    assert opens(web_host, site)


def test_a_finished_install_is_adopted_with_the_same_credentials(
    web_host: LocalServer, installer: Archive, installed: tuple[Job, InstalledSite]
) -> None:
    job, site = installed
    assert installer.install(claimed_again(job), web_host, quietly) == replace(site, adopted=True)


def test_the_files_are_for_the_owner_and_the_web_servers_group_alone(
    web_host: LocalServer, installed: tuple[Job, InstalledSite]
) -> None:
    job, _ = installed
    www = web_host.home(job.username) / "www"
    ours = [path for path in www.rglob("*") if not path.is_relative_to(www / "data")]  # where DokuWiki itself writes
    assert {path for path in ours if path.lstat().st_mode & stat.S_IRWXO or path.is_symlink()} == set()
    assert stat.S_IMODE((www / "conf/users.auth.php").stat().st_mode) == 0o640
    assert not (www / "install.php").exists()
    assert not list(www.glob("sitecrew-*"))


def test_a_reinstall_keeps_the_site_answering_and_gives_new_credentials(
    web_host: LocalServer, installer: Archive
) -> None:
    job, old, new = reinstalled_under_watch(web_host, installer)
    assert opens(web_host, new)
    assert not opens(web_host, replace(new, sealed_password=old.sealed_password))
    assert leftovers(web_host, job.username) == []


@pytest.mark.parametrize("step", ["administrator", "swap", "verify", "retire"])
def test_killed_at_any_step_the_next_run_ends_well(web_host: LocalServer, installer: Archive, step: str) -> None:
    job = new_job(web_host)
    killed_at(step, installer, job, web_host)
    site = installer.install(claimed_again(job), web_host, quietly)
    assert site.adopted == (step == "retire")
    assert opens(web_host, site)
    assert leftovers(web_host, job.username) == []


# Why one could not be installed


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("answers = true", "awnsers = true", "recipe_wrong", r"unknown key steps\.5\.awnsers; did you mean answers\?"),
        (
            "{{ title | php }}",
            "{{ titel | php }}",
            "recipe_wrong",
            r"steps\.0 .*\.text: unknown variable 'titel'",
        ),
        (
            '"This wiki is yours"',
            '"{{ login.password }}"',
            "recipe_wrong",
            r"verify\.0\.shows: secrets are allowed only in files and on stdin",
        ),
        ('folder = "dokuwiki"', 'folder = "wiki"', "recipe_wrong", "no such folder; its top level has dokuwiki"),
        ('file = "VERSION"', 'file = "NONE"', "recipe_wrong", "version.file: NONE"),
        ("/administrator.php", "/nobody.php", "step_failed", "step 'administrator': exit 1: .*nobody.php"),
        ('"password": login.password', '"password": ""', "step_failed", "step 'administrator': exit 1"),
        ('"session"', '"telepathy"', "php_ext", "lacks telepathy"),
    ],
)
def test_what_is_wrong_is_told_by_its_place_and_leaves_nothing_behind(
    web_host: LocalServer, changed: Changed, old: str, new: str, code: str, said: str
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match=f"{code}: .*{said}"):
        changed(old, new).install(job, web_host, quietly)
    assert_untouched(web_host, job)


def test_an_archive_that_was_changed_is_not_installed_though_the_right_one_was_unpacked_before(
    web_host: LocalServer, installer: Archive, changed: Changed
) -> None:
    installer.install(new_job(web_host), web_host, quietly)
    installer = changed("DokuWiki", "DokuWiki")
    with (installer.recipe.parent / "dokuwiki.tar.gz").open("ab") as archive:
        archive.write(b"\0")
    job = new_job(web_host)
    with pytest.raises(Failed, match=r"archive_changed: .* should have [0-9a-f]{64}") as failure:
        installer.install(job, web_host, quietly)
    assert failure.value.cause.kind is CauseKind.CONFIGURATION
    assert_untouched(web_host, job)
    with pytest.raises(Failed, match="archive_changed"):
        installer.check(web_host)


def test_a_step_that_hangs_is_stopped_with_all_its_children(
    web_host: LocalServer, changed: Changed, tmp_path: Path
) -> None:
    script = f"sleep 1000 & echo $! > {tmp_path}/pid; wait"
    hangs = f"""run = ["sh", "-c", "{script}"]\n"""
    installer = changed('php = ["{{ recipe }}/administrator.php"]\n', hangs)
    recipe = installer.recipe.read_text()
    installer.recipe.write_text(recipe.replace("seconds = 30", "seconds = 5"))
    job = new_job(web_host)
    with pytest.raises(Failed, match="timeout: step 'administrator' was stopped after 5 s") as failure:
        installer.install(job, web_host, quietly)
    assert failure.value.cause.kind is CauseKind.TRANSIENT
    eventually(lambda: ended(int((tmp_path / "pid").read_text())))
    assert_untouched(web_host, job)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"This wiki is yours"', '"This wiki is mine"', "without the expected text 'This wiki is mine'"),
        ('"Fatal error"', '"This wiki is yours"', "with the text 'This wiki is yours', a sign of failure"),
        ('path = "doku.php?do=login"\nshows', 'path = "doku.php?do=login"\nstatus = 403\nshows', "200, expected 403"),
    ],
)
def test_a_reinstall_that_does_not_answer_as_it_must_is_taken_back_and_the_old_site_answers(
    web_host: LocalServer, installer: Archive, changed: Changed, old: str, new: str, said: str
) -> None:
    job = new_job(web_host, title="The old wiki")
    site = installer.install(job, web_host, quietly)
    with pytest.raises(Failed, match=f"verify_failed: .*{said}"):
        changed(old, new).install(
            reinstall(job, title="The new wiki"), web_host, at_step("swap", lambda: age(web_host, job))
        )
    assert shows(home_page(web_host, job), "The old wiki")
    assert opens(web_host, site)
    assert leftovers(web_host, job.username) == []


def test_the_check_finds_nothing_to_say_of_the_recipe_as_it_is(web_host: LocalServer, installer: Archive) -> None:
    installer.check(web_host)
