"""Events about welcome emails, and the command to resend one. The email itself is never sent over the broker."""

from typing import Annotated

from pydantic import Field

from schemas.installs import Attempt, InstallRef
from schemas.values import Cause, Email, InstallId, Line, Model


class MailSent(InstallRef):
    """The SMTP server accepted the welcome email."""

    recipient: Email
    """Where the email was sent."""
    message_id: str
    """The email's Message-ID header."""
    resends: Annotated[int, Field(ge=0)] = 0
    """How often staff have had it sent again."""


class MailFailed(InstallRef):
    """The welcome email could not be sent, and there will be no further attempt by itself."""

    recipient: Email
    """Where it was to be sent."""
    cause: Cause
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    next: Line | None = None
    """What happens next, for people."""


class MailResend(Model):
    """Command: send an install's welcome email again. Refused while it is being sent."""

    install_id: InstallId
    recipient: Email | None = None
    """Where to send it; the customer's own address if not given."""
