"""Installs: the table, and every move that an install can make in its life (docs/lifecycle.md).

    staged -> installing -> installed
    installing -> staged (another attempt) | failed ;  failed -> staged (staff's retry)
    staged | failed -> cancelled

Each move is one conditional UPDATE; its row count decides who wins a race. `fence` grows with every
claim: a worker that was thought dead finds its fence outdated and can record nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Index, Integer, String, Table, func, or_, select, update

from foundation.runtime.tx import Tx
from foundation.store import Kept, Utc
from foundation.store.insert import insert_new
from foundation.store.types import metadata
from schemas.installs import InstallCompleted, InstallRef, InstallStaged
from schemas.values import Cause


class State(StrEnum):
    STAGED = "staged"
    INSTALLING = "installing"
    INSTALLED = "installed"
    FAILED = "failed"
    CANCELLED = "cancelled"


installs = Table(
    "installs",
    metadata,
    Column("install_id", String(80), primary_key=True),
    Column("order_id", String(64), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("site_type", String(32), nullable=False),
    Column("domain", String(253), nullable=False),
    Column("server", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("due_at", Utc, nullable=False),
    Column("wake_at", Utc, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_owner", String(128)),
    Column("lease_until", Utc),
    Column("cause", Kept(Cause)),
    Column("staged", Kept(InstallStaged), nullable=False),
    Column("completed", Kept(InstallCompleted)),
    Column("mail_state", String(16), nullable=False),
    Column("mail_cause", Kept(Cause)),
    Column("staged_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("finished_at", Utc),
    Index("ix_installs_state_wake_at", "state", "wake_at"),
)

_OVERDUE = timedelta(minutes=15)
"""How long after its time a staged install may wait for a batch before it is woken once more."""


@dataclass(frozen=True)
class Install:
    """One install as it stands in the table."""

    install_id: str
    order_id: str
    generation: int
    site_type: str
    domain: str
    server: str
    state: State
    attempt: int
    due_at: datetime
    fence: int
    lease_owner: str | None
    lease_until: datetime | None
    cause: Cause | None
    staged: InstallStaged
    completed: InstallCompleted | None
    mail_state: str
    mail_cause: Cause | None
    staged_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def ref(self) -> InstallRef:
        return InstallRef(install_id=self.install_id, order_id=self.order_id, generation=self.generation)


# Looking


def find(connection: Connection, install_id: str) -> Install | None:
    row = connection.execute(select(installs).where(installs.c.install_id == install_id)).mappings().first()
    return _install(row) if row else None


def listing(
    connection: Connection, states: list[State], order_id: str | None, limit: int, *, newest_first: bool = False
) -> list[Install]:
    """Installs, those that are due first at the head (or last, `newest_first`); all states if none
    are named."""
    due = installs.c.due_at.desc() if newest_first else installs.c.due_at
    query = select(installs).order_by(due, installs.c.install_id).limit(limit)
    if states:
        query = query.where(installs.c.state.in_(states))
    if order_id:
        query = query.where(installs.c.order_id == order_id)
    return [_install(row) for row in connection.execute(query).mappings()]


def counts(connection: Connection) -> dict[State, int]:
    """How many installs are in each state."""
    grouped = connection.execute(select(installs.c.state, func.count()).group_by(installs.c.state))
    found = {State(state): number for state, number in grouped}
    return {state: found.get(state, 0) for state in State}


# Moving


def stage(tx: Tx, staged: InstallStaged) -> Install | None:
    """Note a new install; None if it is known. Older generations that have not begun are superseded:
    see `superseded`."""
    row = {
        "install_id": staged.install_id,
        "order_id": staged.order_id,
        "generation": staged.generation,
        "site_type": staged.site.site_type,
        "domain": staged.account.domain,
        "server": staged.account.server,
        "state": State.STAGED,
        "attempt": 1,
        "due_at": staged.due_at,
        "wake_at": staged.due_at + _OVERDUE,
        "fence": 0,
        "staged": staged,
        "mail_state": "",
        "staged_at": tx.now,
    }
    return find(tx.connection, staged.install_id) if insert_new(tx.connection, installs, row) else None


def superseded(tx: Tx, newer: Install) -> list[Install]:
    """Cancel the older generations of the same order that wait or have failed."""
    older = (
        installs.c.order_id == newer.order_id,
        installs.c.generation < newer.generation,
        installs.c.state.in_([State.STAGED, State.FAILED]),
    )
    change = update(installs).where(*older).values(state=State.CANCELLED, finished_at=tx.now)
    return [_install(row) for row in tx.execute(change.returning(installs)).mappings()]


def claim(tx: Tx, install_id: str, owner: str, lease: timedelta) -> Install | None:
    """staged -> installing. None if it is not staged and due, or another generation of the same
    order is being installed right now: two must not work in one account."""
    other = installs.alias("other")
    busy = select(other.c.install_id).where(other.c.order_id == installs.c.order_id, other.c.state == State.INSTALLING)
    return _move(
        tx,
        install_id,
        installs.c.state == State.STAGED,
        ~busy.exists(),
        state=State.INSTALLING,
        fence=installs.c.fence + 1,
        lease_owner=owner,
        lease_until=tx.now + lease,
        wake_at=tx.now + lease,
        started_at=tx.now,
    )


def renew(tx: Tx, held: dict[str, int], lease: timedelta) -> None:
    """Extend the leases of installs that are being worked on, given with their fences."""
    ours = or_(*[(installs.c.install_id == id) & (installs.c.fence == fence) for id, fence in held.items()])
    change = update(installs).where(installs.c.state == State.INSTALLING, ours)
    tx.execute(change.values(lease_until=tx.now + lease, wake_at=tx.now + lease))


def installed(tx: Tx, install: Install, completed: InstallCompleted, mail_state: str) -> Install | None:
    """installing -> installed; None for a worker that has lost its install meanwhile."""
    return _finish(
        tx,
        install,
        State.INSTALLED,
        completed=completed,
        cause=None,
        mail_state=mail_state,
        wake_at=tx.now + _OVERDUE,
    )


def failed(tx: Tx, install: Install, cause: Cause) -> Install | None:
    """installing -> failed, for good."""
    return _finish(tx, install, State.FAILED, cause=cause)


def again(tx: Tx, install: Install, cause: Cause, due_at: datetime) -> Install | None:
    """installing -> staged, as the next attempt."""
    return _move(
        tx,
        install.install_id,
        _held(install),
        state=State.STAGED,
        attempt=install.attempt + 1,
        cause=cause,
        due_at=due_at,
        wake_at=due_at + _OVERDUE,
        lease_owner=None,
        lease_until=None,
    )


def cancel(tx: Tx, install_id: str) -> Install | None:
    """staged | failed -> cancelled."""
    waits = installs.c.state.in_([State.STAGED, State.FAILED])
    return _move(tx, install_id, waits, state=State.CANCELLED, finished_at=tx.now)


def retry(tx: Tx, install_id: str) -> Install | None:
    """failed | staged -> staged, due now, with all its attempts before it."""
    waits = installs.c.state.in_([State.STAGED, State.FAILED])
    return _move(
        tx,
        install_id,
        waits,
        state=State.STAGED,
        attempt=1,
        due_at=tx.now,
        wake_at=tx.now + _OVERDUE,
        finished_at=None,
    )


def mailed(tx: Tx, install_id: str, mail_state: str, cause: Cause | None) -> None:
    """What became of the install's letter."""
    change = update(installs).where(installs.c.install_id == install_id)
    tx.execute(change.values(mail_state=mail_state, mail_cause=cause))


