"""A page that makes the web server's PHP forget the tree that was there before."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from foundation.hosting.disk import write_new
from services.installer.sites.programs import Owner
from services.installer.sites.verification.verify import Page

_SCRIPT = Path(__file__).with_name("refresh.php")


@dataclass(frozen=True)
class Probe:
    """The script `refresh.php` under a name of its own; it removes itself when it has been asked."""

    name: str

    @classmethod
    def put(cls, tree: Path, owner: Owner | None = None) -> "Probe":
        """Into a tree: one that is not in place yet, or the `owner`'s that is in place again."""
        probe = cls(f"sitecrew-{secrets.token_hex(16)}.php")
        write_new(tree / probe.name, _SCRIPT.read_text("utf-8"), 0o640, owner)
        return probe

    def page(self, url: str) -> Page:
        """To be verified before any other page of the site at `url`."""
        return Page(f"{url}{self.name}", (f"fresh: {self.name}",))

    def remove(self, www: Path) -> None:
        """In case PHP may not write into the tree."""
        (www / self.name).unlink(missing_ok=True)
