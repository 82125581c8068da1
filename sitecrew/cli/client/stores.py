"""The services' databases: their addresses and migrations."""

from pathlib import Path

import services.api
from foundation.config.settings import Settings
from services.installer.service import MIGRATIONS as INSTALLER
from services.mailer.service import MIGRATIONS as MAILER
from services.order_intake.service import MIGRATIONS as ORDER_INTAKE

API = Path(services.api.__path__[0]) / "migrations"
"""Not taken from the service's own module, which needs the extra `api`."""

FOLDERS = {"order-intake": ORDER_INTAKE, "installer": INSTALLER, "mailer": MAILER, "api": API}
"""Each service's migrations."""


def url_of(settings: Settings, service: str) -> str:
    """The address of a service's database, with its password if it has one."""
    urls = {
        "order-intake": settings.order_intake.store_url,
        "installer": settings.installer.store_url,
        "mailer": settings.mailer.store_url,
        "api": settings.api.store_url,
    }
    return urls[service].get_secret_value()
