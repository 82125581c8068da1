"""The records about a site in its account's `private` directory: the journal, then the marker."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from foundation.hosting.disk import read_marker, write_marker
from services.installer.sites import InstalledSite
from services.installer.sites.docroot.runs import Run


@dataclass(frozen=True)
class SiteMarker:
    """The verified site in the document root. Its existence means that the install is done."""

    install_id: str
    run: Run
    application: str
    version: str
    url: str
    login_url: str | None = None
    username: str | None = None
    sealed_password: str | None = None
    database: str | None = None

    def site(self, *, adopted: bool) -> InstalledSite:
        """The result that the install returned, or would have."""
        return InstalledSite(
            application=self.application,
            version=self.version,
            url=self.url,
            login_url=self.login_url,
            username=self.username,
            sealed_password=self.sealed_password,
            adopted=adopted,
        )


@dataclass(frozen=True)
class Journal:
    """The latest run that began here: earlier ones may no longer put anything in place."""

    install_id: str
    run: Run
    swapping: int | None = None
    """The inode of the run's tree while it may be in the document root unverified.

    A directory keeps its inode when it is exchanged, so after a crash this number tells whether the
    exchange had happened.
    """
    carried: dict[str, int] = field(default_factory=dict)
    """What moves from the older tree into this one (see `keeping`): names, and inodes to find out where they are."""


_T = TypeVar("_T")
_MARKER = TypeAdapter(SiteMarker)
_JOURNAL = TypeAdapter(Journal)


def read_site(private: Path) -> SiteMarker | None:
    """The marker; None if no install has ever finished here."""
    return _read(private / "site.json", _MARKER)


def write_site(private: Path, marker: SiteMarker) -> None:
    """Record durably that the site in the document root is verified."""
    write_marker(private / "site.json", asdict(marker))


def read_journal(private: Path) -> Journal | None:
    """The journal; None before the first run."""
    return _read(private / "journal.json", _JOURNAL)


def write_journal(private: Path, journal: Journal) -> None:
    """Write the journal; durable before it returns, because what it announces must not happen first."""
    write_marker(private / "journal.json", asdict(journal))


def _read(path: Path, kind: TypeAdapter[_T]) -> _T | None:
    content = read_marker(path)
    try:
        return None if content is None else kind.validate_python(content)
    except ValidationError:
        return None
