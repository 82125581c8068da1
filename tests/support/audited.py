"""The audit at the end of every test that had orders: nothing may be lost, doubled or forgotten."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from stat import S_IRGRP, S_IROTH, S_ISDIR, S_ISREG, S_IXGRP, S_IXOTH, filemode
from time import monotonic, sleep
from typing import TYPE_CHECKING

from foundation.broker import Broker
from foundation.config.settings import Settings
from foundation.store import Store
from sitecrew.audit import Audit, Stores, Violation
from sitecrew.audit.whole import WholeAudit
from tests.support.house import PATIENCE, House

if TYPE_CHECKING:
    from services.api.service import ApiService


def require_sound(houses: list[House]) -> None:
    """Fail if something is wrong in a house, unless its test has left it `unfinished`."""
    found = [one for house in houses if not house.unfinished for one in violations(house)]
    assert not found, told(found)


def violations(house: House) -> list[Violation]:
    """Return what is wrong in a house in which nothing is on its way. Sweeps run only when a test has them run, so what
    waits for one is not late."""
    api: ApiService | None = getattr(house, "api", None)
    stores = Stores(
        house.intake.store, house.installing.store, house.mailer.store, api.desk.store if api is not None else None
    )
    found = Audit(stores, house.clock.now, grace=timedelta(0), pause=0).run()
    return [one for one in found if not one.code.endswith("_overdue")]


def require_sound_stack(settings: Settings, broker: Broker) -> None:
    """Fail if something is wrong in a stack that is running, or on its servers, and does not become right within a
    minute. What tests have parked is theirs."""

    def audit() -> Iterator[Violation]:
        whole = WholeAudit(settings, broker, timedelta(0), pause=0, servers=True)
        yield from (one for one in whole.run() if one.code != "parked_too_long")
        assert not whole.unchecked, whole.unchecked

    _require_soon(audit)


def require_sound_stores(urls: Mapping[str, str]) -> None:
    """Fail if something is wrong in the databases of services that are running, and does not become right within a
    minute."""
    with opened(urls) as stores:
        _require_soon(lambda: Audit(stores, grace=timedelta(0), pause=0).run())


def _require_soon(audit: Callable[[], Iterable[Violation]]) -> None:
    deadline = monotonic() + PATIENCE
    while found := list(audit()):
        assert monotonic() < deadline, told(found)
        sleep(0.2)


def require_private(directory: Path) -> None:
    """Fail if others on the machine may read what a stack has written of customers. What sites serve is their web
    server's group's, too."""
    readable = list(_readable(directory, S_IROTH | S_IRGRP))
    assert not readable, readable


def _readable(folder: Path, by: int) -> Iterator[str]:
    """Yield the files below a folder that others can read, or their group; `by` says who of them gets here."""
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # the stack still works
            found = file.lstat()
            mode = found.st_mode
            if S_ISDIR(mode):
                inside = (S_IROTH if mode & S_IXOTH else 0) | (S_IRGRP if mode & S_IXGRP and file.name != "www" else 0)
                yield from _readable(file, by & inside)
            elif S_ISREG(mode) and mode & by and found.st_size and file.suffix not in (".pub", ".pid"):
                yield f"{filemode(mode)} {file}"


def told(found: list[Violation]) -> str:
    return "\n".join(f"{one.code} {one.subject}: {one.detail}" for one in found)


@contextmanager
def opened(urls: Mapping[str, str]) -> Iterator[Stores]:
    """Open the databases, by the services' names."""
    stores = {name.replace("-", "_"): Store.existing(url, read_only=True) for name, url in urls.items()}
    try:
        yield Stores(**stores)
    finally:
        for store in stores.values():
            store.close()
