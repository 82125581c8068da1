"""Letters, as the mailer reports them. The letter itself never travels on the broker."""

from pydantic import EmailStr

from schemas.installs import InstallRef
from schemas.values import Cause


class MailSent(InstallRef):
    """The SMTP server took the welcome letter."""

    recipient: EmailStr
    message_id: str


class MailFailed(InstallRef):
    """The welcome letter could not be sent, and will not be tried again by itself."""

    recipient: EmailStr
    cause: Cause
