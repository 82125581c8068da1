"""The services' databases: their addresses and migrations."""

from foundation.config.settings import Settings
from services.installer.service import MIGRATIONS as INSTALLER
from services.mailer.service import MIGRATIONS as MAILER
from services.order_intake.service import MIGRATIONS as ORDER_INTAKE

FOLDERS = {"order-intake": ORDER_INTAKE, "installer": INSTALLER, "mailer": MAILER}
"""Each service's migrations."""


def url_of(settings: Settings, service: str) -> str:
    """The address of a service's database, with its password if it has one."""
    urls = {
        "order-intake": settings.order_intake.store_url,
        "installer": settings.installer.store_url,
        "mailer": settings.mailer.store_url,
    }
    return urls[service].get_secret_value()
