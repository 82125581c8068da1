"""What commands stand on: the settings, the broker, and the services' stores."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import typer
from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from foundation.clock import utc_now
from foundation.config.queues import INTAKE_ORDERS
from foundation.config.settings import Settings, load, origins
from foundation.errors import StoreUnreachable
from foundation.store import Store
from sitecrew.cli.client.beside import running_stack
from sitecrew.cli.output import terminal

if TYPE_CHECKING:
    from foundation.broker.rabbit import RabbitBroker


def now() -> datetime:
    """The time that commands count from."""
    return utc_now()


def settings_of(ctx: typer.Context) -> Settings:
    """The settings, from `--config` or where else they are. Raises ConfigurationError."""
    if beside := running_stack(ctx.obj):
        terminal.note(f"with the settings of what runs here, {beside}")
        return load(beside, environment=False)
    return load(ctx.obj)


def origins_of(ctx: typer.Context) -> dict[str, str]:
    """Where each of these settings comes from, by its dotted name."""
    beside = running_stack(ctx.obj)
    return origins(beside, environment=False) if beside else origins(ctx.obj)


def broker_of(settings: Settings, name: str) -> "RabbitBroker":
    """The broker that the settings name; opens no connection yet."""
    from foundation.service.process import (
        broker_of as opened,  # pika and tracing, which a look into a store does without
    )

    return opened(settings, name)


@contextmanager
def broker(settings: Settings) -> "Iterator[RabbitBroker]":
    """The broker that the settings name; contacted when it is asked for something."""
    opened = broker_of(settings, "sitecrew cli")
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def ready_broker(settings: Settings) -> "Iterator[RabbitBroker]":
    """The broker, reached, and with the topology on it: one on which no service has run yet gets it.
    Raises BrokerUnreachable at once, where a publisher would go on trying."""
    with broker(settings) as opened:
        with terminal.working("reaching the broker"):
            if opened.depth(INTAKE_ORDERS) is None:
                opened.declare()
        yield opened


def reading_installs(settings: Settings) -> AbstractContextManager[Connection]:
    """The installer's store, to look into. Neither created nor changed. Raises StoreUnreachable."""
    return reading(settings, "installer")


def reading_letters(settings: Settings) -> AbstractContextManager[Connection]:
    """The mailer's store, likewise."""
    return reading(settings, "mailer")


@contextmanager
def reading(settings: Settings, service: str) -> Iterator[Connection]:
    """The store of a service (`order-intake`, `installer`, `mailer`), likewise."""
    section = service.replace("-", "_")
    url: SecretStr = getattr(settings, section).store_url
    hint = f"Check {section}.store_url (SITECREW_{section.upper()}__STORE_URL), and that {service} has run"
    try:
        store = Store.existing(url.get_secret_value())
        try:
            with terminal.working(f"reading the {service}'s store"), store.reading() as connection:
                yield connection
        finally:
            store.close()
    except StoreUnreachable as error:
        raise StoreUnreachable(f"{error}. {hint}") from None
    except DBAPIError as error:  # PostgreSQL's word for a table that is not there yet
        reason = str(error.orig).strip().split("\n")[0]
        raise StoreUnreachable(f"the database {store.place} can't be read: {reason}. {hint}") from None
