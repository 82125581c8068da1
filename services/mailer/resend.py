"""The handlers of staff's commands: send a letter again, or show how it looks."""

from collections.abc import Callable, Mapping
from email.message import EmailMessage
from functools import partial
from typing import Any, Literal

import structlog

from foundation.config.queues import MAILER_COMMANDS, MAILER_INSTALLS
from foundation.errors import Failed
from foundation.handling.commands import refuse_command
from foundation.handling.outcomes import Done, Handler, Handlers, Outcome
from foundation.handling.unit_of_work import UnitOfWork
from foundation.service.description import Description
from foundation.service.replay import Replay
from foundation.service.site_types import SiteTypes
from schemas.alerts import MailAlerts
from schemas.envelope import Event
from schemas.mails import MailPreview, MailResend, PreviewRendered
from schemas.services import ServiceDescribe, ServiceReplay, SiteTypeConfigure
from services.mailer.delivery import put_off
from services.mailer.mails import MAILS, Mail
from services.mailer.rows import MailRows
from services.mailer.telling import tell

_LARGEST = 100_000
"""Bytes of an HTML part that goes into a message."""

_log = structlog.get_logger(__name__)


Render = Callable[[Mail], EmailMessage]
"""Returns how a mail looks, with its passwords masked. Raises Failed."""


def commands(site_types: SiteTypes, render: Render, alert: Handler, facts: Mapping[str, Any]) -> Handlers:
    """Return the handlers. `alert` is that of `mail.alerts`; `facts` are the settings that `service.described`
    reports."""
    return {
        MailResend: resend,
        MailAlerts: alert,
        MailPreview: partial(preview, render),
        SiteTypeConfigure: site_types.configure,
        ServiceDescribe: Description("mailer", lambda _uow: facts).answer,
        ServiceReplay: Replay("mailer", MAILER_COMMANDS, MAILS, tell).answer,
    }


def resend(uow: UnitOfWork[MailRows], event: Event[MailResend]) -> Outcome:
    """Have the install's mail sent once more, with all its attempts ahead of it."""
    mail = uow.rows.mails.get(event.data.install_id)
    if mail is None:
        return _refuse_unknown(uow, event)
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


def preview(render: Render, uow: UnitOfWork[MailRows], event: Event[MailPreview]) -> Outcome:
    """Tell how the install's mail looks."""
    mail = uow.rows.mails.get(event.data.install_id)
    if mail is None:
        return _refuse_unknown(uow, event)
    try:
        message = render(mail)
    except Failed as failure:
        return refuse_command(uow, event, mail.order_id, failure.cause.detail, failure.cause.remedy)
    text, html = (_part(message, kind) for kind in ("plain", "html"))
    seen = PreviewRendered(
        install_id=mail.install_id,
        order_id=mail.order_id,
        generation=mail.generation,
        recipient=mail.recipient,
        subject=str(message["subject"]),
        text=text or "",
        html=html if html and len(html.encode()) <= _LARGEST else None,
    )
    uow.emit(seen, mail.order_id, event)
    return Done()


def _part(message: EmailMessage, kind: Literal["plain", "html"]) -> str | None:
    part = message.get_body((kind,))
    return str(part.get_content()) if part else None


def _refuse_unknown(uow: UnitOfWork[MailRows], event: Event[Any]) -> Outcome:
    remedy = "`sitecrew install show` shows what it is waiting for"
    return refuse_command(uow, event, None, "it has no letter, or is not installed", remedy, code="no_such_letter")
