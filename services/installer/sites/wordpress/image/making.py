"""Making an image: two sites of invented orders, built in trial accounts, read, compared and removed."""

import json
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import TypeAdapter

from foundation.hosting import Databases, Server
from foundation.hosting.database_connection import Connection
from foundation.hosting.disk import write_new
from foundation.hosting.site_login import site_login
from services.installer.sites import Job
from services.installer.sites.deployment import Built, Plan, Site, databases_of
from services.installer.sites.docroot.syscalls import sync_disk
from services.installer.sites.verification.trial import try_build
from services.installer.sites.wordpress.image import Facts, Image, values_of
from services.installer.sites.wordpress.image.fitting import path_of
from services.installer.sites.wordpress.image.tables import Table, difference, read_tables, script_of
from services.installer.sites.wordpress.image.templates import Blanks, Unfit
from services.installer.sites.wordpress.image.tree import Archive, Tree, pack
from services.installer.sites.wordpress.steps import Filled, InSteps

_ARCHIVE, _FACTS = "tree", "image.json"
_FACTS_TYPE = TypeAdapter(Facts)
_SITES_OWN = frozenset({"wp-config.php", ".htaccess"})
_PREFIX = "sitecrewimage"  # longer than a username of an order may be, with what follows
_PATIENCE = timedelta(seconds=240)
_ABANDONED = 3600.0  # seconds after which whoever made an image is certainly gone


@dataclass(frozen=True)
class _Snapshot:
    facts: Facts
    tables: tuple[Table, ...]


def make(job: Job, server: Server, plan: Plan, maker: InSteps, place: Path) -> None:
    """Make the image for sites like `job`'s in the empty directory `place`.

    Raises `Unfit` if two sites differ in what nobody ordered; `Failed` as an install does; `Refused`; `OSError`.
    """
    _sweep(databases_of(server))
    one, other = (_built(_invented(job), server, plan, maker, place / name) for name in (_ARCHIVE, "twin"))
    (place / "twin").unlink()
    if one.facts.tree != other.facts.tree:
        raise Unfit("two installs differ in their files")
    if where := difference(one.tables, other.tables):
        raise Unfit(f"two installs differ in {where}")
    if one.facts != other.facts:
        raise Unfit("two installs differ in their URLs")
    write_new(place / _FACTS, json.dumps(asdict(one.facts)), 0o600)
    sync_disk(place)


def load(place: Path) -> Image | None:
    """The image in a directory; None if there is none, or not what was made there."""
    try:
        facts = _FACTS_TYPE.validate_json((place / _FACTS).read_bytes())
        archive = Archive(place / _ARCHIVE, facts.tree)
    except (OSError, ValueError):
        return None
    return Image(facts, archive) if archive.is_sound() else None


def _built(job: Job, server: Server, plan: Plan, maker: InSteps, archive: Path) -> _Snapshot:
    taken: list[_Snapshot] = []

    def build(site: Site) -> Built:
        began = datetime.now(UTC)
        filled = maker.fill(site, tried=True)
        tree = pack(site.stage, archive, _SITES_OWN)
        taken.append(_snapshot(job, filled, tree, began, maker.extras.fixed))
        if maker.extras:  # whose failures are told here as they are step by step
            maker.render(site, filled)
        return Built(application="WordPress", version=filled.version, pages=())

    try_build(server, job, replace(plan, build=build))
    return taken[0]


def _snapshot(job: Job, filled: Filled, tree: Tree, began: datetime, fixed: frozenset[str]) -> _Snapshot:
    connection = Connection(site_login(filled.database))
    try:
        ((password_hash,),) = connection.run("SELECT user_pass FROM wp_users")
        values = values_of(job, str(password_hash))
        blanks = Blanks({name: value for name, value in values.items() if value != "/"}, began, fixed)
        tables, version = read_tables(connection, blanks), connection.version
    finally:
        connection.close()
    facts = Facts(
        version=filled.version,
        database_version=version,
        tree=tree,
        script=script_of(tables),
        htaccess=blanks.made(filled.htaccess),
        pages=tuple(map(blanks.made, filled.pages)),
    )
    return _Snapshot(facts, tables)


def _invented(job: Job) -> Job:
    """An order like the job, with values that stand nowhere else."""
    username = f"{_PREFIX}{int(time.time()):08x}{secrets.token_hex(3)}"
    domain = f"{secrets.token_hex(8)}.sitecrew.invalid"
    scheme = job.url.partition(":")[0]
    return replace(
        job,
        install_id=f"{username}-g1",
        order_id=username,
        generation=1,
        fence=1,
        username=username,
        domain=domain,
        url=f"{scheme}://{domain}{'/' if path_of(job.url) == '/' else f'/~{secrets.token_hex(6)}/'}",
        title=f"title{secrets.token_hex(8)}",
        admin_email=f"{secrets.token_hex(8)}@sitecrew.invalid",
        aliases=(),
        seal=lambda _: "",
        deadline=datetime.now(UTC) + _PATIENCE,
    )


def _sweep(databases: Databases) -> None:
    """Drop what a killed making left."""
    for name in databases.names(_PREFIX):
        made_at = name.removeprefix(_PREFIX)[:8]
        with suppress(ValueError):
            if int(made_at, 16) < time.time() - _ABANDONED:
                databases.drop(name)
