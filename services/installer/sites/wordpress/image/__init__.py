"""Images of WordPress: what an install makes is made once, and each site is a copy of it with its own values.

An image is the tree and the database that the slow way leaves behind, which is taken twice, for two invented orders.
What differs between the two must be what was ordered, or the time; anything else, such as a secret that a plug-in
makes for each site, makes the image unfit, and sites are installed step by step. No account's data is in an image.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from foundation.hosting import Database
from foundation.hosting.database_connection import Connection, Refused
from foundation.hosting.database_errors import site_failure
from foundation.hosting.site_login import site_login
from services.installer.sites import Job
from services.installer.sites.causes import failed
from services.installer.sites.programs import Owner
from services.installer.sites.wordpress.image.fitting import path_of, stored_title
from services.installer.sites.wordpress.image.hashing import portable_hash
from services.installer.sites.wordpress.image.tables import fill
from services.installer.sites.wordpress.image.templates import Unfit, filled
from services.installer.sites.wordpress.image.tree import Archive, Tree


class Outdated(Unfit):
    """An image that was made on another database server, or another version of it."""


@dataclass(frozen=True)
class Facts:
    """What an image is, but for its files' content."""

    version: str
    """WordPress's."""
    database_version: str
    """The database server's, on which it was made."""
    tree: Tree
    script: str
    htaccess: str
    """Apache's rules for the URLs; empty if they need none."""
    pages: tuple[str, ...]
    """URLs that the web server has to route to WordPress."""


@dataclass(frozen=True)
class Image:
    """An image that is ready to be used."""

    facts: Facts
    archive: Archive = field(repr=False)

    def unpack(self, stage: Path, owner: Owner | None) -> None:
        """Write WordPress's files into the empty directory `stage`."""
        self.archive.unpack(stage, owner)

    @contextmanager
    def filling(self, database: Database, job: Job, password: str) -> Iterator[None]:
        """Fill the site's empty database while the block runs: the server waits for its disk more than it works. At the
        end, what was ordered is read back. Raises `Failed`: db_*; before the block `Outdated`, and then has written
        nothing."""
        values = values_of(job, portable_hash(password))
        what = f"WordPress with its database at {database.host}"
        try:
            with closing(Connection(site_login(database))) as connection, ThreadPoolExecutor(1) as thread:
                if connection.version != self.facts.database_version:
                    raise Outdated(
                        f"it was made on MariaDB {self.facts.database_version}, this is {connection.version}"
                    )
                stored = thread.submit(fill, connection, self.facts.script, values, datetime.now(UTC))
                yield
                found = stored.result()
        except Refused as refused:
            raise site_failure(refused.number, refused.message, what) from None
        user = " ".join(values[name] for name in ("username", "hash", "email"))
        title, url = values["title"], values["url"]
        if found != {"home": url, "siteurl": url, "blogname": title, "admin_email": job.admin_email, "user": user}:
            raise failed("db_error", f"{what}: what it stores is not what was written")

    def htaccess(self, job: Job) -> str:
        """The rules for the job's URL; empty if it needs none."""
        return _plain(self.facts.htaccess, job)

    def pages(self, job: Job) -> tuple[str, ...]:
        """The job's URLs that the web server has to route."""
        return tuple(_plain(page, job) for page in self.facts.pages)


def values_of(job: Job, password_hash: str) -> Mapping[str, str]:
    """What fills the blanks, by their names; the longest of what may be within another first."""
    return {
        "url": job.url.rstrip("/"),
        "path": path_of(job.url),
        "email": job.admin_email,
        "title": stored_title(job.title),
        "hash": password_hash,
        "username": job.username,
    }


def _plain(text: str, job: Job) -> str:
    return filled(text, values_of(job, ""), datetime.now(UTC), str)
