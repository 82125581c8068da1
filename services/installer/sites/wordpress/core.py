"""WordPress's own files: where they come from and how they get into a tree."""

import os
from collections.abc import Iterator
from pathlib import Path

from services.installer.sites.causes import failed

_NEEDED = ("index.php", "wp-load.php", "wp-settings.php", "wp-login.php", "wp-admin/includes/upgrade.php")
_LEFT_OUT = frozenset({".htaccess", "wp-config.php"})
"""Debian's own at the top of the core: they lead into /etc/wordpress, which knows nothing of our sites."""

_DIRECTORY = 0o2750  # files take the group of the document root, which is the web server's
_FILE = 0o640
_CHUNK = 1 << 30


def check_core(core: Path) -> None:
    """Raise `Failed` (core_missing) unless `core` holds WordPress and at least one theme."""
    for name in _NEEDED:
        if not (core / name).is_file():
            raise failed("core_missing", f"{core / name} does not exist")
    if not any(core.glob("wp-content/themes/*/style.css")):
        raise failed("core_missing", f"{core / 'wp-content/themes'} holds no theme")


def copy_core(core: Path, stage: Path) -> None:
    """Copy `core` into the existing, empty directory `stage`.

    Symbolic links are copied as what they point to: Debian links out of the tree to libraries of
    its own, where a customer's PHP may not look. Raises `Failed` (core_missing) if one points nowhere.
    """
    for directory, names, files in os.walk(core, followlinks=True):
        target = stage / Path(directory).relative_to(core)
        for name in names:
            (target / name).mkdir()
            (target / name).chmod(_DIRECTORY)
        for name in _wanted(files, top=target == stage):
            _copy(f"{directory}/{name}", f"{target}/{name}")


def _wanted(files: list[str], *, top: bool) -> Iterator[str]:
    return (name for name in files if not (top and name in _LEFT_OUT))


def _copy(source: str, target: str) -> None:
    """Copy one file inside the kernel, so that parallel installs share both processors."""
    try:
        inlet = os.open(source, os.O_RDONLY)
    except FileNotFoundError:
        raise failed("core_missing", f"{source} is a link that points nowhere") from None
    try:
        outlet = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE)
        try:
            os.fchmod(outlet, _FILE)
            while os.sendfile(outlet, inlet, None, _CHUNK):
                pass
        finally:
            os.close(outlet)
    finally:
        os.close(inlet)
