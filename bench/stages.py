"""Run our three services as shipped, but without effects in the outside world: what remains is Sitecrew's own cost.

    python -m bench.stages order-intake|installer|mailer

This is the only benchmark module that knows the services' modules.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from foundation.broker import Message, codec
from foundation.broker.delay import Ladder, destination
from foundation.broker.rabbit import RabbitBroker
from foundation.config.keys import generate_keys
from foundation.config.queues import INSTALLER_DUE, sitecrew
from foundation.handling.unit_of_work import new_id
from foundation.hosting import Account, AccountRequest, Databases, Server
from foundation.service.process import run_alone
from schemas.orders import OrderPlaced
from schemas.values import Customer
from services.installer import __main__ as installer
from services.installer.sites import InstalledSite, Job, Step
from services.mailer import __main__ as mailer
from services.mailer import service
from services.mailer.letter.content import Welcome
from services.mailer.letter.envelope import Letter
from services.mailer.letter.rendering import Letters
from services.order_intake import __main__ as order_intake

SERVICES = ("order-intake", "installer", "mailer")


class NoServer:
    """A hosting server where everything exists already."""

    name = "local"
    address = "127.0.0.1"
    web_address = "127.0.0.1:80"
    control_panel_url: str | None = None
    databases: Databases | None = None

    def create_account(self, request: AccountRequest) -> Account:
        return Account(request.username, request.domain, adopted=False)

    def home(self, username: str) -> Path:
        return Path("/nowhere") / username

    def temporary_url(self, username: str) -> str:
        return f"http://127.0.0.1/~{username}/"

    def domain_url(self, domain: str) -> str:
        return f"http://{domain}/"

    def check(self) -> None:
        return


class NoSite:
    """A site installer that finishes at once, or after BENCH_INSTALL_SECONDS."""

    site_type = "static"
    _seconds = float(os.environ.get("BENCH_INSTALL_SECONDS", "0"))

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        if self._seconds:  # even sleep(0) hands the interpreter to another thread
            time.sleep(self._seconds)
        return InstalledSite("Nothing", "1", job.url)

    def check(self, server: Server) -> None:
        return


class NoMailServer:
    """A mail server that accepts every email."""

    def send(self, letter: Letter) -> None:
        return

    def close_idle(self, _seconds: float) -> None:
        return


def declare(url: str) -> None:
    """Declare Sitecrew's topology on a broker."""
    RabbitBroker([url], sitecrew(Ladder())).declare()


def delayed(due_at: datetime) -> tuple[str, str]:
    """Return the exchange and routing key of an install that the timer's batch takes when it is due."""
    return Ladder().route(destination(INSTALLER_DUE), due_at, datetime.now(UTC))


def placed(number: str) -> OrderPlaced:
    customer = Customer(name="Jo Miller", email=f"jo{number}@customer.example")
    return OrderPlaced(order_id=f"o{number}", site_type="static", domain=f"shop{number}.example", customer=customer)


def order(number: str) -> Message:
    """Return an order as a producer publishes it."""
    data = placed(number)
    event = codec.envelope(data, id=new_id(), source="/bench", subject=data.order_id)
    return Message("orders", "order.placed.v1", codec.encode(event), event.id, event.type, data.order_id)


def environment(url: str, stores: dict[str, str], listen: dict[str, str]) -> dict[str, str]:
    """Return the settings of all three services: the broker, and each service's store and health address."""
    public, private = generate_keys()
    own = {f"SITECREW_{_key(name)}__STORE_URL": store for name, store in stores.items()}
    own |= {f"SITECREW_{_key(name)}__LISTEN": address for name, address in listen.items()}
    return own | {
        "SITECREW_AMQP_URL": url,
        "SITECREW_KEYS__PUBLIC": public,
        "SITECREW_KEYS__PRIVATE": private,
        "SITECREW_SITES__STATIC__STAGE": "false",
        "SITECREW_LOG__LEVEL": "warning",
    }


def letter(domain: str, customer_name: str) -> dict[str, str]:
    """Render our welcome email: its subject, text and HTML."""
    welcome = Welcome(
        domain=domain,
        site_url=f"http://{domain}/",
        customer_name=customer_name,
        customer_email="jo@customer.example",
        install_id="i1",
        order_id="o1",
        generation=1,
        site_type="static",
        application="Nothing",
        address="127.0.0.1",
        dns=True,
        www=True,
    )
    letters = Letters(None, "Your hosting team <welcome@localhost>", "Your hosting team")
    made = letters.render(welcome, datetime.now(UTC)).message()
    parts = {part.get_content_subtype(): str(part.get_content()) for part in made.walk() if not part.is_multipart()}
    return {"subject": str(made["Subject"]), "text": parts["plain"], "html": parts["html"]}


def _key(name: str) -> str:
    return name.replace("-", "_").upper()


def _unplug() -> None:
    """Replace servers, sites and mail by implementations that do nothing."""
    instead: dict[str, Any] = {
        "servers_of": lambda _settings: {"local": NoServer()},
        "installers_of": lambda _settings: {"static": NoSite()},
        "smtp_of": lambda _own: NoMailServer(),
    }
    for module in (order_intake, installer, mailer, service):
        for name in instead.keys() & vars(module).keys():
            setattr(module, name, instead[name])


def main(name: str) -> int:
    _unplug()
    return run_alone({"order-intake": order_intake, "installer": installer, "mailer": mailer}[name].main)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
