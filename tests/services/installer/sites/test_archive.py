"""An application of a few lines of PHP with a database: what its recipe can ask for, and what goes wrong."""

import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent

import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import CauseKind
from services.installer.sites import Job
from services.installer.sites.archive import Archive
from services.installer.sites.docroot.markers import read_site
from services.installer.sites.verification.verify import shows
from tests.support.installing import (
    assert_untouched,
    at_step,
    browser,
    databases_of,
    home_page,
    leftovers,
    new_job,
    quietly,
    reinstall,
    telling_php,
    unseal,
)

pytest_plugins = ("tests.support.web_host",)

INDEX = """\
<?php
$config = require __DIR__ . '/config.php';
[$host, $socket] = explode(':', $config['host'] . ':');
mysqli_report(MYSQLI_REPORT_OFF);
$db = mysqli_init();
if (!@$db->real_connect($host, $config['user'], $config['password'], $config['name'], null, $socket)) {
    echo json_encode(['ok' => false, 'errno' => mysqli_connect_errno(), 'error' => mysqli_connect_error()]), "\\n";
    exit(1);
}
if (PHP_SAPI === 'cli') {
    $order = json_decode(stream_get_contents(STDIN), true);
    $db->query('CREATE TABLE site (title TEXT, password TEXT)');
    $put = $db->prepare('INSERT INTO site VALUES (?, ?)');
    $put->execute([$order['title'], password_hash($order['password'], PASSWORD_DEFAULT)]);
    echo json_encode(['ok' => true]), "\\n";
    exit;
}
[$title, $hash] = $db->query('SELECT title, password FROM site')->fetch_row();
echo '<h1>', htmlspecialchars($title), '</h1>';
if (isset($_POST['password'])) {
    echo password_verify($_POST['password'], $hash) ? 'welcome' : 'no';
}
"""

CONFIG = """\
<?php
return [
    'host' => {{ database.host | php }}, 'name' => {{ database.name | php }},
    'user' => {{ database.username | php }}, 'password' => {{ database.password | php }},
    'salt' => {{ secrets.salt | php }},
];
"""

FILL = """\
[[steps]]
name = "fill"
php = ["index.php"]
stdin = '{{ {"title": title, "password": login.password} | tojson }}'
answers = true
seconds = 20
"""


@dataclass(frozen=True)
class App:
    """The application's recipe, and the installer that uses it."""

    folder: Path
    php: str = "php"

    def installer(self, steps: str = FILL) -> Archive:
        (self.folder / "config.php.j2").write_text(CONFIG)
        (self.folder / "app.toml").write_text(f"{self._head()}\n{dedent(steps)}\n{_VERIFY}")
        return Archive(recipe=self.folder / "app.toml", places=self.folder / "unpacked", php=self.php)

    def _head(self) -> str:
        archive = self.folder / "app.tar.gz"
        if not archive.exists():
            (self.folder / "index.php").write_text(INDEX)
            with tarfile.open(archive, "w:gz") as packed:
                packed.add(self.folder / "index.php", "app-1.0/index.php")
        return _HEAD.format(sha256=hashlib.sha256(archive.read_bytes()).hexdigest())


_HEAD = """\
application = "App"
version = "1.0"
database = true
archive = {{ path = "app.tar.gz", sha256 = "{sha256}", folder = "app-1.0" }}
php.extensions = ["mysqli"]
secrets.salt.random = 40
login = {{ path = "", username = "{{{{ email }}}}" }}

[[steps]]
name = "config"
write = "config.php"
template = "config.php.j2"
"""
_VERIFY = """
[[verify]]
path = ""
shows = ["<h1>{{ title }}</h1>"]
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path)


def opens(server: LocalServer, job: Job, password: str) -> bool:
    with browser(server.web_address) as visitor:
        return "welcome" in visitor.post(job.url, data={"password": password}).text


def secrets_of(server: LocalServer, job: Job) -> list[str]:
    """What a site's config.php says that nobody may know."""
    lines = (server.home(job.username) / "www/config.php").read_text()
    return [lines.partition(f"'{name}' => '")[2].partition("'")[0] for name in ("password", "salt")]


