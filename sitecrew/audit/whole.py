"""The audit of a whole installation, as its settings describe it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta

from foundation.clock import SharedClock
from foundation.config.settings import Settings
from foundation.errors import SitecrewError
from foundation.store import Store
from foundation.store.address import file_of
from sitecrew.audit.auditing import GRACE, PAUSE, Audit
from sitecrew.audit.cases import Stores
from sitecrew.audit.violations import Violation
from sitecrew.cli.client.stores import url_of

_REQUIRED = ("order-intake", "installer", "mailer")


@dataclass
class Unchecked:
    """Something that could not be checked."""

    what: str
    error: SitecrewError


@dataclass
class WholeAudit:
    """`run` counts what it reads, and notes what it could not check."""

    settings: Settings
    grace: timedelta = GRACE
    pause: float = PAUSE
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)

    def run(self) -> Iterator[Violation]:
        """Yield all violations. Raises nothing that keeps the rest from being checked."""
        yield from self._tried("the services' databases", self._databases)

    def _tried(self, what: str, check: Callable[[], Iterator[Violation]]) -> Iterator[Violation]:
        try:
            yield from check()
        except SitecrewError as error:
            self.unchecked.append(Unchecked(what, error))

    def _databases(self) -> Iterator[Violation]:
        with ExitStack() as opened:
            found = {service.replace("-", "_"): self._open(service, opened) for service in _REQUIRED}
            stores = Stores(**found, api=self._api(opened))
            clock = SharedClock(stores.order_intake.time)
            clock.read()
            audit = Audit(stores, clock.now, self.grace, self.pause, self.checked, self.notes)
            yield from audit.run()

    def _api(self, opened: ExitStack) -> Store | None:
        """The api's database; None where nobody has run the api."""
        file = file_of(url_of(self.settings, "api"))
        return None if file and not file.is_file() else self._open("api", opened)

    def _open(self, service: str, opened: ExitStack) -> Store:
        store = Store.existing(url_of(self.settings, service), read_only=True)
        opened.callback(store.close)
        return store
