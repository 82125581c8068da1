"""The compose file, brought up as it stands: four installers share the work, and a rolling restart loses nothing."""

import itertools
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder
from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import PARKING
from foundation.config.queues import INSTALLER_DUE, sitecrew
from foundation.handling.unit_of_work import new_id
from schemas.envelope import Event
from schemas.orders import OrderPlaced
from sitecrew.stack.ports import free_port
from tests.support.brokers import eventually, until

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
ORDERS = 40
SECONDS = 120.0
"""How long 40 orders may take on a busy machine."""

_numbers = itertools.count(1)


def catcher(directory: Path) -> Path:
    """The packages of the mail catcher, which are Python alone, for a container of whatever Python."""
    for name in ("aiosmtpd", "attr", "attrs", "public"):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, directory / name, dirs_exist_ok=True)
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the container's user is another
    return directory


class Composed:
    """The project `sitecrew` of this test alone, on ports that were free."""

    def __init__(self) -> None:
        self.project = f"sitecrew-test-{os.getpid()}"
        self.web, self.amqp, self.prometheus, self.api = free_port(), free_port(), free_port(), free_port()
        self._environment = {
            **os.environ,
            "WEB_PORT": str(self.web),
            "RABBITMQ_PORT": str(self.amqp),
            "RABBITMQ_MANAGEMENT_PORT": str(free_port()),
            "MAILPIT_PORT": str(free_port()),
            "API_PORT": str(self.api),
            "PROMETHEUS_PORT": str(self.prometheus),
            "CATCHER": str(catcher(ROOT / "var" / "catcher")),
            "TIMER_EVERY": "*/3 * * * * *",
            "TIMER_JITTER_SECONDS": "0",
            "INSTALLER_CONCURRENCY": "1",
        }

    def compose(self, *arguments: str, given: bytes = b"") -> str:
        files = ("-f", "compose.yaml", "-f", "tests/compose/stand-ins.yaml")
        done = subprocess.run(
            ("script/compose", "-p", self.project, "--profile", "observability", *files, *arguments),
            cwd=ROOT,
            env=self._environment,
            input=given,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()[-4000:]
        return done.stdout.decode()

    def rows(self, service: str, table: str) -> dict[str, int]:
        """How many rows of a service's table are in each state."""
        shown = self.sql(service, f"SELECT state, count(*) FROM {table} GROUP BY state")
        return {state: int(count) for state, count in (line.split("=") for line in shown.splitlines())}

    def sql(self, database: str, query: str) -> str:
        psql = ("psql", "-h", "127.0.0.1", "-U", "sitecrew", "-AtF=", "-c", query, database)
        return self.compose("exec", "-T", "-e", "PGPASSWORD=sitecrew", "postgres", *psql)

    def password(self, user: str) -> str:
        """The one that was made for a user of the broker."""
        cat = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "secrets", f"/secrets/passwords/{user}")
        return self.compose(*cat)

    def recipients(self) -> Counter[str]:
        """Whom letters went to, as the mail catcher has them."""
        shown = self.compose("exec", "-T", "mailpit", "sh", "-c", "grep -h '^To:' letters/new/*")
        return Counter(line.partition("<")[2].rstrip(">") for line in shown.splitlines())

    def left(self) -> list[str]:
        """What Docker still has of the project."""
        which = f"label=com.docker.compose.project={self.project}"
        kinds = (("ps", "--all"), ("volume", "ls"), ("network", "ls"))
        asked = [("docker", *kind, "-q", "--filter", which) for kind in kinds]
        return [name for ask in asked for name in subprocess.check_output(ask, text=True).split()]


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    composed = Composed()
    try:
        composed.compose("up", "--detach", "--wait", "--scale", "installer=4")
        yield composed
    finally:
        composed.compose("down", "--volumes", "--timeout", "30")
    assert composed.left() == []


@pytest.fixture
def broker(composed: Composed) -> Iterator[RabbitBroker]:
    url = f"amqp://sitecrew-admin:{composed.password('sitecrew-admin')}@127.0.0.1:{composed.amqp}/sitecrew"
    with closing(RabbitBroker([url], sitecrew(Ladder()))) as broker:
        yield broker


class Placed:
    """Orders on their way, and all that is said of them."""

    def __init__(self, broker: RabbitBroker, count: int) -> None:
        self.ids = [f"composed-{next(_numbers)}" for _ in range(count)]
        self.events: dict[str, Event[Any]] = {}
        """Each once, by its id: a service that dies before it knows that the broker has an event sends it again."""
        self._watcher = broker.watch("events", "#")
        outcomes = broker.publisher().publish([_order(id) for id in self.ids])
        assert set(outcomes) == {"confirmed"}

    def said(self, name: str) -> list[Event[Any]]:
        for delivery in self._watcher.take(1000, 0.2):
            event = codec.decode(delivery.body)
            self.events[event.id] = event
        return [e for e in self.events.values() if e.type == f"sitecrew.{name}.v1" and e.subject in self.ids]

    def wait_for(self, name: str, count: int | None = None) -> None:
        until(lambda: len(self.said(name)) >= (count or len(self.ids)), SECONDS)


