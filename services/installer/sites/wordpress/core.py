"""WordPress's own files: what must be there, and which of them a site gets."""

import re
from pathlib import Path

from services.installer.sites.causes import failed
from services.installer.sites.docroot.tree import copy_tree

_NEEDED = ("index.php", "wp-load.php", "wp-settings.php", "wp-login.php", "wp-admin/includes/upgrade.php")
_LEFT_OUT = frozenset({".htaccess", "wp-config.php"})
"""Debian's own files at the top of the core: they point to /etc/wordpress, which does not know our sites."""
_LANGUAGES = "wp-content/languages"
_BUILT_IN = "en_US"
_MAIN_FILE = re.compile(r"([a-z]{2,3}(?:_[A-Za-z]+)*)\.(?:mo|l10n\.php)")


def check_core(core: Path) -> None:
    """Raise `Failed` (core_missing) unless `core` holds WordPress and at least one theme."""
    for name in _NEEDED:
        if not (core / name).is_file():
            raise failed("core_missing", f"{core / name} does not exist")
    if not any(core.glob("wp-content/themes/*/style.css")):
        raise failed("core_missing", f"{core / 'wp-content/themes'} holds no theme")


def language_of(core: Path, locale: str | None) -> str:
    """WordPress's name for a locale of which the core has the files; '' for its own English.

    A language alone (`de`) means its main country, and one of which there is but one kind (`ja`) serves all countries.
    English of a country that has no files is WordPress's own.
    Raises `Failed` (locale_missing).
    """
    if locale is None or locale in ("en", _BUILT_IN):
        return ""
    mains = filter(None, (_MAIN_FILE.fullmatch(path.name) for path in _files(core)))
    there = {main[1] for main in mains}
    language, _, country = locale.partition("_")
    kin = sorted(name for name in there if name.partition("_")[0] == language)
    candidates = (locale, language) if country else (locale, f"{language}_{language.upper()}", *kin)
    if found := next((name for name in candidates if name in there), None):
        return found
    if language == "en":
        return ""
    nearest = f"there is {', '.join(kin)}" if kin else f"{len(there)} others are there"
    raise failed("locale_missing", f"{core / _LANGUAGES} has no {locale}.mo; {nearest}")


def copy_core(core: Path, stage: Path, language: str) -> None:
    """Copy `core` into the existing, empty directory `stage`, with the files of one language (see `language_of`).

    Raises `Failed` (core_missing).
    """
    # Like de_DE.mo, admin-de_DE.mo, de_DE-<checksum>.json, themes/some-de_DE.mo.
    own = re.compile(rf"(?:.*/|.*-|){re.escape(language)}[.-].*") if language else None

    def wanted(inside: str) -> bool:
        if inside.startswith(f"{_LANGUAGES}/"):
            return own is not None and own.fullmatch(inside.removeprefix(f"{_LANGUAGES}/")) is not None
        return inside not in _LEFT_OUT

    copy_tree(core, stage, wanted)


def _files(core: Path) -> list[Path]:
    try:
        return list((core / _LANGUAGES).iterdir())
    except OSError:
        return []
