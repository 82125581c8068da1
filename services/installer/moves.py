"""Every move that an install can make in its life (docs/lifecycle.md).

    staged -> installing -> installed
    installing -> staged (another attempt) | failed ;  failed -> staged (staff's retry)
    staged | failed -> cancelled

Each move changes the row as it was seen, or nothing: the row count of one UPDATE decides who wins a
race. `fence` grows with every claim, so a worker that was thought dead can record nothing any more.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, bindparam, or_, select, update

from foundation.handling.unit_of_work import UnitOfWork
from foundation.store.insert import insert_new
from foundation.telemetry.tracing import Trace
from schemas.installs import InstallCompleted, InstallStaged
from schemas.values import Cause, Customer
from services.installer.history import Entry, History
from services.installer.installs import OVERDUE, Install, State, install_of, installs

_ASKING = timedelta(days=7)
"""How long the mailer is asked for the letter of an installed site."""

_AS_WE_SAW_IT = update(installs).where(
    installs.c.install_id == bindparam("seen_install_id"),
    installs.c.state == bindparam("seen_state"),
    installs.c.fence == bindparam("seen_fence"),
)
_other = installs.alias("other")
_ALONE = _AS_WE_SAW_IT.where(
    ~select(_other.c.install_id)
    .where(_other.c.order_id == installs.c.order_id, _other.c.install_id != installs.c.install_id)
    .where(
        (_other.c.state == State.INSTALLING)
        | ((_other.c.generation > installs.c.generation) & (_other.c.state != State.CANCELLED))
    )
    .exists()
)
"""Nor is another generation of the order being installed, because two must not work in one account; nor
is there a newer one, which an older must not be put over."""
_REPLACED = (
    select(_other.c.install_id)
    .where(_other.c.order_id == installs.c.order_id, _other.c.generation > installs.c.generation)
    .where(_other.c.state == State.INSTALLED)
    .exists()
)
"""A newer install has taken its place: its letter is sent no more."""


def stage(uow: UnitOfWork, staged: InstallStaged, overdue_at: datetime, trace: Trace) -> Install | None:
    """Note a new install; None if it is known."""
    row = {
        "install_id": staged.install_id,
        "order_id": staged.order_id,
        "generation": staged.generation,
        "site_type": staged.site.site_type,
        "domain": staged.account.domain,
        "server": staged.account.server,
        "state": State.STAGED,
        "attempt": 1,
        "max_attempts": staged.max_attempts,
        "attempts_before": 0,
        "history": History(),
        "due_at": staged.due_at,
        "wake_at": overdue_at,
        "fence": 0,
        "staged": staged,
        "mail_state": "",
        "trace": trace,
        "staged_at": uow.now,
    }
    if not insert_new(uow.connection, installs, row):
        return None
    return install_of({**dict.fromkeys(installs.c.keys()), **row})


def supersede(uow: UnitOfWork, newer: Install) -> list[Install]:
    """Cancel the older generations of the same order that wait or have failed."""
    if newer.generation == 1:
        return []
    older = (
        installs.c.order_id == newer.order_id,
        installs.c.generation < newer.generation,
        installs.c.state.in_([State.STAGED, State.FAILED]),
    )
    reason = f"superseded by {newer.install_id}"
    change = update(installs).where(*older).values(state=State.CANCELLED, finished_at=uow.now, reason=reason)
    return [install_of(row) for row in uow.execute(change.returning(installs)).mappings()]


def amend(uow: UnitOfWork, order_id: str, customer: Customer) -> None:
    """What of the order waits, or has failed, is installed for the customer as he is called now; what is being
    installed just now, if it has to be tried again."""
    open_states = [State.STAGED, State.INSTALLING, State.FAILED]
    unfinished = (installs.c.order_id == order_id, installs.c.state.in_(open_states))
    for row in uow.execute(select(installs).where(*unfinished).with_for_update()).mappings():
        staged = row["staged"].model_copy(update={"customer": customer})
        uow.execute(update(installs).where(installs.c.install_id == row["install_id"]).values(staged=staged))


def newer(uow: UnitOfWork, install: Install) -> str | None:
    """The newest generation of the same order after this one, unless it is cancelled."""
    after = (
        installs.c.order_id == install.order_id,
        installs.c.generation > install.generation,
        installs.c.state != State.CANCELLED,
    )
    newest = select(installs.c.install_id).where(*after).order_by(installs.c.generation.desc()).limit(1)
    return uow.execute(newest).scalar_one_or_none()


def claim(
    uow: UnitOfWork, install: Install, owner: str, lease: timedelta, max_attempts: int | None = None
) -> Install | None:
    """staged -> installing. None if somebody else was faster, or works in the same account, or if
    there is a newer generation."""
    if install.state != State.STAGED:
        return None
    until = uow.now + lease
    return _move(
        uow,
        install,
        State.INSTALLING,
        only=_ALONE,
        fence=install.fence + 1,
        max_attempts=max_attempts or install.max_attempts,
        lease_owner=owner,
        lease_until=until,
        wake_at=until,
        started_at=uow.now,
    )


def renew(uow: UnitOfWork, held: dict[str, int], lease: timedelta) -> None:
    """Extend the leases of installs that are being worked on, given with their fences."""
    ours = or_(*[(installs.c.install_id == id) & (installs.c.fence == fence) for id, fence in held.items()])
    change = update(installs).where(installs.c.state == State.INSTALLING, ours)
    uow.execute(change.values(lease_until=uow.now + lease, wake_at=uow.now + lease))


def complete(uow: UnitOfWork, install: Install, completed: InstallCompleted, mail_state: str) -> Install | None:
    """installing -> installed; None for a worker that has lost its install meanwhile."""
    history = _then(uow, install, "installed", attempt=install.attempt)
    ended = {"completed": completed, "cause": None, "mail_state": mail_state, "wake_at": uow.now + OVERDUE}
    return _end(uow, install, State.INSTALLED, history=history, **ended)


def fail(uow: UnitOfWork, install: Install, cause: Cause, max_attempts: int | None = None) -> Install | None:
    """installing -> failed, for good; after how many attempts at most."""
    history = _then(uow, install, "failed", attempt=install.attempt, cause=cause)
    limit = max_attempts or install.max_attempts
    return _end(uow, install, State.FAILED, cause=cause, max_attempts=limit, history=history)


def stage_again(
    uow: UnitOfWork, install: Install, cause: Cause, due_at: datetime, overdue_at: datetime
) -> Install | None:
    """installing -> staged, as the next attempt."""
    return _move(
        uow,
        install,
        State.STAGED,
        attempt=install.attempt + 1,
        cause=cause,
        history=_then(uow, install, "attempt failed", attempt=install.attempt, cause=cause),
        due_at=due_at,
        wake_at=overdue_at,
        lease_owner=None,
        lease_until=None,
    )


def cancel(uow: UnitOfWork, install: Install, reason: str, by: str | None = None) -> Install | None:
    """staged | failed -> cancelled."""
    if install.state not in (State.STAGED, State.FAILED):
        return None
    history = _then(uow, install, "cancelled", by=by, reason=reason)
    return _move(uow, install, State.CANCELLED, finished_at=uow.now, reason=reason[:200], history=history)


def retry(uow: UnitOfWork, install: Install, overdue_at: datetime, by: str | None = None) -> Install | None:
    """failed | staged -> staged, due now, with all its attempts before it."""
    if install.state not in (State.STAGED, State.FAILED):
        return None
    made = install.attempt if install.state == State.FAILED else install.attempt - 1
    return _move(
        uow,
        install,
        State.STAGED,
        attempt=1,
        attempts_before=install.attempts_before + made,
        due_at=uow.now,
        wake_at=overdue_at,
        finished_at=None,
        history=_then(uow, install, "retried", by=by),
    )


def note_letter(uow: UnitOfWork, install_id: str, mail_state: str, cause: Cause | None) -> None:
    """What became of the install's letter."""
    change = update(installs).where(installs.c.install_id == install_id)
    uow.execute(change.values(mail_state=mail_state, mail_cause=cause))


