"""The handlers of staff's commands: send a letter again."""

from collections.abc import Mapping
from typing import Any

import structlog

from foundation.config.queues import MAILER_COMMANDS, MAILER_INSTALLS
from foundation.handling.commands import refuse_command
from foundation.handling.outcomes import Done, Handlers, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.description import Description
from foundation.service.replay import Replay
from foundation.service.site_types import SiteTypes
from schemas.envelope import Event
from schemas.mails import MailResend
from schemas.services import ServiceDescribe, ServiceReplay, SiteTypeConfigure
from services.mailer.delivery import put_off
from services.mailer.mails import MAILS
from services.mailer.rows import MailRows
from services.mailer.telling import tell

_log = structlog.get_logger(__name__)


def commands(site_types: SiteTypes, facts: Mapping[str, Any] | None = None) -> Handlers:
    """Return the handlers. `facts` are the settings that `service.described` reports."""
    return {
        MailResend: resend,
        SiteTypeConfigure: site_types.configure,
        ServiceDescribe: Description("mailer", lambda _uow: facts or {}).answer,
        ServiceReplay: Replay("mailer", MAILER_COMMANDS, MAILS, tell).answer,
    }


def resend(uow: UnitOfWork[MailRows], event: Event[MailResend]) -> Outcome:
    """Have the install's mail sent once more, with all its attempts ahead of it."""
    mail = uow.rows.mails.get(event.data.install_id)
    if mail is None:
        remedy = "`sitecrew install show` shows what it is waiting for"
        return refuse_command(uow, event, None, "it has no letter, or is not installed", remedy, code="no_such_letter")
    if mail.is_on_its_way:
        remedy = "wait until it is sent or has failed"
        return refuse_command(uow, event, mail.order_id, f"its letter is {mail.state}", remedy)
    if mail.is_outdated(uow.rows.mails.of(mail.order_id)):
        remedy = "resend the letter of the order's latest install: the credentials in this one no longer work"
        return refuse_command(uow, event, mail.order_id, "a newer install of the order has a letter", remedy)
    waiting = put_off(uow, mail.resent(event.data.recipient, uow.now), event)
    uow.redeliver(waiting.completed, MAILER_INSTALLS, waiting.order_id, event)
    _log.info("mail.resend", order_id=waiting.order_id, install_id=waiting.install_id, number=waiting.resends)
    return Done()
