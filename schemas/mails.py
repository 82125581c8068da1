"""Letters, as the mailer reports them. The letter itself never travels on the broker."""

from typing import Annotated

from pydantic import Field

from schemas.installs import Attempt, InstallRef
from schemas.values import Cause, Email, InstallId, Line, Model


class MailSent(InstallRef):
    """The SMTP server took the welcome letter."""

    recipient: Email
    """Where the letter went."""
    message_id: str
    """The letter's Message-ID header."""
    resends: Annotated[int, Field(ge=0)] = 0
    """How often staff had it sent again before."""


class MailFailed(InstallRef):
    """The welcome letter could not be sent, and will not be tried again by itself."""

    recipient: Email
    """Where it was to go."""
    cause: Cause
    max_attempts: Attempt | None = None
    """How many attempts there were to be at most."""
    next: Line | None = None
    """What happens next, for people."""


class MailResend(Model):
    """Command: send an install's welcome letter again. Refused while it is on its way."""

    install_id: InstallId
    recipient: Email | None = None
    """Where to, if not to the customer's address as it was ordered."""
