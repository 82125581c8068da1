"""What a hosting company adds to each WordPress of a site type: plugins, themes, options; or no sample content."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from foundation.config.wordpress import Theme, WordPressExtras
from foundation.hosting.removal import remove_tree
from services.installer.sites.archive.cache import unpacked
from services.installer.sites.archive.recipe import Source
from services.installer.sites.causes import failed
from services.installer.sites.docroot.tree import DIRECTORY, copy_tree, room_of

_PLUGIN = re.compile(rb"^(?:[ \t]*<\?php)?[ \t/*#@]*Plugin Name:", re.IGNORECASE | re.MULTILINE)
"""As WordPress finds the file that a plugin begins with."""
_HEAD = 8192  # bytes in which it looks
_MANY = 10


@dataclass(frozen=True)
class Extras:
    """The extras of one site type. Archives are unpacked below `places`, each once."""

    settings: WordPressExtras
    places: Path

    def __bool__(self) -> bool:
        return self.settings != WordPressExtras()

    @property
    def fixed(self) -> frozenset[str]:
        """Texts that are the same in every site, whatever they look like."""
        return frozenset(self.settings.options.values())

    def order(self) -> Mapping[str, object]:
        """What `extras.php` is told. Raises `Failed`, as `require` does."""
        own = self.settings
        files = {name: f"{name}/{_main_file(self._tree(name, plugin))}" for name, plugin in own.plugins.items()}
        return {
            "plugins": [file for name, file in files.items() if own.plugins[name].active],
            "theme": own.theme or "",
            "options": dict(own.options),
            "prefixes": [re.sub(r"[.-]", "_", name.lower()) for name in own.plugins],
            "default_content": own.default_content,
        }

    def require(self, core: Path) -> tuple[int, int]:
        """Unpack what is not unpacked yet; return the bytes and inodes that it takes in each site.

        Raises `Failed`: archive_*, extra_unfit, theme_missing, disk_*.
        """
        self.order()
        own = self.settings
        if own.theme and own.theme not in own.themes and not (_themes(core) / own.theme / "style.css").is_file():
            there = sorted({*own.themes, *(path.parent.name for path in _themes(core).glob("*/style.css"))})
            raise failed("theme_missing", f"{own.theme}; there is {', '.join(there[:_MANY])}")
        space, inodes = zip((0, 0), *(room_of(tree) for _, tree in self._trees()), strict=True)
        return sum(space), sum(inodes)

    def copy_into(self, stage: Path) -> None:
        """Copy all plugins and themes into a staged WordPress, in place of those that it has. Raises `Failed`."""
        for inside, tree in self._trees():
            place = stage / "wp-content" / inside
            remove_tree(place)
            place.mkdir()
            place.chmod(DIRECTORY)
            copy_tree(tree, place)

    def _trees(self) -> Iterator[tuple[str, Path]]:
        for name, plugin in self.settings.plugins.items():
            yield f"plugins/{name}", self._tree(name, plugin)
        for name, theme in self.settings.themes.items():
            tree = self._tree(name, theme)
            if not (tree / "style.css").is_file():
                raise failed("extra_unfit", f"theme {name}: {theme.archive} has no {name}/style.css")
            yield f"themes/{name}", tree

    def _tree(self, name: str, extra: Theme) -> Path:
        source = Source(
            path=extra.archive, sha256=extra.sha256, largest=extra.largest_mib << 20, most_files=extra.most_files
        )
        whole = unpacked(extra.archive.absolute(), source, self.places)
        if (there := _names(whole)) != (name,):
            found = ", ".join(there[:_MANY]) or "nothing"
            raise failed("extra_unfit", f"{extra.archive}: at its top must be one folder, {name}; there is {found}")
        return whole / name


NO_EXTRAS = Extras(WordPressExtras(), Path("var/archives"))


def _themes(core: Path) -> Path:
    return core / "wp-content" / "themes"


@lru_cache
def _names(unpacked_archive: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in unpacked_archive.iterdir()))


@lru_cache
def _main_file(plugin: Path) -> str:
    for path in sorted(plugin.glob("*.php")):
        with path.open("rb") as file:
            if _PLUGIN.search(file.read(_HEAD)):
                return path.name
    raise failed("extra_unfit", f"plugin {plugin.name}: none of its files has a line `Plugin Name:`")
