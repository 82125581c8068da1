"""The checks of `sitecrew doctor`: each raises, or returns what it found."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from foundation.broker.rabbit import RabbitBroker
from foundation.clock import utc_now
from foundation.config.keys import Sealer
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable, ConfigurationError, StoreUnreachable
from services.mailer.addresses import sender_of
from services.mailer.letter.rendering import letters_of, sample
from services.mailer.service import opener_of, smtp_of
from sitecrew.cli.checks import servers
from sitecrew.cli.checks.broker import of_broker
from sitecrew.cli.checks.findings import Check, Finding
from sitecrew.cli.checks.services import alerts, of_services
from sitecrew.cli.checks.stores import of_stores
from sitecrew.cli.output.words import count


def all_of(
    settings: Settings, broker: RabbitBroker, *, install: bool = False, exposed: Sequence[Path] = ()
) -> Iterator[Check]:
    """Every check for these settings, nearest things first; with `install`, also a trial install of each site type.
    `exposed` are the files with secrets that everybody can read."""
    yield Check("secrets", partial(_secrets, exposed), ConfigurationError.exit_code)
    yield Check("keys", partial(_keys, settings), ConfigurationError.exit_code)
    yield from of_broker(settings, broker)
    yield from of_services(settings, broker)
    yield from of_stores(settings)
    for name in settings.servers:
        yield Check(f"server {name}", partial(servers.server, settings, name))
        if settings.servers[name].databases is not None:
            yield Check(f"databases of {name}", partial(servers.databases, settings, name))
        yield Check(f"web of {name}", partial(servers.web, settings, name))
        for site_type in (name for name, site in settings.sites.items() if site.sold):
            yield Check(f"{site_type} on {name}", partial(servers.site, settings, site_type, name, install=install))
    yield Check("smtp", partial(_smtp, settings))
    yield Check("email", partial(_email, settings))
    yield Check("alerts", partial(alerts, settings))


def worst(findings: Sequence[Finding]) -> int:
    """The exit code: 2 if the settings are wrong, else 3 for the broker, 4 for a database, 1 for anything else."""
    codes = {finding.code for finding in findings}
    ranked = (ConfigurationError.exit_code, BrokerUnreachable.exit_code, StoreUnreachable.exit_code, 1)
    return next((code for code in ranked if code in codes), 0)


def _secrets(exposed: Sequence[Path]) -> str:
    if exposed:
        names = " ".join(map(str, exposed))
        raise ConfigurationError(f"other users of this machine can read or write {exposed[0]}: chmod o= {names}")
    return "no file with a secret is open to other users"


def _keys(settings: Settings) -> str:
    Sealer(settings.keys.public)
    if not settings.keys.private.get_secret_value():
        return "keys.public is valid; keys.private is not set here, and should be set only for the mailer"
    opener_of(settings.keys)
    older = len(settings.keys.previous)
    return "keys.private opens what keys.public seals" + (f"; {count(older, 'earlier key')} kept" if older else "")


def _smtp(settings: Settings) -> str:
    return smtp_of(settings.mailer).check(sender_of(settings.mailer.sender)[1])


def _email(settings: Settings) -> str:
    letters = letters_of(settings.mailer)
    languages = [language for language in letters.languages if language not in settings.sites]
    for site_type in settings.sites:
        for locale in (None, *languages):
            letter = letters.render(replace(sample(), site_type=site_type, locale=locale), utc_now())
    sender = letter.message()["From"]
    return f"renders, from {sender}, in {', '.join(dict.fromkeys([settings.mailer.locale, *languages]))}"
