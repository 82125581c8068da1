"""What `sitecrew doctor` checks on each service's database."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from foundation.config.settings import Settings
from foundation.errors import ConfigurationError, StoreUnreachable
from foundation.store import Store, outbox
from foundation.store.address import file_of
from foundation.store.sqlite_files import complaints
from sitecrew.cli.checks.findings import Check
from sitecrew.cli.client.stores import FOLDERS, url_of
from sitecrew.cli.output.words import count
from sitecrew.cli.run import COMMANDED, Service


def of_stores(settings: Settings) -> Iterator[Check]:
    """One check per database; of the api's only if it is a file here, because a host may do without."""
    own = file_of(url_of(settings, Service.API))
    for service in (*COMMANDED, *((Service.API,) if own and own.exists() else ())):
        look = partial(_store, service, url_of(settings, service), FOLDERS[service])
        yield Check(f"store of {service}", look, StoreUnreachable.exit_code)


def _store(service: str, url: str, migrations: Path) -> str:
    store = Store.existing(url)
    try:
        if not store.is_migrated([migrations]):
            raise StoreUnreachable(
                f"{store.place} does not have this version's schema; `sitecrew run {service}` migrates it"
            )
        with store.reading() as connection:
            waiting = outbox.backlog(connection)
    finally:
        store.close()
    file = file_of(url)
    if file and (found := complaints(file)):
        raise ConfigurationError("; ".join(found))
    return f"{store.place} is up to date; {count(waiting, 'message')} waiting to be published"