def test_an_application_gets_its_database_its_settings_and_its_password(web_host: LocalServer, app: App) -> None:
    installer = app.installer()
    installer.check(web_host)
    site = installer.install(job := new_job(web_host), web_host, quietly)
    assert shows(home_page(web_host, job), job.title)
    assert (site.application, site.version, site.username) == ("App", "1.0", job.admin_email)
    assert opens(web_host, job, unseal(site.sealed_password))
    assert not opens(web_host, job, "wrong")
    config = web_host.home(job.username) / "www/config.php"
    assert stat.S_IMODE(config.stat().st_mode) == 0o640
    assert len(secrets_of(web_host, job)[1]) == 40
    assert databases_of(web_host, job) == [f"{job.username}_g1f1"]


def test_a_reinstall_has_a_new_database_and_the_old_one_goes(web_host: LocalServer, app: App) -> None:
    installer = app.installer()
    old = installer.install(job := new_job(web_host), web_host, quietly)
    before = secrets_of(web_host, job)
    new = installer.install(reinstall(job), web_host, quietly)
    assert opens(web_host, job, unseal(new.sealed_password))
    assert not opens(web_host, job, unseal(old.sealed_password))
    assert not set(before) & set(secrets_of(web_host, job))
    assert databases_of(web_host, job) == [f"{job.username}_g2f1"]
    assert leftovers(web_host, job.username) == []


def test_no_secret_is_in_argv_in_the_environment_or_in_the_marker(
    web_host: LocalServer, app: App, tmp_path: Path
) -> None:
    php, told = telling_php(tmp_path)
    job = new_job(web_host)
    site = replace(app, php=php).installer().install(job, web_host, quietly)
    seen = told.read_text()
    secrets = [unseal(site.sealed_password), *secrets_of(web_host, job)]
    assert "index.php" in seen
    assert all(secrets)
    marker = read_site(web_host.home(job.username) / "private")
    assert not any(secret in f"{seen}{marker}{site}" for secret in secrets)


def test_the_recipe_is_read_anew_for_each_install(web_host: LocalServer, app: App) -> None:
    installer = app.installer()
    recipe = installer.recipe.read_text()
    installer.recipe.write_text("")
    with pytest.raises(Failed, match="recipe_wrong"):
        installer.install(job := new_job(web_host), web_host, quietly)
    installer.recipe.write_text(recipe.replace('version = "1.0"', 'version = "1.0.1"'))
    assert installer.install(job, web_host, quietly).version == "1.0.1"


# Steps


def step(command: str, **keys: object) -> str:
    """A step of a shell script, before the one that fills the database."""
    lines = {"name": "shell", "run": ["sh", "-c", command], **keys}
    return "[[steps]]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items()) + FILL


def test_a_step_runs_in_the_site_with_nothing_but_a_path_in_its_environment(
    web_host: LocalServer, app: App, tmp_path: Path
) -> None:
    tells = f"pwd > {tmp_path}/at; env > {tmp_path}/env; cat > {tmp_path}/stdin; exit 3"
    steps = step(tells, exit_code=3, stdin="a\nb")
    app.installer(steps).install(job := new_job(web_host), web_host, quietly)
    assert (tmp_path / "at").read_text() == f"{web_host.home(job.username)}/.stage-g1-f1\n"
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"PATH", "PWD", "OLDPWD", "SHLVL", "_"}  # the shell's own but for the first
    assert (tmp_path / "stdin").read_text() == "a\nb"


def test_what_a_step_takes_away_or_writes_over_is_gone(web_host: LocalServer, app: App) -> None:
    steps = step("mkdir -p setup/deep; touch setup/deep/x; echo old > robots.txt") + dedent("""
        [[steps]]
        name = "clean"
        remove = ["setup", "not-there"]
        [[steps]]
        name = "robots"
        write = "robots.txt"
        text = "new"
        """)
    app.installer(steps).install(job := new_job(web_host), web_host, quietly)
    www = web_host.home(job.username) / "www"
    assert not (www / "setup").exists()
    assert (www / "robots.txt").read_text() == "new"


ASTRAY = step("ln -s /etc way")


def test_a_program_that_the_recipe_itself_wrote_can_be_run(web_host: LocalServer, app: App) -> None:
    own = '[[steps]]\nname = "own"\nwrite = "setup.sh"\ntext = "#!/bin/sh\\necho ran > ran"\nmode = "0750"\n'
    installer = app.installer(own + step("", run=["./setup.sh"]))
    installer.check(web_host)
    installer.install(job := new_job(web_host), web_host, quietly)
    assert (web_host.home(job.username) / "www/ran").read_text() == "ran\n"