def _order(order_id: str) -> Message:
    customer = {"name": "Customer", "email": f"{order_id}@customer.example"}
    placed = OrderPlaced(order_id=order_id, site_type="static", domain=f"{order_id}.example", customer=customer)
    event = codec.envelope(placed, id=new_id(), source="/tests", subject=order_id)
    return Message("orders", "order.placed.v1", codec.encode(event), event.id, event.type)


def test_four_installers_share_forty_orders_and_each_gets_one_of_everything(
    composed: Composed, broker: RabbitBroker
) -> None:
    placed = Placed(broker, ORDERS)
    placed.wait_for("mail.sent")
    started = placed.said("install.started")
    assert len({event.data.worker for event in started}) == 4
    assert len({event.data.install_id for event in started}) == ORDERS
    for url in {event.data.site.url for event in placed.said("install.completed")}:
        assert httpx2.get(url, trust_env=False, timeout=SECONDS).status_code == 200
    _audit(composed, broker, placed)


def test_a_rolling_restart_of_the_installers_loses_nothing_and_does_nothing_twice(
    composed: Composed, broker: RabbitBroker
) -> None:
    placed = Placed(broker, ORDERS)
    placed.wait_for("install.completed", 4)
    restart = ("up", "--detach", "--wait", "--no-deps", "--force-recreate", "--scale", "installer=4", "installer")
    composed.compose(*restart)
    placed.wait_for("mail.sent")
    _audit(composed, broker, placed)


def test_prometheus_finds_every_replica_and_the_broker(composed: Composed) -> None:
    def up() -> dict[str, int]:
        query = {"query": "sum by (job) (up)"}
        url = f"http://127.0.0.1:{composed.prometheus}/api/v1/query"
        answer = httpx2.get(url, params=query, trust_env=False, timeout=SECONDS)
        return {found["metric"]["job"]: int(found["value"][1]) for found in answer.json()["data"]["result"]}

    services = {"sitecrew-order-intake": 1, "sitecrew-installer": 4, "sitecrew-mailer": 1, "sitecrew-api": 1}
    wanted = {**services, "rabbitmq": 1}
    eventually(up, wanted, SECONDS)


def test_an_order_is_placed_and_followed_with_the_command_in_its_container(composed: Composed) -> None:
    event = (ROOT / "examples" / "orders" / "static.json").read_bytes()
    shown = composed.compose("run", "--rm", "-T", "cli", "order", "place", "-", "--wait", given=event)
    assert shown.strip() == json.loads(event)["data"]["order_id"]


def test_the_console_lets_a_new_admin_in_whose_token_the_api_knows(composed: Composed) -> None:
    told = composed.compose("run", "--rm", "-T", "cli", "api", "staff", "add", "eve", "--role", "admin", "--json")
    with httpx2.Client(
        base_url=f"http://127.0.0.1:{composed.api}", trust_env=False, timeout=SECONDS, follow_redirects=True
    ) as browser:
        assert "Sign in to Sitecrew" in browser.get("/").text
        page = browser.post("/sign-in", data={**json.loads(told), "back": "/staff"}).text
        form_token = re.findall(r'name="form_token" value="([^"]+)"', page)[0]
        given = {"form_token": form_token, "name": "billing", "scopes": "orders:read"}
        made = browser.post("/staff/tokens/add", data=given).text
        token = re.findall(r'<code class="secret">([^<]+)</code>', made)[0]
        me = browser.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert (me.status_code, me.json()["name"], me.json()["source"]) == (200, "billing", "/billing")


def test_each_service_is_a_user_of_its_own_and_knows_no_others_password(composed: Composed) -> None:
    listed = composed.compose("exec", "-T", "rabbitmq", "rabbitmqctl", "-q", "list_connections", "user", "vhost")
    users = {line.split()[0] for line in listed.splitlines()[1:]}
    assert users >= {f"sitecrew-{service}" for service in ("order-intake", "installer", "mailer", "api")}
    roles = composed.sql("postgres", "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname <> 'postgres'")
    assert set(roles.split()) - {"sitecrew_owner", "sitecrew_staff"} == {
        f"sitecrew_{service}" for service in ("order_intake", "installer", "mailer", "api")
    }
    files = composed.compose("exec", "-T", "mailer", "find", "/secrets", "-type", "f").split()
    own = {f"/secrets/mailer/{name}" for name in ("amqp-url", "store-url", "private-key")}
    assert set(files) == {"/secrets/public/mailer.pub", *own}
    assert "password" not in composed.compose("exec", "-T", "mailer", "env").lower()


def _audit(composed: Composed, broker: RabbitBroker, placed: Placed) -> None:
    """One of everything for each order, and nothing left over anywhere."""
    for name in ("account.created", "install.completed", "mail.sent"):
        assert Counter(event.subject for event in placed.said(name)) == Counter(placed.ids)
    letters = composed.recipients()
    assert [letters[f"{order_id}@customer.example"] for order_id in placed.ids] == [1] * len(placed.ids)
    rows = [composed.rows(*of) for of in (("order_intake", "orders"), ("installer", "installs"), ("mailer", "mails"))]
    assert [set(counts) for counts in rows] == [{"created"}, {"installed"}, {"sent"}]
    assert len({sum(counts.values()) for counts in rows}) == 1
    assert [broker.depth(queue) for queue in (INSTALLER_DUE, PARKING)] == [0, 0]
