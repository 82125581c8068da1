"""What happens next with a letter, for people: a matter of its state and cause."""

from schemas.values import Cause
from services.mailer.mails import Mail


def after_failure(mail: Mail, cause: Cause) -> str:
    """What becomes of a letter that has failed."""
    return sentence(mail.install_id, mail.attempt, cause)


def sentence(install_id: str, attempts: int, cause: Cause) -> str:
    """The same from what others know of it."""
    if cause.code == "wrong_key":
        return "sent automatically once a mailer has the key for it"
    tries = f"all {attempts} attempts failed; " if attempts > 1 else ""
    return f"{tries}not retried automatically; once the cause is fixed: `sitecrew mail resend {install_id}`"
