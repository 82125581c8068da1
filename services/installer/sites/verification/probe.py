"""A page that makes the web server's PHP forget the previous tree."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from foundation.hosting.disk import write_new
from services.installer.sites.programs import Owner
from services.installer.sites.verification.verify import Page

_SCRIPT = Path(__file__).with_name("refresh.php")


@dataclass(frozen=True)
class Probe:
    """The script `refresh.php` under a unique name; it removes itself when it is requested."""

    name: str

    @classmethod
    def put(cls, tree: Path, owner: Owner | None = None) -> "Probe":
        """Write it into a tree that is not in place yet, or into the `owner`'s tree that was put back."""
        probe = cls(f"sitecrew-{secrets.token_hex(16)}.php")
        write_new(tree / probe.name, _SCRIPT.read_text("utf-8"), 0o640, owner)
        return probe

    def page(self, url: str) -> Page:
        """The page to verify before any other of the site at `url`."""
        return Page(f"{url}{self.name}", (f"fresh: {self.name}",))

    def remove(self, www: Path) -> None:
        """Remove it, in case PHP may not write into the tree."""
        (www / self.name).unlink(missing_ok=True)
