"""What must be true of each row by itself, at any moment."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from foundation.clock import exact
from services.installer.states import State as Install
from services.mailer.states import State as Letter
from services.order_intake.auditing import OrderFacts
from services.order_intake.states import OrderState
from sitecrew.audit.cases import Case
from sitecrew.audit.violations import Violation, violation

INSTALL_ENDS = frozenset({Install.INSTALLED, Install.FAILED, Install.RESOLVED, Install.CANCELLED})
LETTER_ENDS = frozenset({Letter.SENT, Letter.FAILED, Letter.SUPPRESSED})


def check(case: Case, due: datetime) -> Iterator[Violation]:
    """Yield what is wrong with the rows. A sweep was to look at those whose `check_at` is before `due`."""
    for order in case.orders:
        yield from _order(order)
        yield from _overdue("order", order, order.order_id, due)
    for install in case.installs:
        yield from _row("install", install, ended=install.state in INSTALL_ENDS)
        yield from _overdue("install", install, install.install_id, due)
    for mail in case.mails:
        yield from _row("letter", mail, ended=mail.state in LETTER_ENDS)
        yield from _overdue("letter", mail, mail.install_id, due)


def _order(order: OrderFacts) -> Iterator[Violation]:
    match order.state:
        case OrderState.ACCEPTED if order.check_at is None:
            yield violation("order_abandoned", order.order_id, "it is accepted, without a time of its next check")
        case OrderState.CREATED if not order.has_account:
            yield violation("order_without_account", order.order_id, "it is created, without an account")
        case OrderState.CREATED if order.generation == 0:
            yield violation("order_without_install", order.order_id, "it is created, without an install")
        case OrderState.FAILED | OrderState.CANCELLED if not order.has_reason:
            yield violation("order_without_reason", order.order_id, f"it is {order.state}, without a reason")
    over = order.state in (OrderState.FAILED, OrderState.CANCELLED)
    if over and order.holds_domain and not order.has_site and order.check_at is None:
        yield violation("domain_kept", order.order_id, f"it is {order.state}, without a time of its next check")


def _row(kind: str, row: Any, *, ended: bool) -> Iterator[Violation]:
    """Check an install or a letter."""
    if ended and not row.has_outcome:
        yield violation(f"{kind}_without_outcome", row.install_id, f"it is {row.state}", row.order_id)
    if not ended and row.check_at is None:
        detail = f"it is {row.state}, without a time of its next check"
        yield violation(f"{kind}_abandoned", row.install_id, detail, row.order_id)


def _overdue(kind: str, row: Any, subject: str, due: datetime) -> Iterator[Violation]:
    if row.check_at is not None and row.check_at < due:
        detail = f"it is {row.state}, and was to be checked at {exact(row.check_at)}"
        yield violation(f"{kind}_overdue", subject, detail, row.order_id)
