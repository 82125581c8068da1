"""Members of staff."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import IntegrityError

from foundation.errors import NotFound, Refused
from services.api.access import passwords, sessions
from services.api.access.identity import Identity, Role
from services.api.access.tables import staff

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Member:
    """One member of staff."""

    name: str
    role: Role
    disabled: bool
    created_at: datetime
    changed_at: datetime

    @classmethod
    def all(cls, connection: Connection) -> list[Self]:
        """Return everybody, by name."""
        return [cls(**row) for row in connection.execute(_members().order_by(staff.c.name)).mappings()]

    @property
    def identity(self) -> Identity:
        return Identity(name=self.name, authtype="user", role=self.role)


def create(connection: Connection, name: str, role: Role, password: str, now: datetime) -> None:
    """Add a member. Raises Refused if the name is taken or not valid, or the password too short."""
    if not _NAME.fullmatch(name):
        raise Refused("a name has 1 to 64 characters: a-z, 0-9 and . _ @ -, beginning with a letter or digit")
    row = {"name": name, "role": role, "password": passwords.hashed(password, name), "disabled": False}
    try:
        connection.execute(staff.insert().values(**row, created_at=now, changed_at=now))
    except IntegrityError:
        raise Refused(f"there is a member of staff named {name} already") from None


def verified(connection: Connection, name: str, password: str) -> Member | None:
    """Return whose name and password these are; None if they do not fit, or the member is disabled."""
    if not passwords.fits(kept_password(connection, name), password):
        return None
    row = connection.execute(_members().where(staff.c.name == name, staff.c.disabled.is_(False))).mappings().first()
    return Member(**row) if row else None


def kept_password(connection: Connection, name: str) -> str | None:
    """Return what is kept of a member's password; None if there is no such member."""
    return connection.execute(select(staff.c.password).where(staff.c.name == name)).scalar()


def set_role(connection: Connection, name: str, role: Role, now: datetime) -> None:
    """Change what a member may do, and sign them out. Raises NotFound; Refused if no admin would be left."""
    _change(connection, name, now, role=role)
    sessions.end_all(connection, name)


def set_disabled(connection: Connection, name: str, disabled: bool, now: datetime) -> None:
    """Disable a member and sign them out, or enable them again. Raises NotFound; Refused if no admin would be left."""
    _change(connection, name, now, disabled=disabled)
    if disabled:
        sessions.end_all(connection, name)


def set_password(connection: Connection, name: str, password: str, now: datetime) -> None:
    """Change a member's password and sign them out everywhere. Raises NotFound; Refused if it is too short."""
    _change(connection, name, now, password=passwords.hashed(password, name))
    sessions.end_all(connection, name)


def _change(connection: Connection, name: str, now: datetime, **values: Any) -> None:
    changed = connection.execute(update(staff).where(staff.c.name == name).values(**values, changed_at=now))
    if not changed.rowcount:
        raise NotFound(f"there is no member of staff named {name}")
    admins = select(func.count()).where(staff.c.role == Role.ADMIN, staff.c.disabled.is_(False))
    if "password" not in values and not connection.execute(admins).scalar():
        raise Refused(f"{name} is the last admin who can sign in; make somebody else an admin first")


def _members() -> Any:
    return select(*(column for column in staff.c if column is not staff.c.password))
