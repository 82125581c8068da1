"""What the doctor tries, so that it says of a server what installs will meet there."""

import os
import pwd
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from foundation.addresses import HostPort
from foundation.config.settings import HostingServer, Settings, Site
from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites.verification.trial import try_install
from services.installer.sites.wordpress import WordPress
from sitecrew.cli.checks import servers
from sitecrew.stack.ports import free_port
from tests.support.certificates import certificate
from tests.support.daemons import mariadb, scratch
from tests.support.fronts import Reply, front
from tests.support.installing import local_server, shim

pytest_plugins = ("tests.support.web_host",)


def nothing_is_left(server: LocalServer) -> bool:
    left = [*(server.root / "accounts").glob("trial*"), *(server.root / "accounts").glob(".*")]
    left += (server.root / "vhosts").glob("*sitecrew.invalid")
    databases = server.databases.names("") if server.databases else []
    return not left and not [name for name in databases if name.startswith(("trial", "sitecrew_trial"))]


def test_a_server_that_has_what_wordpress_wants_passes_and_nothing_is_left(
    web_host: LocalServer, wordpress: WordPress
) -> None:
    wordpress.rehearse(web_host)
    assert nothing_is_left(web_host)


def test_a_trial_install_is_a_whole_one_and_is_taken_away(web_host: LocalServer, wordpress: WordPress) -> None:
    try_install(wordpress, web_host, temporary=False, www=True)
    assert nothing_is_left(web_host)


def test_a_trial_that_fails_is_taken_away_too(web_host: LocalServer, wordpress: WordPress, tmp_path: Path) -> None:
    broken = replace(wordpress, php=shim(tmp_path, 'case "$*" in *install.php) exit 1;; esac; exec php "$@"'))
    with pytest.raises(Failed, match="php_fatal"):
        try_install(broken, web_host, temporary=True, www=False)
    assert nothing_is_left(web_host)


def test_what_a_killed_trial_left_is_taken_away_by_the_next_after_an_hour(
    web_host: LocalServer, wordpress: WordPress, database_server: MariaDatabases
) -> None:
    old, young = (f"sitecrew_trial_{int(time.time()) - age:x}_abc" for age in (7200, 60))
    database_server.create(old)
    database_server.create(young)
    wordpress.rehearse(web_host)
    assert database_server.names("sitecrew_trial_") == [young]
    database_server.drop(young)


def test_php_that_does_not_get_in_where_we_do_is_found_out(tmp_path: Path, wordpress: WordPress) -> None:
    """The doctor said that all was well, and every install failed: PHP does not trust the server's certificate."""
    made = certificate(tmp_path, "localhost", "127.0.0.1")
    port = free_port()
    with mariadb(f"--ssl-cert={made.chain}", f"--ssl-key={made.key}", port=port) as (server, _):
        asked = replace(server, socket=None, host="127.0.0.1", port=port, tls="verify", ca_file=made.ca)
        hosting = local_server(tmp_path, "127.0.0.1:1", asked)
        with pytest.raises(Failed, match="db_tls: PHP as a site's user") as failure:
            wordpress.rehearse(hosting)
        assert "openssl.cafile" in failure.value.cause.remedy
        trusting = replace(wordpress, php=shim(tmp_path, f'exec php -d openssl.cafile={made.ca} "$@"'))
        trusting.rehearse(hosting)
        assert asked.names("sitecrew_trial_") == []


@pytest.mark.parametrize("wrapper", ["-d disable_functions=mysqli_real_connect", "-d disable_functions=mysqli_query"])
def test_php_that_may_not_do_what_installs_do_is_found_out(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path, wrapper: str
) -> None:
    with pytest.raises(Failed, match=r"php_fatal: .*undefined function"):
        replace(wordpress, php=shim(tmp_path, f'exec php {wrapper} "$@"')).rehearse(web_host)


def test_php_fenced_into_the_hosting_root_passes(web_host: LocalServer, wordpress: WordPress, tmp_path: Path) -> None:
    fenced = shim(tmp_path, f'exec php -d open_basedir={web_host.root} "$@"')
    replace(wordpress, php=fenced).rehearse(web_host)


@pytest.mark.skipif(os.geteuid() != 0, reason="creating Linux users requires root")
def test_where_sites_belong_to_their_own_users_php_is_tried_as_a_stranger(
    web_host: LocalServer, wordpress: WordPress, database_server: MariaDatabases
) -> None:
    assert database_server.socket is not None
    for folder in (web_host.root, database_server.socket.parent):
        folder.chmod(0o711)
    server = replace(web_host, linux_users=True, web_group="nogroup")
    users = {user.pw_name for user in pwd.getpwall()}
    with scratch() as folder:
        folder.chmod(0o711)
        (folder / "users").touch()
        (folder / "users").chmod(0o666)
        replace(wordpress, php=shim(folder, f'id -un >> {folder}/users; exec php "$@"')).rehearse(server)
        assert "nobody" in (folder / "users").read_text().split()
    try_install(wordpress, server, temporary=False, www=True)
    assert nothing_is_left(server)
    assert {user.pw_name for user in pwd.getpwall()} == users


# The web server


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "root"
    path.mkdir()
    yield path
    assert not list(path.glob("accounts/*"))
    assert not list(path.glob("vhosts/*"))


def settings(root: Path, address: str, **server: object) -> Settings:
    given = {"root": root, "web_address": address, "address": HostPort.parse(address).host, **server}
    sites = {"static": Site(), "wordpress": Site(sold=False)}
    return Settings(servers={"one": HostingServer(**given)}, sites=sites)


def test_the_doctor_sees_a_site_where_it_puts_one(root: Path) -> None:
    with front(root) as address:
        assert "serves a test site" in servers.web(settings(root, address), "one")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(301, location="https://hosting.example/"), "towards https://hosting.example/"),
        (Reply(401), "401"),
        (Reply(403, "No robots"), "No robots"),
        (Reply(404), "404"),
        (Reply(200, "It works!"), "without the expected text"),
        (Reply(500, "Out of memory"), "Out of memory"),
    ],
)
def test_the_doctor_says_that_installs_will_fail_at_what_answers_it(root: Path, reply: Reply, said: str) -> None:
    with front(root, lambda *_: reply) as address, pytest.raises(Failed, match="every install will fail") as failure:
        servers.web(settings(root, address), "one")
    assert said in failure.value.cause.detail
    assert "servers.one.web_address" in failure.value.cause.remedy


def test_the_doctor_sends_what_verification_sends(root: Path) -> None:
    def guarded(headers: object, _path: str) -> Reply | None:
        return None if headers.get("x-token") == "canary-1" else Reply(403)  # type: ignore[attr-defined]

    with front(root, guarded) as address:
        servers.web(settings(root, address, web_headers={"X-Token": "canary-1"}), "one")


def test_a_server_that_takes_no_accounts_is_asked_all_the_same(tmp_path: Path) -> None:
    with front(tmp_path, lambda *_: Reply(401)) as address, pytest.raises(Failed, match="answered 401"):
        servers.web(settings(tmp_path / "missing", address), "one")