@pytest.mark.parametrize(
    ("steps", "cause"),
    [
        (step("echo broken >&2; exit 3"), "step_failed: step 'shell': exit 3: broken"),
        (step("true", exit_code=1), "step_failed: step 'shell': exit 0"),
        (step("echo done", answers=True), "step_failed: step 'shell': exit 0: done"),
        (step("echo '{\"ok\": false}'", answers=True), "step_failed: step 'shell': exit 0"),
        (step("echo '{\"ok\": 1}'", answers=True), "step_failed: step 'shell': exit 0"),
        (step("sleep 60", seconds=0.2), "timeout: step 'shell' was stopped after 0.2 s"),
        (step("", run=["no-such-program"]), "program_missing: step 'shell': no-such-program"),
        (step("rm config.php"), "step_failed: step 'fill': exit 255"),
        (ASTRAY + '[[steps]]\nname = "x"\nwrite = "way/file"\ntext = "x"\n', "step_failed: step 'x': Not a directory"),
        (ASTRAY + '[[steps]]\nname = "x"\nremove = ["way/passwd"]\n', "step_failed: step 'x': Not a directory"),
    ],
)
def test_a_step_that_does_not_end_well_is_told_by_its_name_and_leaves_nothing(
    web_host: LocalServer, app: App, steps: str, cause: str
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match=cause):
        app.installer(steps).install(job, web_host, quietly)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


def test_a_program_that_repeats_the_secrets_it_was_given_is_quoted_without_them(
    web_host: LocalServer, app: App
) -> None:
    sealed: list[str] = []

    def seal(secret: str) -> str:
        sealed.append(secret)
        return "c2VhbGVk"

    tells = step("cat >&2; exit 1", stdin="{{ login.password }} {{ database.password }} {{ secrets.salt | tojson }}")
    with pytest.raises(Failed, match=r"step 'shell': exit 1: \*\*\* \*\*\* \"\*\*\*\"") as failure:
        app.installer(tells).install(replace(new_job(web_host), seal=seal), web_host, quietly)
    assert not any(secret in str(failure.value) for secret in sealed)


def test_an_error_number_of_the_database_is_the_databases_cause(
    web_host: LocalServer, app: App, database_server: MariaDatabases
) -> None:
    job = new_job(web_host)
    with pytest.raises(Failed, match="db_site_refused: step 'fill': 1045") as failure:
        app.installer().install(job, web_host, at_step("fill", lambda: database_server.drop(f"{job.username}_g1f1")))
    assert failure.value.cause.kind is CauseKind.CONFIGURATION
    assert_untouched(web_host, job)


def test_what_the_server_or_the_machine_lacks_is_found_by_the_check(
    web_host: LocalServer, app: App, tmp_path: Path
) -> None:
    with pytest.raises(Failed, match="db_unset"):
        app.installer().check(replace(web_host, databases=None))
    with pytest.raises(Failed, match="php_missing"):
        replace(app, php=str(tmp_path / "nothing")).installer().check(web_host)
    with pytest.raises(Failed, match="program_missing: step 'shell': no-such-program is not in"):
        app.installer(step("", run=["no-such-program"])).check(web_host)
    with pytest.raises(Failed, match=r"recipe_wrong: .*secrets are allowed only"):
        app.installer(step("echo {{ login.password }}")).check(web_host)
    installer = app.installer()
    (tmp_path / "app.tar.gz").write_bytes(b"")
    with pytest.raises(Failed, match="archive_changed"):
        installer.check(web_host)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("useradd") is None, reason="takes root and useradd")
def test_with_linux_users_the_site_is_the_users_and_its_steps_run_as_the_user(
    web_host: LocalServer, database_server: MariaDatabases, tmp_path: Path
) -> None:
    assert database_server.socket is not None
    for private in (web_host.root, database_server.socket.parent):
        private.chmod(0o711)
    server = replace(web_host, linux_users=True)
    job = new_job(server)
    steps = step("id -un > who") + '[[steps]]\nname = "late"\nwrite = "late/file"\ntext = "x"\n'
    try:
        site = App(tmp_path).installer(steps).install(job, server, quietly)
        user = pwd.getpwnam(job.username).pw_uid
        www = server.home(job.username) / "www"
        assert (www / "who").read_text() == f"{job.username}\n"
        assert {path.lstat().st_uid for path in (www, *www.rglob("*"))} == {user}
        assert len({path.lstat().st_gid for path in www.rglob("*")}) == 1
        assert opens(server, job, unseal(site.sealed_password))
    finally:
        subprocess.run(["userdel", job.username], check=False, capture_output=True)
