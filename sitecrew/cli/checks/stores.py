"""What `sitecrew doctor` asks each service's database."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from foundation.config.settings import Settings
from foundation.errors import ConfigurationError, StoreUnreachable
from foundation.store import Store, outbox
from foundation.store.address import file_of
from foundation.store.files import complaints
from sitecrew.cli.checks.findings import Check
from sitecrew.cli.client.stores import FOLDERS, url_of


def of_stores(settings: Settings) -> Iterator[Check]:
    """Each check of a store."""
    for service, folder in FOLDERS.items():
        look = partial(_store, service, url_of(settings, service), folder)
        yield Check(f"store of {service}", look, StoreUnreachable.exit_code)


def _store(service: str, url: str, migrations: Path) -> str:
    store = Store.existing(url)
    try:
        if not store.is_migrated([migrations]):
            raise StoreUnreachable(
                f"{store.place} is not of this version; `sitecrew run {service}` brings it up to date"
            )
        with store.reading() as connection:
            waiting = outbox.backlog(connection)
    finally:
        store.close()
    file = file_of(url)
    if file and (found := complaints(file)):
        raise ConfigurationError("; ".join(found))
    return f"{store.place} is of this version; {waiting} messages wait to be published"
