"""What must be true of the rows of one order together, once nothing is on its way between the services."""

from collections import Counter
from collections.abc import Iterator

from services.installer.auditing import InstallFacts
from services.installer.states import MailState
from services.installer.states import State as Install
from services.mailer.auditing import MailFacts
from services.mailer.states import State as Letter
from services.order_intake.auditing import OrderFacts
from services.order_intake.states import InstallState
from sitecrew.audit.cases import Case
from sitecrew.audit.rows import INSTALL_ENDS
from sitecrew.audit.violations import Violation, violation

_PENDING = frozenset(Install) - INSTALL_ENDS
_UNSENT = frozenset({Letter.WAITING, Letter.SENDING})

_HEARD = {
    InstallState.NONE: frozenset[Install](),
    InstallState.STAGED: _PENDING,
    InstallState.INSTALLED: frozenset({Install.INSTALLED}),
    InstallState.FAILED: _PENDING | {Install.FAILED, Install.RESOLVED},  # of staff's doings it hears nothing
    InstallState.CANCELLED: frozenset({Install.CANCELLED}),
}
"""What an install can be, by what order intake has heard of it."""
_ANSWERED = {
    MailState.OFF: _UNSENT | {Letter.SUPPRESSED},
    MailState.SENT: _UNSENT | {Letter.SENT},  # one that is sent again waits once more
    MailState.FAILED: _UNSENT | {Letter.FAILED},
    MailState.WAITING: _UNSENT,
}
"""What a letter can be, by what the installer has heard of it."""


def check(case: Case) -> Iterator[Violation]:
    """Yield what is wrong between the rows."""
    yield from _generations(case)
    if case.order is not None:
        yield from _newest(case, case.order)
        yield from _site(case, case.order)
    for install in case.installs:
        if case.order is None or install.generation > case.order.generation:
            detail = f"it is {install.state}; order intake has " + (
                f"{case.order.generation} installs of this order" if case.order else "no such order"
            )
            yield violation("install_without_order", install.install_id, detail, install.order_id)
    yield from _letters(case)


def _generations(case: Case) -> Iterator[Violation]:
    for code, rows in (("install_doubled", case.installs), ("letter_doubled", case.mails)):
        for generation, times in Counter(row.generation for row in rows).items():
            if times > 1:
                ids = ", ".join(sorted(row.install_id for row in rows if row.generation == generation))
                yield violation(code, case.order_id, f"generation {generation}: {ids}")
    if len(running := [one for one in case.installs if one.state == Install.INSTALLING]) > 1:
        detail = " and ".join(one.install_id for one in running)
        yield violation("installs_side_by_side", running[0].install_id, detail, case.order_id)
    for install in case.installs:
        if install.replaced is not None and install.replaced > install.generation:
            detail = f"it was completed when generation {install.replaced} was installed already"
            yield violation("generations_reversed", install.install_id, detail, case.order_id)


def _newest(case: Case, order: OrderFacts) -> Iterator[Violation]:
    """What order intake has heard of the newest install."""
    heard, install = order.install_state, case.newest
    if order.generation == 0:
        return
    if install is None:
        if order.check_at is None or heard != InstallState.STAGED:
            detail = f"generation {order.generation}, of which order intake has heard: {heard}"
            yield violation("install_missing", case.order_id, detail)
    elif install.state not in _HEARD[heard]:
        detail = f"it is {install.state}; order intake has heard: {heard}"
        yield violation("install_unheard", install.install_id, detail, case.order_id)


def _site(case: Case, order: OrderFacts) -> Iterator[Violation]:
    installed = [one for one in case.installs if one.state == Install.INSTALLED]
    if order.has_site and not installed:
        states = ", ".join(f"{one.install_id} is {one.state}" for one in case.installs) or "it has no installs"
        yield violation("site_without_install", case.order_id, states)
    if installed and not order.has_site and installed[-1] is not case.newest:
        detail = f"it is {installed[-1].state}; order intake knows of no site"
        yield violation("install_unheard", installed[-1].install_id, detail, case.order_id)


def _letters(case: Case) -> Iterator[Violation]:
    mails = {mail.install_id: mail for mail in case.mails}
    for install in case.installs:
        if install.state == Install.INSTALLED:
            yield from _letter(case, install, mails.pop(install.install_id, None))
    for mail in mails.values():
        yield violation("letter_without_install", mail.install_id, f"it is {mail.state}", mail.order_id)


def _letter(case: Case, install: InstallFacts, mail: MailFacts | None) -> Iterator[Violation]:
    """The letter of an installed site. While the installer waits for news, it asks again; not for ever, and not for the
    letter of a site that was replaced."""
    heard, asks = install.mail_state, install.check_at is not None
    if heard == MailState.WAITING and (asks or case.is_replaced(install)):
        return
    if mail is None:
        if heard != MailState.OFF:
            detail = f"the installer has heard of it: {heard}"
            yield violation("letter_missing", install.install_id, detail, case.order_id)
    elif mail.state not in _ANSWERED[heard]:
        detail = f"it is {mail.state}; the installer has heard: {heard}"
        yield violation("letter_unheard", install.install_id, detail, case.order_id)
