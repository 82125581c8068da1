"""The main job on real parts: RabbitMQ, MariaDB, PHP, WordPress, SMTP, and the services as processes."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from foundation.broker import Delivery
from foundation.config.queues import INSTALLER_DUE
from schemas.installs import InstallCancel, TimerRunNow
from schemas.orders import OrderPlaced, OrderReinstallRequested
from services.installer.states import State
from sitecrew.stack.login import read_credentials
from sitecrew.stack.machine import Plan
from sitecrew.stack.servers.mailbox import read_message
from tests.support.daemons import DOKUWIKI, require_recipe
from tests.support.installing import logs_in_to_dokuwiki
from tests.support.postgres import Stores
from tests.support.watching import Watched, watched

NEVER = "0 0 29 2 *"


@pytest.fixture(scope="module", autouse=True)
def _php_and_mariadb() -> None:
    missing = [program for program in ("php", "mariadbd") if not shutil.which(program, path="/usr/bin:/usr/sbin")]
    if missing and "CI" in os.environ:
        pytest.fail(f"missing: {missing}")
    if missing:
        pytest.skip(f"missing: {missing}; script/bootstrap wordpress installs them")


@pytest.fixture(scope="class")
def crew(tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str], stores: Stores) -> Iterator[Watched]:
    """A stack whose timer ticks every two seconds, and which retries soon."""
    settings = {
        "timer.every": "*/2 * * * * *",
        "installer.retry_first_seconds": 3,
        "installer.lease_seconds": 10,
        "mailer.smtp.timeout_seconds": 5,
        "sites.dokuwiki.installer": "archive",
        "sites.dokuwiki.recipe": str(DOKUWIKI),
        "sites.dokuwiki.address": "temporary",
        **stores.settings(),
    }
    with watched(Plan(tmp_path_factory.mktemp("crew"), amqp_url=next(vhosts), settings=settings)) as stack:
        yield stack


@pytest.fixture(scope="class")
def calm(tmp_path_factory: pytest.TempPathFactory, vhosts: Iterator[str], stores: Stores) -> Iterator[Watched]:
    """A stack whose timer never ticks by itself, with static sites that are staged, and others that are not."""
    settings = {
        "timer.every": NEVER,
        "sites.static.stage": False,
        "sites.staged.installer": "static",
        "sites.staged.address": "temporary",
        "sites.staged.settle_seconds": 5,  # by then a batch has ended that a test before had called for
        **stores.settings(),
    }
    plan = Plan(tmp_path_factory.mktemp("calm"), ("static",), amqp_url=next(vhosts), settings=settings)
    with watched(plan) as stack:
        yield stack


class TestTicking:
    def test_the_letter_logs_in(self, crew: Watched) -> None:
        order = crew.order()
        crew.until("mail.sent", order)
        assert len(crew.letters(order)) == 1
        assert crew.logs_in(order)

    def test_a_password_is_in_the_letter_and_nowhere_else(self, crew: Watched, stores: Stores) -> None:
        seen: set[bytes] = set()
        done = threading.Event()
        looking = threading.Thread(target=_note_processes, args=(seen, done))
        looking.start()
        try:
            order = crew.order()
            crew.until("mail.sent", order)
        finally:
            done.set()
            looking.join()
        canary = read_credentials(crew.letters(order)[0]).password.encode()
        places = [crew.running.plan.directory, *([stores.server.directory] if stores.server else [])]
        kept = [path for place in places for path in place.rglob("*") if path.is_file()]
        kept = [path for path in kept if path.parent.name != "letters"]
        assert [path for path in kept if canary in _content(path)] == []
        assert all(canary not in line.encode() for line in crew.lines)
        assert all(canary not in body for body in crew.bodies)
        assert all(canary not in line for line in seen)

    def test_a_reinstall_brings_new_credentials_and_the_old_site_answers_until_then(self, crew: Watched) -> None:
        order = crew.order()
        crew.until("mail.sent", order)
        url = crew.until("install.completed", order).data.site.url
        answers: list[int] = []
        done = threading.Event()
        asking = threading.Thread(target=_ask, args=(url, answers, done))
        asking.start()
        try:
            crew.publish(OrderReinstallRequested(order_id=order))
            crew.until("mail.sent", order, count=2)
        finally:
            done.set()
            asking.join()
        assert set(answers) == {200}
        assert len(crew.letters(order)) == 2
        assert crew.logs_in(order)
        assert not crew.logs_in(order, number=0)

    def test_an_application_of_a_recipe_goes_the_same_way_from_the_order_to_the_login(self, crew: Watched) -> None:
        require_recipe()
        order = crew.order("dokuwiki")
        crew.until("mail.sent", order)
        completed = crew.until("install.completed", order).data
        (letter,) = crew.letters(order)
        told = read_credentials(letter)
        login_url = completed.login.login_url
        assert completed.application == "DokuWiki"
        assert login_url in read_message(letter).get_body(("plain",)).get_content()  # type: ignore[union-attr]
        assert logs_in_to_dokuwiki(httpx2.URL(login_url).netloc.decode(), login_url, told.username, told.password)
        assert all(told.password.encode() not in body for body in crew.bodies)

    def test_the_same_order_three_times_is_one_of_everything(self, crew: Watched) -> None:
        fields = {"name": "Al", "email": "thrice@customer.example"}
        placed = OrderPlaced(order_id="thrice", site_type="static", domain="thrice.example", customer=fields)
        for id in ("thrice-1", "thrice-1", "thrice-2"):
            crew.publish(placed, id)
        crew.until("mail.sent", "thrice")
        last = crew.order("static")
        crew.until("mail.sent", last)
        mine = [event.type for event in crew.events if event.subject == "thrice"]
        done = [type for type in mine if type != "sitecrew.order.known.v1"]
        assert sorted(done) == sorted(set(done))
        assert len(mine) - len(done) in (1, 2), "each copy is answered, unless the broker brought it before the first"
        assert len(crew.letters("thrice")) == 1

    def test_a_stopped_database_is_told_with_its_remedy_and_the_install_completes_by_itself(
        self, crew: Watched
    ) -> None:
        database = crew.running.database
        assert database is not None
        database.stop()
        order = crew.order()
        again = crew.until("install.staged", order, count=2)
        assert again.data.cause.code == "db_down"
        assert again.data.cause.remedy
        assert again.data.attempt == 2
        assert again.data.due_at > again.time
        assert crew.install(f"{order}-g1").cause is not None
        database.start()
        crew.until("mail.sent", order)
        assert crew.logs_in(order)

    def test_a_database_that_dies_is_started_again_and_leaves_no_zombie(self, crew: Watched) -> None:
        database = crew.running.database
        assert database is not None
        killed = database.pid
        os.kill(killed, signal.SIGKILL)
        order = crew.order()
        crew.until("mail.sent", order)
        assert crew.logs_in(order)
        assert database.pid != killed
        assert not Path(f"/proc/{killed}").exists()

    def test_what_is_no_order_is_parked_with_the_field_and_intake_goes_on(self, crew: Watched) -> None:
        good = {"specversion": "1.0", "id": "x", "source": "/t", "type": "sitecrew.order.placed.v1"}
        bad = {
            "body": b"\xff\xfe not json",
            "type": json.dumps({**good, "type": "sitecrew.order.eaten.v1", "data": {}}).encode(),
            "data.order_id": json.dumps({**good, "data": {"site_type": "static"}}).encode(),
            "data.extra": json.dumps({**good, "data": {"extra": 1}})
            .encode()
            .replace(b"1}", b"[" * 999 + b"]" * 999 + b"}"),
        }
        before = len(crew.parked())
        for body in bad.values():
            crew.send(body)
        crew.send(json.dumps({**good, "type": "sitecrew.order.placed.v7", "data": {}}).encode())
        crew.send(b"[" + b"1," * 5_000_000 + b"1]")
        parked = crew.eventually(lambda: _at_least(crew, before + 6), what="parked messages")
        large = [delivery for delivery in parked[before:] if "reason" not in delivery.headers]
        assert [len(delivery.body) for delivery in large] == [10_000_003], "the broker parked it, which has it whole"
        reasons = [str(delivery.headers["reason"]) for delivery in parked[before:] if delivery not in large]
        for field in bad:
            assert any(reason.startswith(field) for reason in reasons), (field, reasons)
        assert any("is an unknown version; send sitecrew.order.placed.v1" in reason for reason in reasons)
        crew.until("account.created", crew.order("static"))
        rejected = [event.data.cause for event in crew.events if event.type == "sitecrew.order.rejected.v1"]
        assert any("bytes; the limit is" in cause.detail for cause in rejected)

    @pytest.mark.parametrize("service", ["order-intake", "installer", "mailer"])
    @pytest.mark.parametrize("moment", ["account.created", "install.started", "install.completed"])
    def test_a_killed_service_changes_nothing_in_the_outcome(self, crew: Watched, service: str, moment: str) -> None:
        order = crew.order()
        crew.until(moment, order)
        child = crew.running.services[service]
        os.kill(child.pid, signal.SIGKILL)
        crew.until("mail.sent", order)
        last = crew.order("static")
        crew.until("mail.sent", last)
        for once in ("account.created", "install.completed", "mail.sent"):
            assert sum(e.type == f"sitecrew.{once}.v1" and e.subject == order for e in crew.events) == 1
        assert crew.logs_in(order)


class TestCalm:
    def test_an_unstaged_site_is_installed_without_a_tick_and_a_staged_one_waits(self, calm: Watched) -> None:
        waiting = calm.order("staged")
        calm.until("account.created", waiting)
        at_once = calm.order("static")
        calm.until("mail.sent", at_once)
        assert calm.install(f"{waiting}-g1").state == State.STAGED
        _run_batch(calm, due=1)
        calm.until("mail.sent", waiting)

    def test_a_cancelled_install_never_runs(self, calm: Watched) -> None:
        cancelled, other = calm.order("staged"), calm.order("staged")
        calm.until("install.staged", cancelled)
        assert calm.install(f"{cancelled}-g1").state == State.STAGED
        calm.publish(InstallCancel(install_id=f"{cancelled}-g1"))
        calm.until("install.cancelled", cancelled)
        _run_batch(calm, due=2)
        calm.until("mail.sent", other)
        assert calm.install(f"{cancelled}-g1").state == State.CANCELLED
        assert not [e for e in calm.events if e.subject == cancelled and e.type == "sitecrew.install.started.v1"]


def _run_batch(calm: Watched, due: int) -> None:
    """As soon as so many installs have come due; until it has ended, or it would take what comes due for the next."""

    def ended() -> int:
        return sum('"batch.finished"' in line for line in calm.lines)

    before = ended()
    calm.eventually(lambda: calm.broker.depth(INSTALLER_DUE) == due, what=f"{due} due")
    calm.publish(TimerRunNow())
    calm.eventually(lambda: ended() > before, what="the end of the batch")


def _note_processes(seen: set[bytes], done: threading.Event) -> None:
    while not done.wait(0.005):
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            seen.add(_content(place))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone meanwhile
        return b""


def _ask(url: str, answers: list[int], done: threading.Event) -> None:
    with httpx2.Client(timeout=30) as client:
        while not done.wait(0.02):
            answers.append(client.get(url).status_code)


def _at_least(crew: Watched, count: int) -> list[Delivery]:
    parked = crew.parked()
    return parked if len(parked) >= count else []
