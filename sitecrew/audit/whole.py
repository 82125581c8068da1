"""The audit of a whole installation, as its settings describe it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from foundation.broker import Broker
from foundation.broker.delay import Ladder
from foundation.clock import SharedClock, utc_now
from foundation.config.queues import API_EVENTS, sitecrew
from foundation.config.servers import server_of
from foundation.config.settings import Settings
from foundation.errors import SitecrewError
from foundation.store import Store
from foundation.store.address import file_of
from services.installer.sites.registry import is_built_in
from sitecrew.audit import messages
from sitecrew.audit.auditing import GRACE, PAUSE, Audit
from sitecrew.audit.cases import Stores
from sitecrew.audit.servers import CannotBeAsked, ServerAudit
from sitecrew.audit.violations import Violation
from sitecrew.cli.checks.broker import troubles_of
from sitecrew.cli.client.stores import url_of

_REQUIRED = ("order-intake", "installer", "mailer")


@dataclass
class Unchecked:
    """Something that could not be checked."""

    what: str
    error: SitecrewError


@dataclass
class WholeAudit:
    """One audit. `run` counts what it reads, and notes what it could not check."""

    settings: Settings
    broker: Broker
    grace: timedelta = GRACE
    pause: float = PAUSE
    servers: bool = False
    """Whether to look at the hosting servers, too."""
    checked: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    _not_projecting: str = "the broker could not be asked whether events wait for it"
    """Why the projection may be out of date; empty if it takes in what is published."""

    def run(self) -> Iterator[Violation]:
        """Yield all violations. Raises nothing that keeps the rest from being checked."""
        yield from self._tried("the broker", self._broker)
        with ExitStack() as opened:
            yield from self._tried("the services' databases", partial(self._databases, opened))
            for name in self.settings.servers if self.servers else ():
                yield from self._tried(f"the server {name}", partial(self._server, name, opened))

    def _tried(self, what: str, check: Callable[[], Iterator[Violation]]) -> Iterator[Violation]:
        try:
            yield from check()
        except CannotBeAsked as reason:
            self.notes.append(f"{what} was not checked: {reason}")
        except SitecrewError as error:
            self.unchecked.append(Unchecked(what, error))

    def _broker(self) -> Iterator[Violation]:
        delay = self.settings.delay
        risks = troubles_of(self.settings, sitecrew(Ladder(delay.unit_ms, delay.levels)))
        if risks is None:
            self.notes.append("the broker's policies and replicas were not checked; that needs amqp_management_url")
        yield from messages.check(self.broker, risks or (), self.notes, utc_now(), self.pause)
        self._not_projecting = self._why_not_projecting()

    def _why_not_projecting(self) -> str:
        waiting = self.broker.depth(API_EVENTS)
        if waiting is None:
            is_hidden = not self.broker.is_missing(API_EVENTS)
            return "the broker's user may not see whether events wait for it" if is_hidden else ""
        is_taken = not waiting or self.broker.consumers(API_EVENTS)
        return "" if is_taken else "events wait for it, and the api does not run"

    def _databases(self, opened: ExitStack) -> Iterator[Violation]:
        stores = replace(self._stores(opened), api=self._api(opened))
        clock = SharedClock(stores.order_intake.time)
        clock.read()
        yield from Audit(stores, clock.now, self.grace, self.pause, self.checked, self.notes).run()

    def _server(self, name: str, opened: ExitStack) -> Iterator[Violation]:
        ours = partial(is_built_in, self.settings)
        server = server_of(self.settings, name)
        yield from ServerAudit(server, self._stores(opened), ours, utc_now(), self.grace).run()

    def _stores(self, opened: ExitStack) -> Stores:
        return Stores(**{service.replace("-", "_"): self._open(service, opened) for service in _REQUIRED})

    def _api(self, opened: ExitStack) -> Store | None:
        """The api's database; None where nobody has run the api."""
        file = file_of(url_of(self.settings, "api"))
        if file and not file.is_file():
            return None
        if self._not_projecting:
            self.notes.append(f"the projection was not compared: {self._not_projecting}")
            return None
        return self._open("api", opened)

    def _open(self, service: str, opened: ExitStack) -> Store:
        store = Store.existing(url_of(self.settings, service), read_only=True)
        opened.callback(store.close)
        return store
