"""What the services' own rows tell of orders, installs and emails."""

from services.installer.installs import Install
from services.installer.states import MailState
from services.installer.states import State as InstallState
from services.mailer.mails import Mail
from services.mailer.states import State
from services.mailer.upcoming import after_failure
from services.order_intake.orders import Order
from services.order_intake.upcoming import what_next
from sitecrew.cli.office.seen import InstallSeen, MailSeen, OrderSeen


def install_of(install: Install) -> InstallSeen:
    """Return what the installer knows of an install."""
    staged, completed = install.staged, install.completed
    login = completed.login if completed else None
    early = install.state != InstallState.INSTALLED and install.mail_state == MailState.WAITING
    return InstallSeen(
        install_id=install.install_id,
        order_id=install.order_id,
        generation=install.generation,
        domain=install.domain,
        site_type=install.site_type,
        server=install.server,
        state=install.state,
        current_attempt=install.current_attempt,
        max_attempts=install.max_attempts,
        attempts_before=install.attempts_before,
        due_at=install.due_at,
        begins_at=install.begins_at if install.state == InstallState.STAGED else None,
        waiting_for=install.waiting_for if install.state == InstallState.WAITING else None,
        waiting_since=install.waiting_since,
        waiting_until=install.waiting_until,
        ends_as=install.ends_as,
        cause=install.cause,
        reason=install.reason,
        mail_state=None if early else install.mail_state,
        mail_cause=install.mail_cause,
        staged_at=install.staged_at,
        started_at=install.started_at,
        finished_at=install.finished_at,
        lease_owner=install.lease_owner,
        lease_until=install.lease_until,
        url=staged.site.url,
        title=staged.site.title,
        username=staged.account.username,
        address=staged.account.address,
        customer=staged.customer,
        application=completed.application if completed else None,
        version=completed.version if completed else None,
        login_url=login.login_url if login else None,
        login_username=login.username if login else None,
        history=install.history.entries,
    )


def order_of(order: Order) -> OrderSeen:
    """Return what order intake knows of an order."""
    account = order.account
    return OrderSeen(
        order_id=order.order_id,
        source=order.source + (f" ({order.user_id})" if order.user_id else ""),
        state=order.state,
        site_type=order.site_type,
        domain=order.domain,
        title=order.title,
        server=order.server,
        username=order.username,
        tries=order.attempt,
        tries_before=order.attempts_before,
        customer=order.customer,
        address=account.address if account else None,
        control_panel=account.control_panel.url if account and account.control_panel else None,
        cause=order.cause,
        next=what_next(order.order_id, order.state, order.attempt, order.cause),
        generation=order.generation,
        install_state=order.install_state,
        cancel_reason=order.cancel_reason,
        priority=order.priority,
        created_at=order.created_at,
        updated_at=order.updated_at,
    )


def mail_of(mail: Mail) -> MailSeen:
    """Return what the mailer knows of an email."""
    completed = mail.completed
    return MailSeen(
        install_id=mail.install_id,
        order_id=completed.order_id,
        recipient=completed.customer.email,
        state=mail.state,
        domain=completed.account.domain,
        attempt=mail.attempt,
        resends=mail.resends,
        created_at=mail.created_at,
        due_at=mail.due_at if mail.state == State.WAITING else None,
        sent_at=mail.sent_at,
        message_id=mail.message_id,
        cause=mail.cause,
        next=after_failure(mail, mail.cause) if mail.state == State.FAILED and mail.cause else "",
        customer=completed.customer,
        site_type=completed.site.site_type,
        url=completed.site.url,
        locale=completed.site.locale,
    )
