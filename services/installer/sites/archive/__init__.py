"""Any application, from a checksummed archive, installed by a recipe."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from foundation.hosting import Server
from services.installer.sites import InstalledSite, Job, Step
from services.installer.sites.archive.cache import require_unchanged, unpacked
from services.installer.sites.archive.reading import read_recipe, wrong
from services.installer.sites.archive.recipe import Recipe, VersionIn
from services.installer.sites.archive.steps import carry_out, login_url_of, pages_of, rehearse
from services.installer.sites.archive.unpack import survey
from services.installer.sites.archive.variables import INVENTED, INVENTED_DATABASE, Words, names_of, words_of
from services.installer.sites.deployment import Built, Plan, Site, databases_of, live
from services.installer.sites.docroot.runs import database_prefix
from services.installer.sites.docroot.tree import copy_tree, room_of
from services.installer.sites.programs import USUAL, Limits
from services.installer.sites.programs.php import Php
from services.installer.sites.verification.probe import Probe
from services.installer.sites.verification.trial import stranger, try_database
from services.installer.sites.wordpress.config import write_config

_SPARE = 16 * 1024 * 1024  # bytes that the steps may add
_INODES = 64


@dataclass(kw_only=True)
class Archive:
    """Satisfies `SiteInstaller` for whatever a recipe describes. The recipe is read again for each install."""

    recipe: Path
    places: Path
    """Where archives are unpacked, each once."""
    php: str = "php"
    limits: Limits = USUAL
    """What the program of one step may take."""

    def check(self, server: Server) -> None:
        """See `SiteInstaller`. Raises `Failed`: recipe_wrong, archive_*, php_missing, php_ext, program_missing,
        db_unset, db_*."""
        recipe = read_recipe(self.recipe)
        self._require(recipe, server, thoroughly=True)
        archive = self._place(recipe)
        require_unchanged(archive, recipe.archive)
        survey(archive, recipe.archive)

    def rehearse(self, server: Server) -> None:
        """What `check` does, and what an install does with the database; through PHP, if the application uses PHP."""
        self.check(server)
        recipe = read_recipe(self.recipe)
        if recipe.php is not None:
            self._interpreter.require(recipe.php.extensions, owner=stranger(server))
        if recipe.database:
            try_database(server, self._interpreter if recipe.php else None, partial(write_config, isolated=False))

    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        """See `SiteInstaller`. Raises `Failed` with any cause of `services.installer.sites.causes`."""

        def prepare() -> Plan:
            recipe = read_recipe(self.recipe)
            self._require(recipe, server)
            with step("unpack"):
                tree = self._tree(recipe)
            space, inodes = room_of(tree)
            return Plan(space + _SPARE, inodes + _INODES, partial(self._build, recipe, tree))

        return live(job, server, step, prepare)

    def _build(self, recipe: Recipe, tree: Path, site: Site) -> Built:
        with site.step("stage"):
            copy_tree(tree, site.stage)
            version = self._version(recipe, tree)
            probe = Probe.put(site.stage) if recipe.php is not None else None
            site.docroot.hand_over(site.stage)
        database = site.database() if recipe.database else None
        words = words_of(self.recipe, recipe, names_of(site.job, site.docroot.www, site.stage), database)
        login = _Login.sealed(recipe, words, site.job)
        carry_out(recipe, words, site, self._interpreter)
        return Built(
            application=recipe.application,
            version=version,
            pages=pages_of(recipe, words),
            probe=probe,
            login_url=login.url,
            username=login.username,
            sealed_password=login.sealed_password,
            database=database.name if database is not None else None,
        )

    @property
    def _interpreter(self) -> Php:
        return Php(self.php, self.limits)

    def _require(self, recipe: Recipe, server: Server, *, thoroughly: bool = False) -> None:
        """Raise `Failed` unless everything the recipe needs is there, and its templates render."""
        if recipe.php is not None:
            self._interpreter.require(recipe.php.extensions)
        if recipe.database:
            databases_of(server).names(database_prefix("check"))
        database = INVENTED_DATABASE if recipe.database else None
        words = words_of(self.recipe, recipe, INVENTED, database)
        rehearse(recipe, words, self._interpreter, thoroughly=thoroughly)

    def _place(self, recipe: Recipe) -> Path:
        return self.recipe.parent / recipe.archive.path

    def _tree(self, recipe: Recipe) -> Path:
        """The unpacked folder that becomes the site."""
        whole = unpacked(self._place(recipe), recipe.archive, self.places)
        tree = whole / (recipe.archive.folder or ".")
        if not tree.is_dir():
            there = ", ".join(sorted(path.name for path in whole.iterdir())[:10])
            raise wrong(self.recipe, f"archive.folder: the archive has no such folder; its top level has {there}")
        return tree

    def _version(self, recipe: Recipe, tree: Path) -> str:
        if not isinstance(recipe.version, VersionIn):
            return recipe.version
        try:
            text = (tree / recipe.version.file).read_text("utf-8", "replace")
        except OSError as error:
            raise wrong(self.recipe, f"version.file: {recipe.version.file}: {error.strerror}") from None
        found = re.search(recipe.version.pattern, text)
        if found is None or not found[1].strip():
            raise wrong(self.recipe, f"version.pattern finds nothing in {recipe.version.file}")
        return found[1].strip()


@dataclass(frozen=True)
class _Login:
    """The login that the customer is told; all None if there is none."""

    url: str | None = None
    username: str | None = None
    sealed_password: str | None = None

    @classmethod
    def sealed(cls, recipe: Recipe, words: Words, job: Job) -> "_Login":
        """The password in the clear is known to `words` alone from here on, and forgotten with them."""
        if recipe.login is None:
            return cls()
        sealed = job.seal(words.secret["login"]["password"])
        return cls(login_url_of(recipe, words), words.plain["login"]["username"], sealed)
