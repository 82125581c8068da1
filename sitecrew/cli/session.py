"""What commands stand on: the settings, the broker, and the services' stores."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from foundation.broker.rabbit import RabbitBroker
from foundation.broker.topology import INTAKE_ORDERS
from foundation.errors import StoreUnreachable
from foundation.runtime.service import broker_of
from foundation.runtime.settings import Settings, load
from foundation.store import Store
from sitecrew.cli import screen


def settings_of(ctx: typer.Context) -> Settings:
    """The settings, from `--config` or where else they are. Raises ConfigurationError."""
    return load(ctx.obj)


@contextmanager
def broker(settings: Settings) -> Iterator[RabbitBroker]:
    """The broker that the settings name; contacted when it is asked for something."""
    opened = broker_of(settings, "sitecrew cli")
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def ready_broker(settings: Settings) -> Iterator[RabbitBroker]:
    """The broker, reached, and with the topology on it: one on which no service has run yet gets it.
    Raises BrokerUnreachable at once, where a publisher would go on trying."""
    with broker(settings) as opened:
        with screen.working("reaching the broker"):
            if opened.depth(INTAKE_ORDERS) is None:
                opened.declare()
        yield opened


@contextmanager
def reading_installs(settings: Settings) -> Iterator[Connection]:
    """The installer's store, to look into. Neither created nor changed. Raises StoreUnreachable."""
    hint = "Check installer.store_url (SITECREW_INSTALLER__STORE_URL), and that the installer has run"
    try:
        store = Store.existing(settings.installer.store_url.get_secret_value())
        try:
            with screen.working("reading the installs"), store.reading() as connection:
                yield connection
        finally:
            store.close()
    except StoreUnreachable as error:
        raise StoreUnreachable(f"{error}. {hint}") from None
    except DBAPIError as error:  # PostgreSQL's word for a table that is not there yet
        reason = str(error.orig).strip().split("\n")[0]
        raise StoreUnreachable(f"the database {store.place} can't be read: {reason}. {hint}") from None
