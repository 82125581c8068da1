"""What an audit reads of installs: a few columns, so that it can read them all."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from foundation.store.streaming import in_order
from services.installer.installs import installs
from services.installer.servers.standing import every
from services.installer.states import MailState, ServerState, State


class InstallFacts(NamedTuple):
    """One install."""

    install_id: str
    order_id: str
    generation: int
    site_type: str
    state: State
    mail_state: MailState
    has_outcome: bool
    """Whether it says what was installed, or why it was not."""
    check_at: datetime | None
    staged_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    replaced: int | None
    """The newest generation whose site was there when this one was completed."""

    @property
    def touched_at(self) -> datetime:
        """When something last happened to it."""
        return max(self.staged_at, self.started_at or self.staged_at, self.finished_at or self.staged_at)


_FACTS = select(
    installs.c.install_id,
    installs.c.order_id,
    installs.c.generation,
    installs.c.site_type,
    installs.c.state,
    installs.c.mail_state,
    or_(*(installs.c[name].is_not(None) for name in ("completed", "cause", "reason"))),
    installs.c.check_at,
    installs.c.staged_at,
    installs.c.started_at,
    installs.c.finished_at,
    installs.c.replaced,
)


def facts(connection: Connection, only: Sequence[str] | None = None) -> Iterator[InstallFacts]:
    """Yield all installs, or those of these orders, in the order of their orders' ids."""
    return map(InstallFacts._make, in_order(connection, _FACTS, installs.c.order_id, only))


def shut_servers(connection: Connection, moment: datetime) -> frozenset[str]:
    """Return the servers on which no install begins, or none did until this moment."""
    return frozenset(
        it.name for it in every(connection) if it.state != ServerState.CLOSED or (it.since and it.since > moment)
    )
