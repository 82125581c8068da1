"""WordPress's own files: what must be there, and what of them a site gets."""

from pathlib import Path

from services.installer.sites.causes import failed
from services.installer.sites.tree import copy_tree

_NEEDED = ("index.php", "wp-load.php", "wp-settings.php", "wp-login.php", "wp-admin/includes/upgrade.php")
_LEFT_OUT = frozenset({".htaccess", "wp-config.php"})
"""Debian's own at the top of the core: they lead into /etc/wordpress, which knows nothing of our sites."""


def check_core(core: Path) -> None:
    """Raise `Failed` (core_missing) unless `core` holds WordPress and at least one theme."""
    for name in _NEEDED:
        if not (core / name).is_file():
            raise failed("core_missing", f"{core / name} does not exist")
    if not any(core.glob("wp-content/themes/*/style.css")):
        raise failed("core_missing", f"{core / 'wp-content/themes'} holds no theme")


def copy_core(core: Path, stage: Path) -> None:
    """Copy `core` into the existing, empty directory `stage`. Raises `Failed` (core_missing)."""
    copy_tree(core, stage, _LEFT_OUT)
