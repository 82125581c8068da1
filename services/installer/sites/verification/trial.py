"""Trying what an install needs from a server, without an order: for the doctor."""

import grp
import os
import pwd
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from foundation.errors import Failed
from foundation.hosting import AccountRequest, Database, Databases, Server, linux
from foundation.hosting.disk import disk_errors, read_marker, require_room
from foundation.hosting.local import LocalServer
from foundation.passwords import generated
from services.installer.sites import Job, SiteInstaller
from services.installer.sites.deployment import Plan, databases_of
from services.installer.sites.deployment import Site as BuildSite
from services.installer.sites.docroot import Docroot
from services.installer.sites.docroot.runs import database_prefix
from services.installer.sites.docroot.syscalls import exchange
from services.installer.sites.programs import Owner
from services.installer.sites.programs.php import Php

_CONNECT = Path(__file__).with_name("connect.php")
_MARKER = "a trial of sitecrew doctor"  # no order is called so
_STRANGER = "nobody"
_PREFIX = "sitecrew_trial_"
_SETTLING = (0.3, 1.0, 3.0, 0.0)
"""Seconds to wait after each attempt to remove a trial's files."""
_ABANDONED = 3600.0  # seconds after which whoever made a trial is certainly gone
_PATIENCE = timedelta(seconds=60)

Config = Callable[[Path, Database], None]
"""Writes the file with which a site reaches its database, its wp-config.php, into a folder."""


def try_database(server: Server, php: Php | None, config: Config) -> None:
    """Create a database and its user, connect as that user through PHP with a site's configuration, create a table, and
    remove everything. Without `php` Sitecrew itself connects. Raises `Failed`: db_unset, db_*, php_*."""
    databases = databases_of(server)
    _sweep(databases)
    name = f"{_PREFIX}{int(time.time()):x}_{secrets.token_hex(3)}"
    try:
        database = databases.create(name)
        if php is not None:
            with _folder(server) as folder:
                _connect(folder, database, php, config, stranger(server))
    finally:
        with suppress(Failed):
            databases.drop(name)


def try_install(installer: SiteInstaller, server: LocalServer, *, temporary: bool, www: bool) -> None:
    """Install a site in a trial account, verify it, and remove both. Raises `Failed`."""
    with _account(server, www=www) as (trial, job):
        url = trial.temporary_url(job.username) if temporary else trial.domain_url(job.domain)
        installer.install(replace(job, url=url), trial, lambda _: nullcontext())


def try_build(server: Server, job: Job, plan: Plan) -> None:
    """Build a site as an install does, as the same user, in a folder beside the accounts, and remove it: everything but
    serving it. Raises `Failed` with any cause of `services.installer.sites.causes`."""
    with disk_errors(f"server {server.name}"), _folder(server) as home:
        home.chmod(0o711)
        (home / "private").mkdir(mode=0o700)
        (home / "www").mkdir()
        if (owner := stranger(server)) is not None:
            linux.hand_over(home / "www", _STRANGER, getattr(server, "web_group", grp.getgrgid(owner[1]).gr_name))
        docroot = replace(Docroot.of(job, server), home=home)
        require_room(home, plan.space, plan.inodes)
        try:
            with docroot.building() as stage:
                plan.build(BuildSite(job, server, lambda _: nullcontext(), docroot, stage))
                exchange(stage, docroot.www)
        finally:
            docroot.sweep()


def trial_job(server: Server) -> Job:
    """The job of a trial site; its title needs escaping wherever it is written."""
    username = f"trial{secrets.token_hex(5)}"
    return Job(
        install_id=f"{username}-g1",
        order_id=username,
        generation=1,
        fence=1,
        username=username,
        domain=f"{username}.sitecrew.invalid",
        url=server.domain_url(f"{username}.sitecrew.invalid"),
        title="""It's a "trial" & <more> \\ $x""",
        admin_email="nobody@sitecrew.invalid",
        seal=lambda _: "",
        deadline=datetime.now(UTC) + 2 * _PATIENCE,
    )


def _connect(folder: Path, database: Database, php: Php, config: Config, owner: Owner | None) -> None:
    config(folder, database)
    (folder / "wp-settings.php").write_text("<?php\n", "utf-8")
    if owner is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, *owner)
    told = php.run((_CONNECT,), {"path": str(folder)}, deadline=datetime.now(UTC) + _PATIENCE, owner=owner)
    if told.answer.get("ok") is not True:
        raise told.why(f"PHP as a site's user, by DB_HOST {database.host}", (database.password,))


def stranger(server: Server) -> Owner | None:
    """The user that a trial site's programs run as; not us, if sites have users of their own."""
    if not getattr(server, "linux_users", False) or os.geteuid() != 0:
        return None
    user = pwd.getpwnam(_STRANGER)
    return user.pw_uid, user.pw_gid


@contextmanager
def _folder(server: Server) -> Iterator[Path]:
    """A folder where sites are, if we may write there: PHP may be restricted to it (`open_basedir`)."""
    accounts = server.home("trial").parent
    within = accounts if os.access(accounts, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix=".sitecrew-trial-", dir=within))
    try:
        yield folder
    finally:
        _remove_tree(folder)


@contextmanager
def _account(server: LocalServer, *, www: bool) -> Iterator[tuple[LocalServer, Job]]:
    """A trial account without a Linux user, and a job of installing a site in it; both removed afterwards."""
    trial = replace(server, linux_users=False)
    _sweep_accounts(trial)
    username = f"trial{secrets.token_hex(5)}"
    domain = f"{username}.sitecrew.invalid"
    aliases = (f"www.{domain}",) if www else ()
    request = AccountRequest(username, domain, "nobody@sitecrew.invalid", _MARKER, generated(), aliases)
    try:
        made = trial.create_account(request)
        if server.linux_users:
            linux.hand_over(trial.home(username) / "www", _STRANGER, server.web_group)
        yield (
            trial,
            Job(
                install_id=f"{username}-g1",
                order_id=username,
                generation=1,
                fence=1,
                username=username,
                domain=domain,
                url="",
                title="A trial of Sitecrew",
                admin_email="nobody@sitecrew.invalid",
                seal=lambda _: "",
                aliases=made.aliases,
                deadline=datetime.now(UTC) + 2 * _PATIENCE,
            ),
        )
    finally:
        if trial.databases is not None:
            with suppress(Failed):
                for name in trial.databases.names(database_prefix(username)):
                    trial.databases.drop(name)
        _remove(trial, username)


def _remove(server: LocalServer, username: str) -> None:
    server.release_domain(username, f"{username}.sitecrew.invalid")
    _remove_tree(server.home(username))
    # A site that was visited may be at work in the background, as WordPress's cron is, and create directories again.
    time.sleep(_SETTLING[0])
    _remove_tree(server.home(username))


def _remove_tree(folder: Path) -> None:
    """Remove a folder in which others may be at work: what an install threw away is being removed already."""
    for pause in _SETTLING:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(pause)


def _sweep(databases: Databases) -> None:
    """Remove what a killed trial left."""
    for name in databases.names(_PREFIX):
        made_at = name.removeprefix(_PREFIX).partition("_")[0]
        with suppress(ValueError):
            if int(made_at, 16) < time.time() - _ABANDONED:
                databases.drop(name)


def _sweep_accounts(server: LocalServer) -> None:
    for home in server.home("x").parent.glob("trial*"):
        marker = read_marker(home / "private" / "account.json") or {}
        with suppress(OSError):
            if marker.get("marker") == _MARKER and home.stat().st_mtime < time.time() - _ABANDONED:
                _remove(server, home.name)
