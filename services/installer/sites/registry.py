"""The site installer of each site type, by the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import structlog

from foundation.config import plugins
from foundation.config.settings import Installer, Settings, Site
from foundation.config.wordpress import WordPressExtras
from foundation.errors import ConfigurationError, Failed
from foundation.hosting import Server
from services.installer.sites import InstalledSite, Job, SiteInstaller, Step
from services.installer.sites.archive import Archive
from services.installer.sites.causes import failed
from services.installer.sites.programs import Limits
from services.installer.sites.static import Static
from services.installer.sites.wordpress import WordPress
from services.installer.sites.wordpress.extras import Extras

_log = structlog.get_logger(__name__)


def installers_of(settings: Settings) -> Mapping[str, SiteInstaller]:
    """All site installers, by site type. One that cannot be loaded fails only the installs of its own type."""
    return {site_type: _or_refusing(settings, site_type) for site_type in settings.sites}


def installer_of(settings: Settings, site_type: str) -> SiteInstaller:
    """The installer of this site type.

    Raises `ConfigurationError`, which names the setting, and the package if it is a package's fault.
    """
    site = settings.sites[site_type]
    name = site.installer or site_type
    make = _BUILT_IN.get(name)
    setting = f"sites.{site_type}.installer"
    if name != "archive" and site.recipe is not None:
        raise ConfigurationError(f'sites.{site_type}.recipe: only allowed with {setting} = "archive"')
    if name != "wordpress" and site.wordpress != WordPressExtras():
        raise ConfigurationError(f'sites.{site_type}.wordpress: only allowed with {setting} = "wordpress"')
    if make is not None:
        if site.options:
            raise ConfigurationError(f"sites.{site_type}.options are only for plug-ins; installer {name} has none")
        return make(site_type, site, settings.installer)
    kind = plugins.find(plugins.SITE_INSTALLERS, name, setting, _BUILT_IN)
    return cast("SiteInstaller", plugins.made(kind, ("install", "check"), setting, site_type, site.options))


def is_built_in(settings: Settings, site_type: str) -> bool:
    """Whether the sites of this type are installed by one of our own installers."""
    site = settings.sites.get(site_type)
    return site is not None and (site.installer or site_type) in _BUILT_IN


def _wordpress(_site_type: str, site: Site, own: Installer) -> SiteInstaller:
    return WordPress(
        core=own.wordpress_core,
        php=own.php,
        limits=_limits(own),
        isolated=own.wordpress_isolated,
        images=own.images.absolute() if own.wordpress_images else None,
        locale=site.locale,
        timezone=site.timezone,
        permalinks=site.permalinks,
        extras=Extras(site.wordpress, own.archives.absolute()),
    )


def _static(_site_type: str, _site: Site, _own: Installer) -> SiteInstaller:
    return Static()


def _archive(site_type: str, site: Site, own: Installer) -> SiteInstaller:
    if site.recipe is None:
        raise ConfigurationError(f"sites.{site_type}.recipe must be set to the recipe of the application")
    return Archive(recipe=site.recipe.absolute(), places=own.archives.absolute(), php=own.php, limits=_limits(own))


def _limits(own: Installer) -> Limits:
    given = own.programs
    return Limits(
        address_space=given.address_space_mib << 20,
        file_size=given.file_size_mib << 20,
        processes=given.processes,
        cpu_seconds=given.cpu_seconds,
        output=given.output_kib << 10,
    )


_BUILT_IN: Mapping[str, Callable[[str, Site, Installer], SiteInstaller]] = MappingProxyType(
    {"wordpress": _wordpress, "static": _static, "archive": _archive}
)


@dataclass(frozen=True)
class _Refusing:
    """Stands in for an installer that cannot be loaded: its installs fail, and wait for correct settings."""

    reason: str

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        raise failed("not_configured", self.reason)

    def check(self, server: Server) -> None:
        raise failed("not_configured", self.reason)


def _or_refusing(settings: Settings, site_type: str) -> SiteInstaller:
    try:
        installer = installer_of(settings, site_type)
    except ConfigurationError as error:
        _log.error("site_type.not_configured", site_type=site_type, reason=str(error))
        return _Refusing(str(error))
    if isinstance(installer, WordPress) and installer.extras:
        try:
            installer.extras.require(installer.core)
        except Failed as failure:  # its installs look again, and fail while nothing has changed
            _log.error("site_type.not_configured", site_type=site_type, reason=str(failure))
    return installer
