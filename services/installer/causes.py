"""Why an install waits, or has to be taken up again, whatever its type of site."""

from collections.abc import Mapping

from foundation.causes import Causes, Meaning
from foundation.handling.backoff import RetryRule
from schemas.values import CauseKind

INSTALL_CAUSES = Causes(
    {
        "worker_lost": Meaning(
            CauseKind.TRANSIENT,
            "Find out from the installer's log what ended the worker at that time: memory, a kill, or a lost database.",
        ),
        "early": Meaning(CauseKind.TRANSIENT, "Nothing to do: it was delivered before it is due."),
        "given_back": Meaning(CauseKind.TRANSIENT, "Nothing to do: another replica installs it."),
        "account_busy": Meaning(CauseKind.TRANSIENT, "Nothing to do: the other install in this account ends first."),
        "dns_missing": Meaning(
            CauseKind.TRANSIENT,
            "Have the customer point the name in the detail to the server's address.",
        ),
        "tls_missing": Meaning(
            CauseKind.TRANSIENT,
            "Have the web server get a certificate for the name in the detail, or trust its CA with"
            " `servers.<name>.web_ca_file`.",
        ),
        "ending": Meaning(
            CauseKind.TRANSIENT,
            "Nothing to do: the install ends before its next step, or is served already.",
        ),
        "cancelled": Meaning(
            CauseKind.CONFLICT,
            "Nothing to do: it was cancelled, or lost to another worker, and leaves nothing.",
        ),
        "not_staged": Meaning(CauseKind.TRANSIENT, "Nothing to do: the install's own message is on its way."),
    }
)
"""Causes of the installer's own, by their codes."""

RETRY: Mapping[str, RetryRule] = {"verify_failed": RetryRule(attempts=2), "worker_lost": RetryRule(at_once=True)}
"""Causes after which an install is tried otherwise than the settings say."""

RETRIED = frozenset({CauseKind.TRANSIENT, CauseKind.CAPACITY})
"""Kinds of causes after which an install is tried again: a disk that is full for minutes must not cost a site."""
