"""Events about welcome emails, and the command to resend one. The email itself is never sent over the broker."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.installs import InstallRef
from schemas.values import Attempt, Cause, Email, InstallId, Line, Model


class MailWaiting(InstallRef):
    """The welcome email is still to be sent: an attempt failed, a limit holds it back, or staff have it sent again.

    Not sent before the first attempt: `install.completed` says that it is to be sent.
    """

    recipient: Email
    """Where it will be sent."""
    attempt: Attempt = 1
    """The number of the next attempt; the first is 1."""
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    due_at: Moment
    """The earliest time of the next attempt, RFC 3339."""
    cause: Cause | None = None
    """Why it was not sent yet."""
    resends: Annotated[int, Field(ge=0)] = 0
    """How often staff have had it sent again."""


class MailSuppressed(InstallRef):
    """The welcome email will not be sent: its site type sends none, or a newer install of the order has replaced it."""

    recipient: Email
    """Where it would have been sent."""
    reason: Line
    """Why it will not be sent, for people."""


class MailSent(InstallRef):
    """The SMTP server accepted the welcome email."""

    recipient: Email
    """Where the email was sent."""
    message_id: str
    """The email's Message-ID header."""
    resends: Annotated[int, Field(ge=0)] = 0
    """How often staff have had it sent again."""
    attempt: Attempt | None = None
    """The number of the attempt that sent it; the first is 1."""


class MailFailed(InstallRef):
    """The welcome email could not be sent, and there will be no further attempt by itself."""

    recipient: Email
    """Where it was to be sent."""
    cause: Cause
    attempt: Attempt | None = None
    """The number of the last attempt; the first is 1."""
    max_attempts: Attempt | None = None
    """The maximum number of attempts."""
    resends: Annotated[int, Field(ge=0)] | None = None
    """How often staff have had it sent again."""
    next: Line | None = None
    """What happens next, for people."""


class MailResend(Model):
    """Command: send an install's welcome email again. Refused while it is being sent."""

    install_id: InstallId
    recipient: Email | None = None
    """Where to send it; the customer's own address if not given."""


class MailPreview(Model):
    """Command: render an install's welcome email as it would be sent now, with its passwords masked. Nothing is sent.
    Answered by `preview.rendered` or `command.refused`."""

    install_id: InstallId


class PreviewRendered(InstallRef):
    """How an install's welcome email looks. Its passwords are masked."""

    recipient: Email
    """Where it would be sent."""
    subject: str
    """The subject line."""
    text: str
    """The plain text part."""
    html: str | None = None
    """The HTML part; absent if there is none, or if it is too large for a message."""
