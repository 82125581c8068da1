"""What happens next with an install, for people: a matter of its state, never of its cause."""

from datetime import datetime
from typing import Protocol

from foundation.clock import exact
from services.installer.states import MailState, State


class Progress(Protocol):
    """How far an install is: its row, or whatever else knows."""

    @property
    def install_id(self) -> str: ...
    @property
    def order_id(self) -> str: ...
    @property
    def state(self) -> State: ...
    @property
    def current_attempt(self) -> int: ...
    @property
    def max_attempts(self) -> int | None: ...
    @property
    def attempts_before(self) -> int: ...
    @property
    def begins_at(self) -> datetime | None: ...
    @property
    def waiting_until(self) -> datetime | None: ...
    @property
    def ends_as(self) -> State | None: ...
    @property
    def mail_state(self) -> MailState | None: ...


def after_failure(install: Progress) -> str:
    """Of an install that has failed."""
    tries = f"all {install.current_attempt} attempts failed; " if install.current_attempt > 1 else ""
    return f"{tries}not retried automatically; once the cause is fixed: `sitecrew install retry {install.install_id}`"


def what_next(install: Progress) -> str:
    """Of any install; empty if nothing is to come."""
    match install.state:
        case State.FAILED:
            return after_failure(install)
        case State.STAGED | State.WAITING | State.INSTALLING:
            return _of_end(install) if install.ends_as else _of_attempt(install)
        case State.RESOLVED | State.CANCELLED:
            return f"nothing: it was {install.state}; `sitecrew order reinstall {install.order_id}` makes a new install"
        case State.INSTALLED:
            return _of_letter(install)


def _of_attempt(install: Progress) -> str:
    number = f"attempt {attempts(install)}"
    if install.state == State.INSTALLING:
        return f"it is being installed, {number}"
    if install.state == State.WAITING:
        return f"{number} begins automatically once what it waits for is there{_deadline(install)}"
    is_again = install.current_attempt > 1 or install.attempts_before
    return f"{f'{number} starts' if is_again else 'installed'} automatically, in the batch at {_exact(install)}"


def _of_end(install: Progress) -> str:
    end = "fails" if install.ends_as == State.FAILED else "is cancelled"
    if install.state == State.INSTALLING:
        return f"it {end} before its next step, unless its site is complete by then"
    when = "once what it waits for is there" if install.state == State.WAITING else "now"
    return f"its worker was lost and may have left a site: an attempt looks for that {when}, and then it {end}"


def _of_letter(install: Progress) -> str:
    if install.mail_state == MailState.FAILED:
        return f"the letter waits for staff; once the cause is fixed: `sitecrew mail resend {install.install_id}`"
    return "the letter goes out automatically" if install.mail_state == MailState.WAITING else ""


def attempts(install: Progress) -> str:
    """`2 of 6`, and how many there were before staff had it tried again."""
    limit = f" of {install.max_attempts}" if install.max_attempts else ""
    earlier = f" ({install.attempts_before} before)" if install.attempts_before else ""
    return f"{install.current_attempt}{limit}{earlier}"


def _deadline(install: Progress) -> str:
    return f"; it fails if that is not so by {exact(install.waiting_until)}" if install.waiting_until else ""


def _exact(install: Progress) -> str:
    return exact(install.begins_at) if install.begins_at else "an unknown time"
