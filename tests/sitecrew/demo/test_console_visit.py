"""The demonstration's visit to the console, over HTTP to the real one."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from foundation.clock import utc_now
from foundation.errors import SitecrewError
from schemas.values import CauseKind
from services.api.access import staff
from services.api.access.identity import Role
from services.api.access.tables import sessions
from sitecrew.demo import console as visits
from sitecrew.demo import proof
from sitecrew.demo.console import DONE, Shown, Visit, signed_in
from sitecrew.stack.first_admin import ADMIN
from sitecrew.stack.ports import free_port
from tests.services.api.console.conftest import PASSWORD, Console, HouseWithApi
from tests.support.house import PATIENCE, House, failure


@dataclass
class Served:
    """A console on a port of its own, with all services behind it."""

    console: Console
    url: str

    def order(self) -> None:
        """Place the order 1, and have its site installed and its email sent."""
        house = self.console.house
        house.order(1)
        house.settle()
        house.advance(400)
        house.tick()
        house.settle()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    house = HouseWithApi(tmp_path, api={"address": "127.0.0.1:0"})
    house.clock.moment = utc_now()
    console = Console(house)
    with console.desk.writing() as uow:
        staff.create(uow.connection, ADMIN, Role.ADMIN, PASSWORD, console.desk.now())
    stop = threading.Event()
    port = console.service.server.listen()
    server = threading.Thread(target=console.service.server.run, args=(stop,))
    server.start()
    try:
        yield Served(console, f"http://127.0.0.1:{port}")
    finally:
        stop.set()
        server.join(PATIENCE)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "_PATIENCE", 0)


def test_it_waits_until_the_console_shows_the_install_and_its_email(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.order()
    monkeypatch.setattr(visits, "sleep", lambda _: served.console.settle())  # the projection catches up meanwhile
    with signed_in(served.url, ADMIN, PASSWORD) as visit:
        assert visit.until_done("order-1", "order-1-g1") == DONE
        token = visit.new_token("demonstration", "/test")
        assert visit.told("order-1", token) == DONE


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("happens", "shown"),
    [
        (lambda house: house.smtp.failures, "its install as installed and its email as failed"),
        (lambda house: house.installer.failures, "its install as failed and its email as unknown"),
    ],
)
def test_what_the_console_shows_instead_is_told(
    served: Served, happens: Callable[[House], list[object]], shown: str
) -> None:
    happens(served.console.house).append(failure("refused", CauseKind.PERMANENT))
    served.order()
    served.console.settle()
    with signed_in(served.url, ADMIN, PASSWORD) as visit, pytest.raises(SitecrewError) as raised:
        visit.until_done("order-1", "order-1-g1")
    assert str(raised.value) == (
        f"the email of order order-1 has arrived, but 0 s later the console at {served.url} shows {shown}: "
        "see the api's log"
    )


@pytest.mark.usefixtures("impatient")
def test_an_order_that_the_console_does_not_know_is_told(served: Served) -> None:
    with (
        signed_in(served.url, ADMIN, PASSWORD) as visit,
        pytest.raises(SitecrewError, match="its install as unknown and its email as unknown"),
    ):
        visit.until_done("order-1", "order-1-g1")


def test_an_order_of_another_shop_is_not_told_by_the_api(served: Served) -> None:
    served.order()
    served.console.settle()
    with signed_in(served.url, ADMIN, PASSWORD) as visit:
        token = visit.new_token("demonstration", "/another-shop")
        with pytest.raises(SitecrewError, match=r"/v1/orders/order-1 answers 404$"):
            visit.told("order-1", token)


def test_an_api_that_tells_something_else_than_the_console_is_noticed(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.order()
    served.console.settle()
    order: Any = SimpleNamespace(
        order=SimpleNamespace(order_id="order-1"), source="/test", completed=SimpleNamespace(install_id="order-1-g1")
    )
    monkeypatch.setattr(Visit, "told", lambda *_: Shown("installed", "waiting"))
    with pytest.raises(SitecrewError, match=r"email as sent, the API .*email as waiting"):
        proof._look_at_console(served.url, [order], PASSWORD)


def test_it_signs_out_at_the_end(served: Served) -> None:
    with signed_in(served.url, ADMIN, PASSWORD):
        assert _sessions(served) == [ADMIN]
    assert _sessions(served) == []


def test_a_wrong_password_is_told_without_showing_it(served: Served) -> None:
    with (
        pytest.raises(SitecrewError) as raised,
        signed_in(served.url, ADMIN, "not the password at all"),
    ):
        pass
    assert str(raised.value) == f"admin cannot sign in to the console at {served.url}: it answers 403"


def test_a_form_that_the_console_refuses_is_told(served: Served) -> None:
    with (
        signed_in(served.url, ADMIN, PASSWORD) as visit,
        pytest.raises(SitecrewError, match="refuses /staff/tokens/add: it answers 409"),
    ):
        visit.send("/staff/tokens/add", name="", source="", scopes="admin")


def test_a_console_that_is_not_there_is_told() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(SitecrewError, match=f"the console at {url} does not answer: "), signed_in(url, ADMIN, ""):
        pass


def _sessions(served: Served) -> list[str]:
    with served.console.desk.reading() as connection:
        return list(connection.scalars(select(sessions.c.name)))
