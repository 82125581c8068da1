"""What no verified WordPress can do without, by the machine's own tools alone: files, a database, two page views."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from foundation.hosting.local import LocalServer
from services.installer.sites import Job

_LOGIN_FORM = 'id="loginform"'


@dataclass(frozen=True)
class Limit:
    """Makes sites like one that stands: `model`. Nothing is checked first, made safe against a crash, or secret."""

    server: LocalServer
    socket: Path
    model: Job
    title: str
    _dump: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        dump = self._run("mariadb-dump", "--socket", str(self.socket), self.model.username)
        object.__setattr__(self, "_dump", dump)

    def install(self, job: Job) -> None:
        """Make a site: files and database at the same time, then both pages at the same time."""
        with ThreadPoolExecutor(2) as pool:
            made = [pool.submit(part, job) for part in (self.files, self.database)]
            for part in made:
                part.result()
        self.pages(job)

    def files(self, job: Job) -> None:
        """Copy the model's files, with a wp-config.php that names the site's database."""
        www = self._www(job)
        self._run("cp", "-a", f"{self._www(self.model)}/.", str(www))
        config = www / "wp-config.php"
        config.write_text(config.read_text().replace(self.model.username, job.username))

    def database(self, job: Job) -> None:
        """Load the model's tables into a database with a user of its own."""
        config = (self._www(self.model) / "wp-config.php").read_text()
        password = config.partition("'DB_PASSWORD', '")[2].partition("'")[0]
        name = job.username
        script = (
            f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;"
            f"CREATE USER '{name}'@localhost IDENTIFIED BY '{password}';"
            f"GRANT ALL PRIVILEGES ON `{name}`.* TO '{name}'@localhost;"
            f"USE `{name}`;{self._dump.replace(self.model.username, name)}"
        )
        self._run("mariadb", "--socket", str(self.socket), told=script)

    def pages(self, job: Job) -> None:
        """Look at the home and the login page, which no PHP has run before."""
        url = urlsplit(job.url)
        home = f"http://{self.server.web_address}{url.path}"
        asked = ("curl", "-sfZ", "--parallel-immediate", "-H", f"Host: {url.netloc}")
        shown = self._run(*asked, home, f"{home}wp-login.php")
        if self.title not in shown or _LOGIN_FORM not in shown:
            raise AssertionError(f"{job.url} does not show its pages")

    def _www(self, job: Job) -> Path:
        return self.server.home(job.username) / "www"

    @staticmethod
    def _run(*argv: str, told: str = "") -> str:
        return subprocess.run(argv, input=told, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours
