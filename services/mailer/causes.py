"""Why a letter could not be sent, and what an operator does about it: the mailer's table."""

from foundation.causes import Causes, Meaning
from schemas.values import CauseKind

MAIL_CAUSES = Causes(
    {
        "smtp_unreachable": Meaning(
            CauseKind.TRANSIENT,
            "Check that the mail server runs, and that mailer.smtp.host, mailer.smtp.port and mailer.smtp.security are"
            " right.",
        ),
        "smtp_timeout": Meaning(
            CauseKind.TRANSIENT,
            "Check the mail server's load and the network to it. A port that expects TLS at once (465) needs"
            ' mailer.smtp.security = "tls"; a server that is merely slow, a longer mailer.smtp.timeout_seconds.',
        ),
        "smtp_temporary": Meaning(
            CauseKind.TRANSIENT,
            "The mail server asks us to try again later. If it keeps doing so, its log says why.",
        ),
        "smtp_limit": Meaning(
            CauseKind.TRANSIENT,
            "The mail server's sending limit is reached: have it raised. It is neither the letter's fault nor the"
            " customer's.",
        ),
        "smtp_interrupted": Meaning(
            CauseKind.TRANSIENT,
            "Check the mail server's log for the reason. It may or may not have accepted the letter; every copy of it"
            " has the same Message-ID.",
        ),
        "smtp_refused": Meaning(
            CauseKind.PERMANENT,
            "The customer's address is not the problem. Fix what the answer complains about: the name we greet with"
            " (mailer.smtp.helo), the sender (mailer.sender), this machine's reputation, or the letter itself; then"
            " `sitecrew mail resend`.",
        ),
        "smtp_auth": Meaning(
            CauseKind.CONFIGURATION,
            "Correct mailer.smtp.username and mailer.smtp.password, and check that the mail server offers a login on"
            " this port, or allow this machine to send without one.",
        ),
        "smtp_tls": Meaning(
            CauseKind.CONFIGURATION,
            "Check mailer.smtp.security (starttls: port 587, tls: 465), that the certificate names mailer.smtp.host,"
            " and mailer.smtp.ca_file if your own authority signed it. Only where the network can be trusted:"
            ' mailer.smtp.security = "none".',
        ),
        "recipient_refused": Meaning(
            CauseKind.PERMANENT,
            "Ask the customer for another address, then `sitecrew mail resend INSTALL --to ADDRESS`.",
        ),
        "recipient_full": Meaning(
            CauseKind.TRANSIENT,
            "Ask the customer to make room in the mailbox, or for another address: `sitecrew mail resend INSTALL"
            " --to ADDRESS`.",
        ),
        "letters_limit": Meaning(
            CauseKind.CAPACITY,
            "Check whether this customer's orders are genuine (`sitecrew order list --customer ADDRESS`); raise"
            " limits.letters_per_hour if they are.",
        ),
        "template_broken": Meaning(
            CauseKind.CONFIGURATION,
            "Correct that template, or remove it to use ours; see the result with `sitecrew mail preview`.",
        ),
        "wrong_key": Meaning(
            CauseKind.CONFIGURATION,
            "Give the mailer the private key that opens this: as keys.private, or in keys.previous if the pair"
            " has been changed since.",
        ),
        "worker_lost": Meaning(
            CauseKind.TRANSIENT,
            "Find out from the log what ended the mailer. The customer may have received the letter, even repeatedly.",
        ),
        "stopping": Meaning(
            CauseKind.TRANSIENT, "Nothing to do: the mailer was told to stop, and another one sends it."
        ),
    }
)
