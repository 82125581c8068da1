"""What staff can ask for: who may, in which states, and what will happen, said before it does."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.installs import InstallCancel, InstallResolve, InstallRetry, TimerPause, TimerResume, TimerRunNow
from schemas.mails import MailPreview, MailResend
from schemas.orders import OrderAmend, OrderCancel, OrderReinstall, OrderRetry
from schemas.servers import ServerPause, ServerResume
from schemas.values import Model
from services.api.access.identity import Role

ORDER, INSTALL, LETTER, TIMER, SERVER = "order", "install", "letter", "timer", "server"

_KEYS: Mapping[str, str] = {ORDER: "order_id", INSTALL: "install_id", LETTER: "install_id", SERVER: "server"}


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing that staff can ask for."""

    name: str
    label: str
    """The button."""
    of: str
    """What it is asked for: an order, an install, a letter, the timer or a server."""
    role: Role
    """Who may ask for one; for several at once, operators and admins."""
    states: Collection[str] = ()
    """In which states it makes sense."""
    effect: str
    """What will happen, as a sentence that follows "Sitecrew will"."""
    command: type[Model]
    fields: Collection[str] = ()
    """What the form asks for."""
    needed: Collection[str] = ()
    """Which of these must be given."""
    alone: bool = False
    """Whether it can be asked for one at a time only."""
    is_risky: bool = False

    def asked(self, id: str, given: Mapping[str, str]) -> Model:
        """Return the command, with what was given in the form's fields. Raises ValidationError."""
        named = {_KEYS[self.of]: id} if self.of in _KEYS else {}
        return self.command.model_validate({**named, **given})


def _all(*actions: Action) -> Mapping[str, Action]:
    return {action.name: action for action in actions}


ACTIONS: Mapping[str, Action] = _all(
    Action(
        name="retry",
        label="Retry",
        of=INSTALL,
        role=Role.SUPPORT,
        states=("failed", "staged", "waiting", "cancelled"),
        effect="stage each install again, with all its attempts; it begins with the next batch.",
        command=InstallRetry,
    ),
    Action(
        name="remove",
        label="Remove",
        of=INSTALL,
        role=Role.SUPPORT,
        states=("staged", "waiting", "installing", "failed"),
        effect="cancel each install: it is not run, or ends before its next step. The account stays. No email is sent.",
        command=InstallCancel,
        fields=("reason",),
        is_risky=True,
    ),
    Action(
        name="resolve",
        label="Mark as resolved",
        of=INSTALL,
        role=Role.SUPPORT,
        states=("failed",),
        effect="take each install off the list of what needs somebody, with your note. Nothing is installed.",
        command=InstallResolve,
        fields=("note",),
        needed=("note",),
    ),
    Action(
        name="preview",
        label="Show the email",
        of=LETTER,
        role=Role.SUPPORT,
        effect="have the mailer render the email as it would be sent now, with its passwords masked. Nothing is sent.",
        command=MailPreview,
        alone=True,
    ),
    Action(
        name="resend",
        label="Send again",
        of=LETTER,
        role=Role.SUPPORT,
        states=("failed", "sent", "suppressed"),
        effect="send the welcome email again to the customer's address. It contains the site's credentials.",
        command=MailResend,
    ),
    Action(
        name="resend-to",
        label="Send to another address",
        of=LETTER,
        role=Role.OPERATOR,
        states=("failed", "sent", "suppressed"),
        effect="send the welcome email to the address that you give. It contains the site's credentials: make "
        "sure that the address is the customer's.",
        command=MailResend,
        fields=("recipient",),
        needed=("recipient",),
        alone=True,
        is_risky=True,
    ),
    Action(
        name="retry-order",
        label="Retry",
        of=ORDER,
        role=Role.SUPPORT,
        states=("failed",),
        effect="try again to create each hosting account, with all its attempts; the install follows by itself.",
        command=OrderRetry,
    ),
    Action(
        name="reinstall",
        label="Re-install",
        of=ORDER,
        role=Role.OPERATOR,
        states=("created",),
        effect="replace the site by a new one. Everything that the customer has put there is deleted, the passwords "
        "change, and a new welcome email is sent.",
        command=OrderReinstall,
        fields=("domain",),
        needed=("domain",),
        alone=True,
        is_risky=True,
    ),
    Action(
        name="cancel-order",
        label="Cancel order",
        of=ORDER,
        role=Role.OPERATOR,
        states=("accepted", "created", "failed"),
        effect="cancel each order and its install, unless the site is installed already.",
        command=OrderCancel,
        fields=("reason",),
        is_risky=True,
    ),
    Action(
        name="amend",
        label="Correct name or address",
        of=ORDER,
        role=Role.OPERATOR,
        effect="use the corrected name and email address for later installs and emails. No email is sent now.",
        command=OrderAmend,
        fields=("name", "email"),
        alone=True,
    ),
    Action(
        name="run-now",
        label="Run now",
        of=TIMER,
        role=Role.OPERATOR,
        effect="start a batch now: all installs that are due begin, without waiting for the next tick.",
        command=TimerRunNow,
    ),
    Action(
        name="pause",
        label="Pause",
        of=TIMER,
        role=Role.OPERATOR,
        effect="begin no batch until somebody resumes the timer. Running installs are finished.",
        command=TimerPause,
        fields=("reason",),
    ),
    Action(
        name="resume",
        label="Resume",
        of=TIMER,
        role=Role.OPERATOR,
        effect="begin batches again, at the next tick.",
        command=TimerResume,
    ),
    Action(
        name="pause-server",
        label="Pause",
        of=SERVER,
        role=Role.OPERATOR,
        states=("closed", "open", "half-open"),
        effect="begin no install and create no account on the server until somebody resumes it. What runs is finished.",
        command=ServerPause,
        fields=("reason",),
    ),
    Action(
        name="resume-server",
        label="Resume",
        of=SERVER,
        role=Role.OPERATOR,
        states=("paused", "open", "half-open"),
        effect="begin installs on the server again.",
        command=ServerResume,
    ),
)

DIRECT = frozenset({"retry", "retry-order", "preview", "run-now", "resume", "resume-server"})
"""What is asked for by its button, without a page before it, if it is for one."""


def offered(of: str, state: str, role: Role) -> list[Action]:
    """Return what somebody may ask for something in a state."""
    return [it for it in ACTIONS.values() if it.of == of and role.includes(it.role) and _fits(it, state)]


def _fits(action: Action, state: str) -> bool:
    return not action.states or state in action.states


def row_of(of: str, view: Any) -> tuple[str, str, str]:
    """Return what a page says of something: its id, its state, and what people know it by."""
    if of == SERVER:
        return view.name, view.state, view.name
    id = view.order_id if of == ORDER else view.install_id
    known_by = getattr(view, "domain", None) or getattr(view, "recipient", None) or view.order_id
    return id, view.state, known_by
