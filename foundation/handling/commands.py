"""Saying no to a command of staff."""

from typing import Any

import structlog

from foundation.causes import Causes, Meaning
from foundation.handling.outcomes import Done
from foundation.handling.unit_of_work import UnitOfWork
from schemas.envelope import Event
from schemas.installs import CommandRefused
from schemas.values import CauseKind

COMMANDS = Causes(
    {
        "not_possible": Meaning(CauseKind.CONFLICT, "See `sitecrew order show` for how it stands."),
        "no_such_order": Meaning(CauseKind.CONFLICT, "See `sitecrew order list` for the orders that there are."),
        "no_such_install": Meaning(CauseKind.CONFLICT, "See `sitecrew install list --state all`."),
        "no_such_letter": Meaning(CauseKind.CONFLICT, "See `sitecrew mail list` for the letters that there are."),
    }
)
"""Why a command of staff is not carried out; each refusal has its own advice."""

_log = structlog.get_logger(__name__)


def refuse(
    uow: UnitOfWork,
    event: Event[Any],
    order_id: str | None,
    detail: str,
    remedy: str,
    *,
    code: str = "not_possible",
) -> Done:
    """Tell whoever watches that a command about an install or an order is not carried out, why, and what to do."""
    install_id = getattr(event.data, "install_id", None)
    cause = COMMANDS.cause(code, f"{install_id or order_id}: {detail}", remedy)
    refused = CommandRefused(command_id=event.id, install_id=install_id, order_id=order_id, cause=cause)
    uow.emit(refused, order_id, event)
    _log.warning("command.refused", install_id=install_id, order_id=order_id, type=event.type, reason=cause.detail)
    return Done()