# What time brings


def lost(uow: UnitOfWork, limit: int = 100) -> list[Install]:
    """Installs whose worker has let its lease end."""
    return _woken(uow, installs.c.state == State.INSTALLING, limit)


def overdue(uow: UnitOfWork, again_at: datetime, limit: int = 100) -> list[Install]:
    """Staged installs that no batch has taken in time; each is not named again before `again_at`."""
    return _woken(uow, installs.c.state == State.STAGED, limit, again_at)


def unmailed(uow: UnitOfWork, limit: int = 100) -> list[Install]:
    """Installed sites of whose letter nothing was heard in time, and that no newer install has replaced; each
    once in a quarter of an hour, for a week."""
    silent = (installs.c.mail_state == "") & (installs.c.finished_at > uow.now - _ASKING)
    return _woken(uow, (installs.c.state == State.INSTALLED) & silent & ~_REPLACED, limit)


def _woken(uow: UnitOfWork, which: ColumnElement[bool], limit: int, again_at: datetime | None = None) -> list[Install]:
    found = (
        select(installs.c.install_id)
        .where(which, installs.c.wake_at < uow.now)
        .order_by(installs.c.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    change = update(installs).where(installs.c.install_id.in_(found)).values(wake_at=again_at or uow.now + OVERDUE)
    return [install_of(row) for row in uow.execute(change.returning(installs)).mappings()]


def _then(uow: UnitOfWork, install: Install, what: str, **told: Any) -> History:
    return install.history.then(Entry(at=uow.now, what=what, **told))


def _end(uow: UnitOfWork, install: Install, state: State, **changes: Any) -> Install | None:
    return _move(uow, install, state, lease_owner=None, lease_until=None, finished_at=uow.now, **changes)


def _move(uow: UnitOfWork, install: Install, state: State, only: Any = _AS_WE_SAW_IT, **changes: Any) -> Install | None:
    seen = {f"seen_{name}": getattr(install, name) for name in ("install_id", "state", "fence")}
    changed = uow.execute(only, {**seen, **changes, "state": state}).rowcount == 1
    kept = {name: value for name, value in changes.items() if name in Install.__dataclass_fields__}
    return replace(install, state=state, **kept) if changed else None