# What time brings


def lost(tx: Tx, limit: int = 100) -> list[Install]:
    """Installs whose worker has let its lease end."""
    return _woken(tx, installs.c.state == State.INSTALLING, limit)


def overdue(tx: Tx, limit: int = 100) -> list[Install]:
    """Staged installs that no batch has taken in time; each is named once in a quarter of an hour."""
    return _woken(tx, installs.c.state == State.STAGED, limit)


def unmailed(tx: Tx, limit: int = 100) -> list[Install]:
    """Installed sites of whose letter nothing was heard in time."""
    return _woken(tx, (installs.c.state == State.INSTALLED) & (installs.c.mail_state == ""), limit)


def _woken(tx: Tx, which: ColumnElement[bool], limit: int) -> list[Install]:
    found = (
        select(installs.c.install_id)
        .where(which, installs.c.wake_at < tx.now)
        .order_by(installs.c.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    change = update(installs).where(installs.c.install_id.in_(found)).values(wake_at=tx.now + _OVERDUE)
    return [_install(row) for row in tx.execute(change.returning(installs)).mappings()]


def _held(install: Install) -> ColumnElement[bool]:
    return (installs.c.state == State.INSTALLING) & (installs.c.fence == install.fence)


def _finish(tx: Tx, install: Install, state: State, **changes: Any) -> Install | None:
    return _move(
        tx,
        install.install_id,
        _held(install),
        state=state,
        lease_owner=None,
        lease_until=None,
        finished_at=tx.now,
        **changes,
    )


def _move(tx: Tx, install_id: str, *only_if: ColumnElement[bool], **changes: Any) -> Install | None:
    change = update(installs).where(installs.c.install_id == install_id, *only_if).values(**changes)
    row = tx.execute(change.returning(installs)).mappings().first()
    return _install(row) if row else None


def _install(row: Any) -> Install:
    return Install(
        install_id=row["install_id"],
        order_id=row["order_id"],
        generation=row["generation"],
        site_type=row["site_type"],
        domain=row["domain"],
        server=row["server"],
        state=State(row["state"]),
        attempt=row["attempt"],
        due_at=row["due_at"],
        fence=row["fence"],
        lease_owner=row["lease_owner"],
        lease_until=row["lease_until"],
        cause=row["cause"],
        staged=row["staged"],
        completed=row["completed"],
        mail_state=row["mail_state"],
        mail_cause=row["mail_cause"],
        staged_at=row["staged_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
    )
