"""The audit at the end of every test that had orders: nothing may be lost, doubled or forgotten."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from foundation.store import Store
from sitecrew.audit import Audit, Stores, Violation
from tests.support.daemons import eventually
from tests.support.house import House

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


def require_sound_stores(urls: Mapping[str, str]) -> None:
    """Fail if something is wrong in the databases of services that are running, and does not become right within a
    minute."""
    with opened(urls) as stores:
        found: list[Violation] = []

        def is_sound() -> bool:
            found[:] = Audit(stores, grace=timedelta(0), pause=0).run()
            return not found

        eventually(is_sound, 60)


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
