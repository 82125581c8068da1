"""Which site installers there are."""

from collections.abc import Mapping

from foundation.runtime.settings import Settings
from services.installer.sites import SiteInstaller
from services.installer.sites.static import Static
from services.installer.sites.wordpress import WordPress


def installers_of(settings: Settings) -> Mapping[str, SiteInstaller]:
    """By site type, with their settings."""
    own = settings.installer
    wordpress = WordPress(core=own.wordpress_core, php=own.php, isolated=own.wordpress_isolated)
    return {"wordpress": wordpress, "static": Static()}
