"""What is told of an install: the events that its row makes, for those who follow it and for a replay."""

from collections.abc import Iterator

from foundation.service.replay import Told
from schemas.installs import (
    InstallCancelled,
    InstallFailed,
    InstallResolved,
    InstallStaged,
    InstallStarted,
    InstallWaiting,
)
from schemas.values import Model
from services.installer.installs import Install
from services.installer.states import State
from services.installer.upcoming import after_failure


def tell(install: Install) -> Iterator[Told]:
    """Yield what together tells the install's whole state."""
    yield Told(staged(install), install.staged_at)
    match install.state:
        case State.WAITING:
            yield Told(waiting(install), install.waiting_since)
        case State.INSTALLING:
            yield Told(started(install), install.started_at)
        case State.INSTALLED if install.completed:
            yield Told(install.completed, install.finished_at)
        case State.FAILED:
            yield Told(failed(install), install.finished_at)
        case State.RESOLVED:
            yield Told(resolved(install), install.finished_at)
        case State.CANCELLED:
            yield Told(cancelled(install), install.finished_at)


def end(install: Install) -> Model | None:
    """Return how the install ended, as order intake understands it; None if it has not. What staff have resolved has
    failed."""
    match install.state:
        case State.INSTALLED:
            return install.completed
        case State.FAILED | State.RESOLVED:
            return failed(install)
        case State.CANCELLED:
            return cancelled(install)
    return None


def staged(install: Install) -> InstallStaged:
    """As it was announced, with what has changed since."""
    now = {
        "attempt": install.current_attempt,
        "max_attempts": install.max_attempts,
        "due_at": install.due_at,
        "cause": install.cause,
    }
    return install.staged.model_copy(update=now)


def started(install: Install) -> InstallStarted:
    tried = {"attempt": install.current_attempt, "max_attempts": install.max_attempts}
    return InstallStarted(**install.ref, **tried, worker=install.lease_owner or "")


def waiting(install: Install) -> InstallWaiting:
    if not (install.waiting_for and install.waiting_since and install.cause):
        raise ValueError(f"{install.install_id} waits for nothing")
    return InstallWaiting(
        **install.ref,
        attempt=install.current_attempt,
        max_attempts=install.max_attempts,
        waiting_for=install.waiting_for.value,
        since=install.waiting_since,
        until=install.waiting_until,
        due_at=install.due_at if install.due_at > install.waiting_since else None,
        cause=install.cause,
    )


def failed(install: Install) -> InstallFailed:
    if install.cause is None:
        raise ValueError(f"{install.install_id} has failed without a cause")
    tried = {"attempt": install.current_attempt, "max_attempts": install.max_attempts}
    return InstallFailed(**install.ref, **tried, cause=install.cause, next=after_failure(install)[:200])


def resolved(install: Install) -> InstallResolved:
    return InstallResolved(**install.ref, note=install.reason or "")


def cancelled(install: Install) -> InstallCancelled:
    return InstallCancelled(**install.ref, reason=install.reason or "")
