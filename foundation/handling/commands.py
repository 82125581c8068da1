"""Refuse commands of staff that cannot be carried out."""

from typing import Any

import structlog

from foundation.causes import Causes, Meaning
from foundation.handling.outcomes import Done
from foundation.handling.unit_of_work import UnitOfWork
from schemas.envelope import Event
from schemas.installs import CommandRefused
from schemas.values import CauseKind

COMMAND_CAUSES = Causes(
    {
        "not_possible": Meaning(CauseKind.CONFLICT, "Check its state with `sitecrew order show`."),
        "no_such_order": Meaning(CauseKind.CONFLICT, "List the orders with `sitecrew order list`."),
        "no_such_install": Meaning(CauseKind.CONFLICT, "List the installs with `sitecrew install list --state all`."),
        "no_such_site_type": Meaning(CauseKind.CONFLICT, "List the site types with `sitecrew site list`."),
        "no_such_server": Meaning(CauseKind.CONFLICT, "List the servers with `sitecrew server list`."),
        "no_such_letter": Meaning(CauseKind.CONFLICT, "List the mails with `sitecrew mail list`."),
    }
)
"""Why a command of staff is refused; each refusal replaces the remedy with its own."""

_log = structlog.get_logger(__name__)


def refuse_command(
    uow: UnitOfWork,
    event: Event[Any],
    order_id: str | None,
    detail: str,
    remedy: str,
    *,
    code: str = "not_possible",
) -> Done:
    """Publish that a command is refused, why, and what to do instead. `order_id` is the order that it is about, if
    any."""
    install_id = getattr(event.data, "install_id", None)
    about = install_id or order_id
    cause = COMMAND_CAUSES.cause(code, f"{about}: {detail}" if about else detail, remedy)
    refused = CommandRefused(command_id=event.id, install_id=install_id, order_id=order_id, cause=cause)
    uow.emit(refused, order_id, event)
    _log.warning("command.refused", install_id=install_id, order_id=order_id, type=event.type, reason=cause.detail)
    return Done()
