"""What stands in an account's home, for an audit: it is read, and nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.hosting.disk import disk_errors
from services.installer.sites.docroot import trash
from services.installer.sites.docroot.markers import SiteMarker, read_journal, read_site
from services.installer.sites.docroot.runs import Run


@dataclass(frozen=True)
class Site:
    """The site in a home, and what is beside it."""

    marker: SiteMarker | None
    """Of the verified site in the document root."""
    is_swapping: bool
    """Whether an exchange was begun and not finished: the next run decides which tree is the site."""
    leftovers: Sequence[Path]
    """Trees that runs have built, replaced or thrown away."""


def look(home: Path) -> Site:
    """Return what is in a home. Raises `Failed` (disk_denied) if it can't be read."""
    with disk_errors(str(home)):
        journal = read_journal(home / "private")
        beside = sorted(path for path in home.iterdir() if Run.of_stage(path) or trash.is_trash(path))
        return Site(
            marker=read_site(home / "private"),
            is_swapping=journal is not None and journal.swapping is not None,
            leftovers=beside,
        )
