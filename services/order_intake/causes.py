"""Why order intake can't do what it is asked, or not now."""

from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

INTAKE_CAUSES = Causes(
    {
        "in_progress": Meaning(CauseKind.TRANSIENT, "Nothing to do: another worker is at it, or it waits its turn."),
        "no_such_order": Meaning(CauseKind.CONFLICT, "Publish the order first, then `sitecrew parked requeue`."),
        "not_yours": Meaning(
            CauseKind.CONFLICT,
            "Send it with the source, and as the broker's user, that placed the order; staff use `sitecrew order`.",
        ),
        "order_conflict": Meaning(
            CauseKind.CONFLICT,
            "Give every order an id of its own. An unchanged order may be sent again by whoever placed it.",
        ),
        "invalid_order": Meaning(
            CauseKind.CONFLICT,
            "Correct the field at the producer, or configure what it names, then `sitecrew parked requeue`.",
        ),
        "domain_conflict": Meaning(
            CauseKind.CONFLICT,
            "Order another domain, or have staff amend the other order if both are one customer's;"
            " `domains.allow_nested` sells such names.",
        ),
        "too_many_reinstalls": Meaning(
            CauseKind.CONFLICT,
            "Wait an hour, raise `limits.reinstalls_per_hour`, or have staff do it: `sitecrew order reinstall`.",
        ),
        "order_failed": Meaning(
            CauseKind.CONFLICT,
            "See `sitecrew parked list` for why its account failed; requeue the order, then this.",
        ),
        "order_cancelled": Meaning(
            CauseKind.CONFLICT,
            "A cancelled order is not installed any more: place a new one, under an id of its own.",
        ),
        "already_installed": Meaning(
            CauseKind.CONFLICT,
            "Remove the site at the hosting server if it is to go; Sitecrew destroys no account.",
        ),
        "not_configured": Meaning(
            CauseKind.CONFIGURATION,
            "Configure the server and the site type again, then `sitecrew parked requeue`.",
        ),
        "worker_lost": Meaning(
            CauseKind.TRANSIENT,
            "Look in the log for what ended order intake, mend it, then `sitecrew parked requeue`.",
        ),
    }
)
"""Causes of order intake's own, by their codes."""
