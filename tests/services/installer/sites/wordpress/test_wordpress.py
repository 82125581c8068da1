"""WordPress for real: Debian's core, MariaDB, PHP's web server, and a login with the password from the sealed box."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from foundation.hosting.web import WebFront
from services.installer.sites import InstalledSite, Job, SiteInstaller
from services.installer.sites.docroot.markers import read_site
from services.installer.sites.verification.verify import shows
from services.installer.sites.verification.visitor import Visitor
from services.installer.sites.wordpress import WordPress
from tests.support.certificates import Certificate, certificate
from tests.support.fronts import tls_in_front_of
from tests.support.installing import (
    at_step,
    claimed_again,
    databases_of,
    home_page,
    leftovers,
    logs_in,
    new_job,
    only_at,
    opens,
    quietly,
    reinstall,
    reinstalled_under_watch,
    shim,
    telling_php,
    unseal,
)

pytest_plugins = ("tests.support.web_host",)


@pytest.fixture(scope="module")
def installed(web_host: LocalServer, wordpress: WordPress) -> tuple[Job, InstalledSite]:
    """A site that tests look at and do not change."""
    installer: SiteInstaller = wordpress
    job = new_job(web_host)
    return job, installer.install(job, web_host, quietly)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("ca"), "*.shops.example")


def on_its_own_domain(server: LocalServer) -> Job:
    """A first install whose address is one that our certificate is for."""
    made = new_job(server)
    domain = f"{made.username}.shops.example"
    (server.root / "vhosts" / domain).symlink_to(f"../accounts/{made.username}/www")
    return replace(made, domain=domain, url=server.domain_url(domain))


def test_wordpress_is_installed_behind_what_ends_tls(
    web_host: LocalServer, wordpress: WordPress, certified: Certificate
) -> None:
    with tls_in_front_of(web_host.web_address, certified) as address:
        web = WebFront(address=address, scheme="https", ca_file=certified.ca)
        server = replace(web_host, web_address=address, front=web)
        job = on_its_own_domain(server)
        site = wordpress.install(job, server, quietly)
        assert site.login_url == f"https://{job.domain}/wp-login.php"
        with Visitor(web, job.deadline) as visitor:
            assert f'href="https://{job.domain}/' in visitor.visit(job.url).body
            assert f'action="https://{job.domain}/wp-login.php"' in visitor.visit(site.login_url).body


def test_so_it_is_where_the_server_behind_the_proxy_is_asked(web_host: LocalServer, wordpress: WordPress) -> None:
    front = WebFront(address=web_host.web_address, scheme="https", spoken="http")
    server = replace(web_host, front=front)
    assert wordpress.install(on_its_own_domain(server), server, quietly).url.startswith("https://")


ESCAPED = [
    "Caf&eacute; &lt;3 &copy 2026",
    "&amp;amp; \\ 'q' \"q\"",
    "0",
    "<b>&#038;</b>",
    "&#128; &#x93;Bargains&#x94;",  # Windows' numbers, which browsers read and PHP does not
    "Best &check; &commat; &apos;home&apos; &NewLine;&#0;",  # names that PHP reads and WordPress does not
]


@pytest.mark.parametrize("title", ESCAPED)
def test_titles_that_look_escaped_are_installed_as_ordered(
    web_host: LocalServer, wordpress: WordPress, title: str
) -> None:
    wordpress.install(new_job(web_host, title=title), web_host, quietly)


def test_wordpress_answers_under_www_by_leading_to_the_bare_name(web_host: LocalServer, wordpress: WordPress) -> None:
    made = new_job(web_host, own_domain=True)
    www = f"www.{made.domain}"
    (web_host.root / "vhosts" / www).symlink_to(f"../accounts/{made.username}/www")
    wordpress.install(replace(made, aliases=(www,)), web_host, quietly)
    with Visitor(web_host.web, made.deadline) as visitor:
        answer = visitor.visit(made.url.replace("://", "://www."))
    assert answer.status == 200
    assert answer.asked.endswith(f"Host: {made.domain}:{web_host.public_port}")


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


def test_a_title_may_be_any_line_of_text(web_host: LocalServer, wordpress: WordPress) -> None:
    title = 'It\'s 9x9 -- <b>"Wordpress"</b> & ümläut 🙂 \\o/ ...'
    wordpress.install(job := new_job(web_host, title=title), web_host, quietly)
    assert "<b>" not in home_page(web_host, job).partition("</title>")[0]


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
    job, old, new = reinstalled_under_watch(web_host, wordpress)
    assert opens(web_host, new)
    assert not opens(web_host, replace(new, sealed_password=old.sealed_password))
    assert databases_of(web_host, job) == [f"{job.username}_g2f1"]
    assert leftovers(web_host, job.username) == []


def test_no_secret_is_in_argv_or_in_the_environment(
    web_host: LocalServer, tmp_path: Path, wordpress: WordPress
) -> None:
    php, told = telling_php(tmp_path)
    job = new_job(web_host)
    site = replace(wordpress, php=php).install(job, web_host, quietly)
    config = (web_host.home(job.username) / "www/wp-config.php").read_text()
    database_password = config.partition("'DB_PASSWORD', '")[2].partition("'")[0]
    seen = told.read_text()
    assert "install.php" in seen
    assert database_password
    assert not any(secret in seen for secret in (unseal(site.sealed_password), database_password))
    marker = read_site(web_host.home(job.username) / "private")
    assert unseal(site.sealed_password) not in f"{marker} {site}"


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="takes root and useradd")
def test_with_linux_users_the_site_is_the_users_and_its_php_runs_as_the_user(
    web_host: LocalServer, database_server: MariaDatabases, wordpress: WordPress
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
        site = replace(wordpress, php=program).install(job, server, quietly)
        user = pwd.getpwnam(job.username).pw_uid
        www = server.home(job.username) / "www"
        assert int(told.read_text()) == user
        assert {path.lstat().st_uid for path in (www, *www.rglob("*"))} == {user}
        assert {path.lstat().st_gid for path in www.rglob("*")} == {grp.getgrnam(server.web_group).gr_gid}
        assert opens(server, site)
    finally:
        subprocess.run(["userdel", job.username], check=False, capture_output=True)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="takes root and useradd")
def test_no_process_of_the_customers_can_put_code_into_what_is_run_for_him(
    web_host: LocalServer, database_server: MariaDatabases, wordpress: WordPress
) -> None:
    """One that waits for the stage and replaces wp-load.php would be run, and print what it likes."""
    assert database_server.socket is not None
    for private in (web_host.root, database_server.socket.parent):
        private.chmod(0o711)
    server = replace(web_host, linux_users=True)
    job = new_job(server)
    stage = server.home(job.username) / ".stage-g1-f1"
    tried: list[int] = []

    def intrude() -> None:
        command = f"echo x >> {stage}/wp-load.php || mv {stage}/wp-load.php {stage}/gone || touch {stage}/new"
        user = pwd.getpwnam(job.username)
        tried.append(
            subprocess.run(
                ["sh", "-c", command], user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False
            ).returncode
        )

    try:
        for step in ("install", "render"):
            wordpress.install(job, server, at_step(step, intrude))
            job = reinstall(job)
            stage = server.home(job.username) / ".stage-g2-f1"
        assert len(tried) == 2
        assert all(tried)
    finally:
        subprocess.run(["userdel", job.username], check=False, capture_output=True)
