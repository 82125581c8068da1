"""Run all checks on the services' databases, in bounded memory."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import sleep

from foundation.clock import Now, exact, utc_now
from foundation.config.queues import API_EVENTS
from foundation.store import Store, outbox
from services.api.projection import lag
from services.installer import auditing as installer
from services.order_intake import auditing as order_intake
from sitecrew.audit import agreement, projection, rows
from sitecrew.audit.cases import Case, Stores, cases
from sitecrew.audit.violations import Violation, violation

GRACE = timedelta(minutes=1)
"""For how long what happens to an order may be on its way between the services."""
PAUSE = 3.0
"""Seconds until suspects are looked at again: what two databases say is not of exactly the same moment."""
_PATIENCE = 3
"""How often `grace` a row may wait for a sweep after its time; the rarest sweep comes once a minute."""
_UNHEARD = 30
"""How often `grace` order intake may take to hear of a server: it asks once its orders have waited ten minutes."""
_SUSPECTS = 1000
"""How many orders are looked at again together."""


@dataclass
class Audit:
    """One audit of the databases. `run` counts what it reads."""

    stores: Stores
    now: Now = utc_now
    grace: timedelta = GRACE
    pause: float = PAUSE
    checked: Counter[str] = field(default_factory=Counter)
    """How many orders, installs and mails were read."""
    notes: list[str] = field(default_factory=list)
    """What was left out, in sentences."""

    def run(self) -> Iterator[Violation]:
        """Yield all violations. Raises StoreUnreachable."""
        yield from self._outboxes()
        yield from self._servers()
        projected = self._projected_until()
        suspects: dict[str, frozenset[Violation]] = {}
        for case in cases(self.stores):
            for kind, read in (("orders", case.orders), ("installs", case.installs), ("mails", case.mails)):
                self.checked[kind] += len(read)
            if found := frozenset(self._check(case, projected)):
                suspects[case.order_id] = found
            if len(suspects) == _SUSPECTS:
                yield from self._confirmed(suspects)
                suspects.clear()
        yield from self._confirmed(suspects)

    def _outboxes(self) -> Iterator[Violation]:
        stores: Sequence[tuple[str, Store | None]] = (
            ("order-intake", self.stores.order_intake),
            ("installer", self.stores.installer),
            ("mailer", self.stores.mailer),
            ("api", self.stores.api),
        )
        for service, store in stores:
            if store is not None:
                with store.reading() as connection:
                    for kind in outbox.stuck(connection, self.now() - self.grace, self.now()):
                        detail = f"{kind.number} of {kind.type} for {kind.exchange}, the oldest of {exact(kind.since)}"
                        yield violation("outbox_stuck", service, detail)

    def _servers(self) -> Iterator[Violation]:
        """Yield the servers that may be used for long, while orders wait to hear so."""
        with self.stores.order_intake.reading() as orders, self.stores.installer.reading() as installs:
            waiting = order_intake.waiting_to_be_woken(orders, self.now())
            shut = installer.shut_servers(installs, self.now() - _UNHEARD * self.grace)
        for server in sorted(waiting.keys() - shut):
            detail = f"{waiting[server]} orders wait for it; the installer says that it may be used"
            yield violation("server_unheard", server, detail)

    def _projected_until(self) -> datetime | None:
        """Return up to when the projection is complete; None if it is up to date, or there is none."""
        if self.stores.api is None:
            return None
        with self.stores.api.reading() as connection:
            since = lag.behind_since(connection, API_EVENTS)
        if since:
            self.notes.append(f"the projection is behind: what happened after {exact(since)} was not compared with it")
        return since

    def _check(self, case: Case, projected: datetime | None) -> Iterator[Violation]:
        now = self.now()
        yield from rows.check(case, now - _PATIENCE * self.grace)
        if case.touched_at and case.touched_at > now - self.grace:
            return  # messages about it may be on their way
        yield from agreement.check(case)
        if projected is None or (case.touched_at and case.touched_at < projected - self.grace):
            yield from projection.check(case)

    def _confirmed(self, suspects: dict[str, frozenset[Violation]]) -> Iterator[Violation]:
        """Yield what is still so after the pause."""
        if not self.pause or not suspects:
            for found in suspects.values():
                yield from _sorted(found)
            return
        sleep(self.pause)
        projected = self._projected_until()
        for case in cases(self.stores, sorted(suspects)):
            before = {(one.code, one.subject) for one in suspects[case.order_id]}
            again = self._check(case, projected)
            yield from _sorted(frozenset(one for one in again if (one.code, one.subject) in before))


def audit(stores: Stores, *, now: Now = utc_now, grace: timedelta = GRACE, pause: float = PAUSE) -> Iterator[Violation]:
    """Yield what is wrong with the services' rows: see `Audit`. Raises StoreUnreachable."""
    return Audit(stores, now, grace, pause).run()


def _sorted(found: frozenset[Violation]) -> Sequence[Violation]:
    return sorted(found, key=lambda one: (one.subject, one.code))
