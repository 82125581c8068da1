"""Whoever is killed, late, frozen or overtaken: in the end one WordPress stands there, and it opens."""

import threading
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
from services.installer.sites import InstalledSite, Job
from services.installer.sites.static import Static
from services.installer.sites.verification.verify import shows
from services.installer.sites.wordpress import WordPress
from tests.support import forked
from tests.support.daemons import eventually
from tests.support.installing import (
    age,
    assert_untouched,
    at_step,
    claimed_again,
    databases_of,
    ended,
    home_page,
    killed_at,
    leftovers,
    new_job,
    only_at,
    opens,
    quietly,
    reinstall,
    shim,
)

pytest_plugins = ("tests.support.web_host",)


@pytest.mark.parametrize("step", ["install", "swap", "verify", "retire"])
def test_killed_at_any_step_the_old_site_answers_and_the_next_run_ends_well(
    web_host: LocalServer, wordpress: WordPress, step: str
) -> None:
    job = new_job(web_host, title="The old shop")
    Static().install(job, web_host, quietly)
    new = reinstall(job, title="The new shop")
    killed_at(step, wordpress, new, web_host)
    assert shows(home_page(web_host, job), "The new shop" if step in {"verify", "retire"} else "The old shop")
    site = wordpress.install(claimed_again(new), web_host, quietly)
    assert site.adopted == (step == "retire")
    assert opens(web_host, site)
    assert databases_of(web_host, job) == [f"{job.username}_g2f{1 if site.adopted else 2}"]
    assert leftovers(web_host, job.username) == []


def test_killed_at_step_after_step_of_a_first_install_the_last_run_ends_well(
    web_host: LocalServer, wordpress: WordPress
) -> None:
    job = new_job(web_host)
    for step in ("stage", "marker"):
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
        thread.join(200)
    assert failures in ([], ["superseded"])
    assert opens(web_host, sites[2])
    assert len(databases_of(web_host, job)) == 1
    assert leftovers(web_host, job.username) == []


def test_the_php_of_a_killed_worker_ends_with_it_and_changes_nothing(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path
) -> None:
    tells = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid"
    waits = only_at("install.php", f"{tells}; exec sleep 600")
    job = new_job(web_host)
    slow = replace(wordpress, php=shim(tmp_path, waits))
    worker = forked.CONTEXT.Process(target=slow.install, args=(job, web_host, quietly))
    worker.start()
    eventually((tmp_path / "pid").exists)
    worker.kill()
    worker.join(10)
    site = wordpress.install(claimed_again(job), web_host, quietly)
    eventually(lambda: ended(int((tmp_path / "pid").read_text())))
    assert opens(web_host, site)
    assert databases_of(web_host, job) == [f"{job.username}_g1f2"]
    assert leftovers(web_host, job.username) == []


def test_a_php_that_hangs_is_stopped_with_all_its_children(
    web_host: LocalServer, tmp_path: Path, wordpress: WordPress
) -> None:
    hangs = only_at("install.php", f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    job = replace(new_job(web_host), deadline=datetime.now(UTC) + timedelta(seconds=8))
    with pytest.raises(Failed, match="timeout") as failure:
        replace(wordpress, php=shim(tmp_path, hangs)).install(job, web_host, quietly)
    assert failure.value.cause.kind is CauseKind.TRANSIENT
    eventually(lambda: ended(int((tmp_path / "pid").read_text())))
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


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


def test_a_site_that_does_not_answer_is_taken_back(web_host: LocalServer, wordpress: WordPress) -> None:
    job = replace(new_job(web_host), url=f"http://nobody.example:{web_host.public_port}/")
    with pytest.raises(Failed, match=r"verify_failed: .*Host: nobody.example.* answered 404, expected 200"):
        wordpress.install(job, web_host, quietly)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


def test_a_reinstall_that_is_taken_back_leaves_the_old_site_as_it_answered_before(
    web_host: LocalServer, wordpress: WordPress, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(web_host, title="The old shop")
    site = wordpress.install(job, web_host, quietly)
    # The new home page is seen, and PHP remembers the new tree's scripts, before the login page is missed.
    monkeypatch.setattr("services.installer.sites.wordpress.built._LOGIN_FORM", "no such form")
    with pytest.raises(Failed, match="verify_failed"):
        wordpress.install(reinstall(job, title="The new shop"), web_host, at_step("swap", lambda: age(web_host, job)))
    assert shows(home_page(web_host, job), "The old shop")
    assert opens(web_host, site)
    assert databases_of(web_host, job) == [f"{job.username}_g1f1"]
    assert leftovers(web_host, job.username) == []
