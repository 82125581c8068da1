"""Why order intake can't do what it is asked, or not now."""

from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

INTAKE_CAUSES = Causes(
    {
        "in_progress": Meaning(CauseKind.TRANSIENT, "Nothing to do: another worker has it, or it is waiting its turn."),
        "no_such_order": Meaning(CauseKind.CONFLICT, "Publish the order first, then `sitecrew parked requeue`."),
        "not_yours": Meaning(
            CauseKind.CONFLICT,
            "Send it from the same source and as the same broker user as the order; staff use `sitecrew order`.",
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
            "See `sitecrew order show` for why its account failed, `sitecrew order retry` it, then do this again.",
        ),
        "order_cancelled": Meaning(
            CauseKind.CONFLICT,
            "A cancelled order is never installed: place a new one with its own id.",
        ),
        "already_installed": Meaning(
            CauseKind.CONFLICT,
            "If the site is to go, remove it on the hosting server; Sitecrew deletes no accounts.",
        ),
        "not_configured": Meaning(
            CauseKind.CONFIGURATION,
            "Configure the server and the site type again.",
        ),
        "worker_lost": Meaning(
            CauseKind.TRANSIENT,
            "Find out from the log what ended order intake, and fix it.",
        ),
    }
)
"""Causes of order intake's own, by their codes."""
