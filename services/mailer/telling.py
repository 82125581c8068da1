"""What is told of a mail: the events that its row makes, for those who follow it and for a replay."""

from collections.abc import Iterator
from typing import Any

from foundation.service.replay import Told
from schemas.mails import MailFailed, MailSent, MailSuppressed, MailWaiting
from services.mailer.mails import Mail
from services.mailer.states import State
from services.mailer.upcoming import after_failure


def tell(mail: Mail) -> Iterator[Told]:
    """Yield what tells the mail's whole state. One that is being sent is told of as waiting."""
    match mail.state:
        case State.SENT:
            yield Told(sent(mail), mail.sent_at)
        case State.FAILED:
            yield Told(failed(mail))
        case State.SUPPRESSED:
            yield Told(suppressed(mail))
        case _:
            yield Told(waiting(mail))


def waiting(mail: Mail) -> MailWaiting:
    return MailWaiting(
        **_ref(mail),
        attempt=mail.attempt + (mail.state == State.WAITING),
        max_attempts=mail.max_attempts,
        due_at=mail.due_at,
        cause=mail.cause,
        resends=mail.resends,
    )


def sent(mail: Mail) -> MailSent:
    """All of it was validated when it came in."""
    return MailSent.model_construct(
        **_ref(mail), message_id=mail.message_id or "", resends=mail.resends, attempt=mail.attempt
    )


def failed(mail: Mail) -> MailFailed:
    if mail.cause is None:
        raise ValueError(f"the mail of {mail.install_id} has failed without a cause")
    return MailFailed(
        **_ref(mail),
        cause=mail.cause,
        attempt=mail.attempt,
        max_attempts=mail.max_attempts,
        resends=mail.resends,
        next=after_failure(mail, mail.cause),
    )


def suppressed(mail: Mail) -> MailSuppressed:
    return MailSuppressed(**_ref(mail), reason=mail.reason or "")


def _ref(mail: Mail) -> dict[str, Any]:
    return {
        "install_id": mail.install_id,
        "order_id": mail.order_id,
        "generation": mail.generation,
        "recipient": mail.recipient,
    }
