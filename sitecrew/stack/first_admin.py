"""The console's first admin, without whom nobody could sign in."""

from pathlib import Path

from foundation.clock import utc_now
from foundation.config.settings import load
from foundation.store import Store
from services.api.access import passwords
from services.api.access.identity import Role
from services.api.access.staff import Member, create

ADMIN = "admin"


def first_admin(config: Path) -> str:
    """Add the first admin to a running stack's console, and return the password, which nobody can read again; empty if
    somebody can sign in already."""
    store = Store(load(config, environment=False).api.store_url.get_secret_value())
    password = passwords.new()
    try:
        with store.transaction() as connection:
            if Member.all(connection):
                return ""
            create(connection, ADMIN, Role.ADMIN, password, utc_now())
    finally:
        store.close()
    return password
