"""The console's first admin, without whom nobody could sign in."""

from pathlib import Path

from foundation.clock import utc_now
from foundation.config.settings import load
from foundation.config.sources import actor
from foundation.handling.unit_of_work import new_id
from foundation.store import Store
from services.api.access import passwords
from services.api.access.identity import Role
from services.api.access.staff import Member, create
from services.api.projection.activity import Line, write

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
            now, key = utc_now(), new_id().replace("-", "")
            create(connection, ADMIN, Role.ADMIN, password, now)
            added = Line(key, now, "staff.added", detail=f"{ADMIN}, role: {Role.ADMIN}", source="/sitecrew/cli")
            write(connection, [added._replace(actor_type="user", actor=actor())])
    finally:
        store.close()
    return password
