"""The data that an email preview is rendered from: an invented install, or a real one without its passwords."""

from dataclasses import replace

import typer
from pydantic import TypeAdapter, ValidationError

from foundation.config.settings import Settings
from foundation.errors import NotFound
from schemas.values import Locale
from services.mailer.letter.content import Welcome, sample
from services.mailer.letter.filling import MASK, welcome_of
from sitecrew.cli.client import session
from sitecrew.cli.office.direct import the_mail


def of(settings: Settings, install: str | None, site_type: str, locale: str | None) -> Welcome:
    """The data of an install's email, or else an invented one for a site type; in `locale`, if given. Raises NotFound,
    or a usage error for an invalid locale."""
    welcome = _real(settings, install) if install else _invented(settings, site_type)
    return _in_language(welcome, locale)


def _invented(settings: Settings, site_type: str) -> Welcome:
    """The sample, adjusted to the settings of this site type. Raises NotFound."""
    site = settings.sites.get(site_type)
    if site is None:
        raise NotFound(f"unknown site type {site_type}; the settings have {', '.join(settings.sites)}")
    shown = replace(sample(), site_type=site_type, dns=settings.mailer.dns_records, www=site.www)
    if not site.display_control_panel_login:
        shown = replace(shown, control_panel=None)
    if site_type != "wordpress":  # only its installer knows the application's name and whether it has a login
        shown = replace(shown, application=site_type, login_url=None, username=None, password=None)
    if site.address == "domain":
        home = f"http://{shown.domain}/"
        login = home + "wp-login.php" if shown.login_url else None
        shown = replace(shown, temporary=False, site_url=home, login_url=login)
    return shown


def _real(settings: Settings, name: str) -> Welcome:
    """The data of this install, or of this order's latest install. Raises NotFound."""
    with session.reading_letters(settings) as connection:
        mail = the_mail(connection, name)
    return welcome_of(mail.completed, settings, lambda _sealed: MASK, mail.copy)


def _in_language(welcome: Welcome, locale: str | None) -> Welcome:
    """The same in another language, if given. Raises a usage error for an invalid locale."""
    if not locale:
        return welcome
    try:
        return replace(welcome, locale=TypeAdapter(Locale).validate_python(locale))
    except ValidationError:
        raise typer.BadParameter(f"--locale {locale} is not a valid locale; expected de or de_AT") from None
