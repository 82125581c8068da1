"""What people see of orders, installs and emails: in the services' rows, and in the projection, in the same words."""

from collections import Counter
from typing import Any

from foundation.store import Store
from foundation.store.records import Records
from services.api.projection import numbers, views
from services.api.projection.views import InstallView, LetterView, OrderView
from services.installer.installs import INSTALLS, Install
from services.installer.states import State
from services.mailer.mails import MAILS, Mail
from services.order_intake.orders import ORDERS, Order
from tests.support.house import House

Facts = dict[str, dict[str, object]]

_ALL = 10_000


def rows_of(house: House) -> Facts:
    """What the services' own rows say."""
    return rows_in(house.intake.store, house.installing.store, house.mailer.store)


def rows_in(intake: Store, installing: Store, mailer: Store) -> Facts:
    found: Facts = {order.order_id: _of_order(order) for order in every(intake, ORDERS)}
    found |= {f"install {install.install_id}": _of_install(install) for install in every(installing, INSTALLS)}
    return found | {f"letter {mail.install_id}": _of_mail(mail) for mail in every(mailer, MAILS)}


def seen_in(api: Store) -> Facts:
    """What the projection shows. The numbers that it keeps must agree at any time."""
    with api.reading() as connection:
        kept = numbers.counts(connection)
        seen = {of: records.page(connection, None, _ALL) for of, records in views.RECORDS.items()}
    for of, found in seen.items():
        assert kept[of] == Counter(view.state for view in found), of
    facts: Facts = {order.order_id: _of_order_view(order) for order in seen[views.ORDER]}
    facts |= {f"install {view.install_id}": _of_install_view(view) for view in seen[views.INSTALL]}
    return facts | {f"letter {view.install_id}": _of_letter_view(view) for view in seen[views.LETTER]}


def every(store: Store, records: Records[Any]) -> list[Any]:
    with store.reading() as connection:
        return records.page(connection, None, _ALL)


def _facts(row: object, *names: str) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def _of_order(order: Order) -> dict[str, object]:
    seen = _facts(order, "state", "cause", "site_type", "domain", "server", "username")
    seen |= {"name": order.customer.name, "email": order.customer.email, "placed_at": order.created_at}
    seen |= {"placed_by": order.source, "address": order.account.address if order.account else None}
    return seen | {"reason": order.cancel_reason if order.state == "cancelled" else None}


def _of_order_view(order: OrderView) -> dict[str, object]:
    seen = _facts(order, "state", "cause", "site_type", "domain", "server", "username", "reason", "address")
    seen |= {"name": order.customer_name, "email": order.customer_email}
    return seen | _facts(order, "placed_at", "placed_by")


def _of_install(install: Install) -> dict[str, object]:
    seen = _facts(install, "state", "reason", "site_type", "domain", "server", "finished_at")
    tried = install.state not in (State.CANCELLED, State.RESOLVED)
    more = {"cause": install.cause, "attempt": install.current_attempt} if tried else {}
    return seen | more | {"username": install.staged.account.username}


def _of_install_view(install: InstallView) -> dict[str, object]:
    seen = _facts(install, "state", "reason", "site_type", "domain", "server", "finished_at", "username")
    tried = install.state not in ("cancelled", "resolved")
    return seen | (_facts(install, "cause", "attempt") if tried else {})


def _of_mail(mail: Mail) -> dict[str, object]:
    seen = _facts(mail, "state", "cause", "reason", "recipient", "resends")
    sent = mail.state == "sent"  # one that is sent again has been sent before
    return seen | {"message_id": mail.message_id if sent else None, "sent_at": mail.sent_at if sent else None}


def _of_letter_view(letter: LetterView) -> dict[str, object]:
    return _facts(letter, "state", "cause", "reason", "recipient", "resends", "message_id", "sent_at")
