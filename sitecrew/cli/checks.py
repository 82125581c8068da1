"""What `sitecrew doctor` looks at: each check raises, or says what it found."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from foundation.broker.rabbit import RabbitBroker
from foundation.errors import BrokerUnreachable, ConfigurationError, Failed, SitecrewError, StoreUnreachable
from foundation.runtime.clock import utc_now
from foundation.runtime.sealing import Sealer
from foundation.runtime.settings import Settings
from foundation.store import Store, outbox
from services.mailer.__main__ import opener_of, smtp_of
from services.mailer.addresses import sender_of
from services.mailer.letters import letters_of, sample
from sitecrew.cli import server_checks as servers
from sitecrew.cli.stores import FOLDERS, url_of


@dataclass(frozen=True)
class Check:
    """Something to look at. `code` is the exit code of the doctor if it is not well."""

    name: str
    look: Callable[[], str]
    code: int = 1


@dataclass(frozen=True)
class Finding:
    """What came of a check."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    code: int = 0


def examine(check: Check) -> Finding:
    """Look, and turn what is wrong into a finding."""
    try:
        return Finding(check.name, True, check.look())
    except Failed as failure:
        return Finding(check.name, False, str(failure), failure.cause.remedy, check.code)
    except (SitecrewError, OSError) as error:
        return Finding(check.name, False, str(error), "", check.code)


def all_of(settings: Settings, broker: RabbitBroker, *, install: bool = False) -> Iterator[Check]:
    """Every check for these settings, nearest things first; with `install`, a site of each type for a trial."""
    yield Check("keys", partial(_keys, settings))
    yield Check("broker", partial(_broker, broker), BrokerUnreachable.exit_code)
    yield Check("topology", partial(_topology, broker), BrokerUnreachable.exit_code)
    for service, folder in FOLDERS.items():
        look = partial(_store, service, url_of(settings, service), folder)
        yield Check(f"store of {service}", look, StoreUnreachable.exit_code)
    for name in settings.servers:
        yield Check(f"server {name}", partial(servers.server, settings, name))
        if settings.servers[name].databases is not None:
            yield Check(f"databases of {name}", partial(servers.databases, settings, name))
        yield Check(f"web of {name}", partial(servers.web, settings, name))
        for site_type in (name for name, site in settings.sites.items() if site.sold):
            yield Check(f"{site_type} on {name}", partial(servers.site, settings, site_type, name, install=install))
    yield Check("smtp", partial(_smtp, settings))
    yield Check("letter", partial(_letter, settings))


def worst(findings: Sequence[Finding]) -> int:
    """The exit code: 2 if the settings are wrong, else 3 if the broker is not well, 4 for a store, 1 for anything."""
    codes = {finding.code for finding in findings}
    ranked = (ConfigurationError.exit_code, BrokerUnreachable.exit_code, StoreUnreachable.exit_code, 1)
    return next((code for code in ranked if code in codes), 0)


def _keys(settings: Settings) -> str:
    Sealer(settings.keys.public)
    if not settings.keys.private.get_secret_value():
        return "keys.public is a key; keys.private is not here, as it should be everywhere but at the mailer"
    opener_of(settings.keys)
    older = len(settings.keys.previous)
    return "keys.private opens what keys.public seals" + (f"; {older} earlier keys are kept" if older else "")


def _broker(broker: RabbitBroker) -> str:
    return f"RabbitMQ {broker.version()} answers"


def _topology(broker: RabbitBroker) -> str:
    differences = broker.differences()
    if differences:
        more = f" (and {len(differences) - 1} more, see `sitecrew topology check`)" if len(differences) > 1 else ""
        raise ConfigurationError(f"{differences[0]}{more}")
    return "the broker has what is wanted"


def _store(service: str, url: str, migrations: Path) -> str:
    store = Store.existing(url)
    try:
        if not store.is_migrated([migrations]):
            raise StoreUnreachable(
                f"{store.place} is not of this version; `sitecrew run {service}` brings it up to date"
            )
        with store.reading() as connection:
            return f"{store.place} is of this version; {outbox.backlog(connection)} messages wait to be published"
    finally:
        store.close()


def _smtp(settings: Settings) -> str:
    return smtp_of(settings.mailer).check(sender_of(settings.mailer.sender)[1])


def _letter(settings: Settings) -> str:
    letters = letters_of(settings.mailer)
    languages = [language for language in letters.languages if language not in settings.sites]
    for site_type in settings.sites:
        for locale in (None, *languages):
            message = letters.render(replace(sample(), site_type=site_type, locale=locale), utc_now())
    return f"renders, from {message['From']}, in {', '.join(dict.fromkeys([settings.mailer.locale, *languages]))}"
