"""The settings, the broker and the services' databases, opened for a command."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import SecretStr
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from foundation.clock import utc_now
from foundation.config.queues import INTAKE_ORDERS
from foundation.config.secret_files import exposed
from foundation.config.settings import Settings, load, origins
from foundation.errors import StoreUnreachable
from foundation.store import Store
from sitecrew.cli.client.beside import running_stack
from sitecrew.cli.office.opening import require_direct
from sitecrew.cli.output import terminal

if TYPE_CHECKING:
    from foundation.broker.rabbit import RabbitBroker


def now() -> datetime:
    """The current time, in one place so that tests can replace it."""
    return utc_now()


def settings_of(ctx: typer.Context) -> Settings:
    """The settings, from `--config` or the usual places. Raises ConfigurationError, also if the command is to work over
    the API."""
    require_direct(ctx)
    if beside := running_stack(ctx.obj):
        terminal.note(f"using the settings of the stack that runs here, {beside}")
        return load(beside, environment=False)
    return load(ctx.obj)


def origins_of(ctx: typer.Context) -> dict[str, str]:
    """Where each setting comes from, by its dotted name."""
    beside = running_stack(ctx.obj)
    return origins(beside, environment=False) if beside else origins(ctx.obj)


def exposed_of(ctx: typer.Context, settings: Settings) -> list[Path]:
    """The files with secrets that everybody on this machine can read."""
    beside = running_stack(ctx.obj)
    return exposed(settings, beside, environment=False) if beside else exposed(settings, ctx.obj)


def broker_of(settings: Settings, who: str) -> "RabbitBroker":
    """The broker from the settings, for a command; opens no connection yet."""
    from foundation.service.process import (
        broker_of as opened,  # imports pika and tracing, which reading a database does not need
    )

    return opened(settings, who)


@contextmanager
def broker(settings: Settings) -> "Iterator[RabbitBroker]":
    """The broker from the settings; connects on first use."""
    opened = broker_of(settings, "cli")
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def ready_broker(settings: Settings) -> "Iterator[RabbitBroker]":
    """The broker, connected, with the topology declared if no service has run on it yet. Raises BrokerUnreachable at
    once, where a publisher would keep trying."""
    with broker(settings) as opened:
        with terminal.working("connecting to the broker"):
            if opened.is_missing(INTAKE_ORDERS):
                opened.declare()
        yield opened


def reading_installs(settings: Settings) -> AbstractContextManager[Connection]:
    """The installer's database, read-only; never created. Raises StoreUnreachable."""
    return reading(settings, "installer")


def reading_letters(settings: Settings) -> AbstractContextManager[Connection]:
    """The mailer's database, read-only; never created. Raises StoreUnreachable."""
    return reading(settings, "mailer")


@contextmanager
def reading(settings: Settings, service: str) -> Iterator[Connection]:
    """The database of a service (`order-intake`, `installer`, `mailer`), read-only; never created. Raises
    StoreUnreachable."""
    section = service.replace("-", "_")
    url: SecretStr = getattr(settings, section).store_url
    hint = f"Check {section}.store_url (SITECREW_{section.upper()}__STORE_URL), and that {service} has run before"
    try:
        store = Store.existing(url.get_secret_value())
        try:
            with terminal.working(f"reading the database of {service}"), store.reading() as connection:
                yield connection
        finally:
            store.close()
    except StoreUnreachable as error:
        raise StoreUnreachable(f"{error}. {hint}") from None
    except DBAPIError as error:  # on PostgreSQL, a table that does not exist yet
        reason = str(error.orig).strip().split("\n")[0]
        raise StoreUnreachable(f"cannot read the database {store.place}: {reason}. {hint}") from None
