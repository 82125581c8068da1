"""What the projection must show of an order, once it has taken in what was told."""

from collections.abc import Iterable, Iterator, Mapping

from services.api.projection.auditing import Seen
from services.installer.states import State as Install
from services.mailer.states import State as Letter
from sitecrew.audit.cases import Case
from sitecrew.audit.violations import Violation, violation


def check(case: Case) -> Iterator[Violation]:
    """Yield what it shows otherwise than the rows have it."""
    if not case.is_projected:
        return
    yield from _compare("order", {row.order_id: row.state for row in case.orders}, case.seen_orders)
    yield from _compare("install", {row.install_id: row.state for row in case.installs}, case.seen_installs)
    # It shows a letter as waiting from the end of its install on, until it is sent or was not.
    letters = {one.install_id: Letter.WAITING for one in case.installs if one.state == Install.INSTALLED}
    letters |= {row.install_id: Letter.WAITING if row.state == Letter.SENDING else row.state for row in case.mails}
    yield from _compare("letter", letters, case.seen_letters)


def _compare(kind: str, rows: Mapping[str, str], seen: Iterable[Seen]) -> Iterator[Violation]:
    shown = {one.id: one for one in seen}
    for id, state in rows.items():
        one = shown.pop(id, None)
        if one is None:
            yield violation("view_missing", id, f"the {kind} is {state}")
        elif one.state != state:
            yield violation("view_outdated", id, f"the {kind} is {state}, and shown as {one.state or 'nothing yet'}")
    for id, one in shown.items():
        yield violation("view_of_nothing", id, f"the {kind} is shown as {one.state or 'nothing yet'}")
