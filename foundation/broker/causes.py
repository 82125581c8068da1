"""Causes of messages that no service can handle."""

from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

_CORRECT = Meaning(CauseKind.PERMANENT, "Correct the field named in the detail at the sender, and publish it again.")
_RENAME = Meaning(CauseKind.PERMANENT, "Give each event an id of its own at the sender, and publish it again.")
_REQUEUE = Meaning(
    CauseKind.PERMANENT,
    "Nothing at the sender. Find out from the service's log what ended it or its connection, fix that, then"
    " `sitecrew parked requeue`.",
)
_POLICY = Meaning(
    CauseKind.CONFIGURATION,
    "Take the broker's policy off Sitecrew's queues (`sitecrew topology check` names it), then"
    " `sitecrew parked requeue`.",
)

MESSAGE_CAUSES = Causes(
    {
        "too_large": _CORRECT,
        "too_deep": _CORRECT,
        "not_json": _CORRECT,
        "charset": _CORRECT,
        "not_an_event": _CORRECT,
        "no_type": _CORRECT,
        "unknown_type": _CORRECT,
        "unknown_version": _CORRECT,
        "invalid": _CORRECT,
        "misdirected": _CORRECT,
        "wrong_exchange": _CORRECT,
        "routing_key_mismatch": _CORRECT,
        "id_conflict": _RENAME,
        "delivery_limit": _REQUEUE,
        "expired": _POLICY,
        "maxlen": _POLICY,
        "unexpected": Meaning(
            CauseKind.TRANSIENT, "Look for `unexpected` in the service's log at this time, and report it."
        ),
    }
)
"""By the code that stands beside a parked message, and in `order.rejected`."""
