"""How installs of each site type are handled: as the settings say, or as staff have said since, without a restart."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
from sqlalchemy import Boolean, Column, Connection, String, Table

from foundation.config.settings import Settings
from foundation.handling.commands import refuse_command
from foundation.handling.outcomes import Done, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.lanes import Periodic
from foundation.store import Store
from foundation.store.records import Records
from foundation.store.types import metadata
from schemas.envelope import Event
from schemas.services import SiteTypeConfigure, SiteTypeConfigured

_READ = 2.0
"""Seconds between looks at what other replicas have been told."""
_SWITCH = {"on": True, "off": False, "default": None}

_log = structlog.get_logger(__name__)

overrides = Table(
    "site_type_overrides",
    metadata,
    Column("site_type", String(32), primary_key=True),
    Column("stage", Boolean),
    Column("welcome_email", Boolean),
)
"""In the database of each service: what staff have set."""


@dataclass(frozen=True)
class Override:
    """What staff have set for a site type; None where the settings apply."""

    site_type: str
    stage: bool | None = None
    welcome_email: bool | None = None


OVERRIDES = Records(overrides, Override, key="site_type")


class SiteTypes:
    """The site types as this replica of `service` handles them now."""

    def __init__(self, service: str, settings: Settings, *, refuses_unknown: bool = False) -> None:
        """Every service hears the command to configure a site type; one of them `refuses_unknown` ones."""
        self._service = service
        self._settings = settings
        self._refuses_unknown = refuses_unknown
        self._overrides: dict[str, Override] = {}

    def stages(self, site_type: str) -> bool:
        """Whether installs of this type wait for the timer's batch; also true for a type that is no longer set up."""
        site = self._settings.sites.get(site_type)
        return _either(self._override(site_type).stage, site is None or site.stage)

    def begins_at(self, site_type: str, due_at: datetime) -> datetime:
        """Return when an install due at `due_at` should begin: at the next tick, or at `due_at` if its type is not
        staged."""
        return self._settings.timer.first_tick(due_at) if self.stages(site_type) else due_at

    def is_welcomed(self, site_type: str) -> bool:
        """Whether customers get the welcome email; also true for a type that is no longer set up."""
        site = self._settings.sites.get(site_type)
        return _either(self._override(site_type).welcome_email, site is None or site.welcome_email)

    def told(self, site_type: str) -> SiteTypeConfigured:
        """Return how installs of this type are handled now."""
        override = self._override(site_type)
        return SiteTypeConfigured(
            service=self._service,
            site_type=site_type,
            stage=self.stages(site_type),
            welcome_email=self.is_welcomed(site_type),
            overrides=tuple(name for name in ("stage", "welcome_email") if getattr(override, name) is not None),
        )

    def configure(self, uow: UnitOfWork, event: Event[SiteTypeConfigure]) -> Outcome:
        """Handle the command. It is in force here at once, and in other replicas when they read the table again."""
        name = event.data.site_type
        if name not in self._settings.sites:
            return self._ignore_or_refuse(uow, event)
        loaded = OVERRIDES.load(uow.connection, [name])
        given = event.data.model_dump(include={"stage", "welcome_email"}, exclude_none=True)
        changes: dict[str, Any] = {what: _SWITCH[value] for what, value in given.items()}
        override = loaded.save(replace(loaded.get(name) or Override(name), **changes))
        loaded.flush(uow.connection)
        self._overrides = {**self._overrides, name: override}  # if this is not committed, the next read takes it back
        uow.emit(self.told(name), None, event)
        _log.info("site_type.configured", site_type=name)
        return Done()

    def read(self, connection: Connection) -> None:
        """Read what staff have set, through whatever replica."""
        rows = OVERRIDES.read(connection.execute(OVERRIDES.select()))
        self._overrides = {row.site_type: row for row in rows}

    def rereading(self, store: Store) -> Periodic:
        """Read what staff have set, and return the task that does so every few seconds. Raises StoreUnreachable."""

        def read() -> None:
            with store.reading() as connection:
                self.read(connection)

        read()
        return Periodic("read_site_types", _READ, read)

    def _override(self, site_type: str) -> Override:
        return self._overrides.get(site_type) or _override_nothing(site_type)

    def _ignore_or_refuse(self, uow: UnitOfWork, event: Event[SiteTypeConfigure]) -> Outcome:
        if not self._refuses_unknown:
            return Done()
        detail = f"{event.data.site_type} is none of the site types {', '.join(self._settings.sites)}"
        return refuse_command(uow, event, None, detail, "see `sitecrew site list`", code="no_such_site_type")


@lru_cache
def _override_nothing(site_type: str) -> Override:
    return Override(site_type)


def _either(override: bool | None, default: bool) -> bool:
    return default if override is None else override
