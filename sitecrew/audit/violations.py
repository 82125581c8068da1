"""What an audit can find: a violation, and the catalogue of their codes, from which docs/audit.md is made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a code stands for."""

    means: str
    remedy: str
    """What to do about it: `{subject}` and `{order}` stand for what it was found about."""


@dataclass(frozen=True)
class Violation:
    """Something that must never be so, and does not mend itself."""

    code: str
    subject: str
    """What it is about: the id of an order or an install, or a name."""
    detail: str
    """What was found."""
    remedy: str
    """What to do about it."""

    @property
    def means(self) -> str:
        return CODES[self.code].means


def violation(code: str, subject: str, detail: str, order: str = "") -> Violation:
    """Return the violation with its code's remedy. Raises KeyError if there is no such code."""
    return Violation(code, subject, detail, CODES[code].remedy.format(subject=subject, order=order or subject))


_BACKUP = "Restore its database from the backup"
_LOST = "If {} has lost it, restore its database from the backup."
_REPORT = "A row can't become so by itself: somebody has changed the database, or it is a bug. Report it with the log"

GROUPS: Mapping[str, Mapping[str, Meaning]] = {
    "Orders": {
        "order_without_account": Meaning(
            "The order counts as created, but its row names no account.", f"{_REPORT}; {_BACKUP.lower()}."
        ),
        "order_without_reason": Meaning(
            "The order has failed or was cancelled, and its row does not say why.", f"{_REPORT}."
        ),
        "order_without_install": Meaning(
            "The order has its account, and no install was ever staged for it.",
            "Run `sitecrew order reinstall {order}`.",
        ),
        "order_abandoned": Meaning(
            "The order was accepted, has neither account nor reason, and no sweep will look at it again.",
            "Have its producer send the order again, unchanged: that continues it.",
        ),
        "order_overdue": Meaning(
            "Order intake should have looked at the order long ago.",
            "See `sitecrew status` whether order intake runs, and its log for `sweep.failed` about this order.",
        ),
        "domain_kept": Meaning(
            "The order will have no site, but it still holds its domain, and no sweep will release it.",
            "If another order needs the domain, take it from the account (`sitecrew order show {order}`).",
        ),
        "server_unheard": Meaning(
            "The server may be used, but order intake has not heard so, and its orders wait.",
            "See `sitecrew status` whether both run: order intake asks every ten minutes. "
            "`sitecrew server resume {subject}` tells it again.",
        ),
    },
    "Installs": {
        "install_missing": Meaning(
            "The order's newest install is unknown to the installer, and will not be announced again.",
            f"{_BACKUP}; or run `sitecrew order reinstall {{order}}`, which replaces the site by a new one.",
        ),
        "install_without_order": Meaning(
            "The installer has an install of which order intake knows nothing.",
            f"{_LOST.format('order intake')} If not, run `sitecrew install cancel {{subject}}`.",
        ),
        "install_doubled": Meaning("Two installs are the same generation of one order.", f"{_REPORT}."),
        "installs_side_by_side": Meaning(
            "Two installs of one order are running at the same time, in the same account.",
            "See `sitecrew install show {subject}`, and stop the installer that does not renew its lease.",
        ),
        "generations_reversed": Meaning(
            "An older install was completed after a newer one, and has replaced the newer site.",
            "Run `sitecrew order reinstall {order}` once the customer has agreed.",
        ),
        "site_without_install": Meaning(
            "The order counts as having a site, but none of its installs is installed.",
            f"{_LOST.format('the installer')} Or run `sitecrew order reinstall {{order}}`.",
        ),
        "install_unheard": Meaning(
            "The install has ended, and order intake has not heard how.",
            "Order intake announces it again, and the installer then tells how it ended: see whether both run "
            "(`sitecrew status`).",
        ),
        "install_without_outcome": Meaning(
            "The install has ended, and its row says neither what was installed nor why not.", f"{_REPORT}."
        ),
        "install_abandoned": Meaning(
            "The install has not ended, and no sweep will look at it again.", "Run `sitecrew install retry {subject}`."
        ),
        "install_overdue": Meaning(
            "The installer should have looked at the install long ago.",
            "See `sitecrew status` whether the installer runs, and its log for `sweep.failed` about this order.",
        ),
    },
    "Letters": {
        "letter_missing": Meaning(
            "The site is installed, but the mailer has no letter for it, and will not be asked again.",
            f"{_LOST.format('the mailer')} Or run `sitecrew order reinstall {{order}}`: the "
            "passwords are sealed in what was lost.",
        ),
        "letter_doubled": Meaning("There are two letters for one generation of an order.", f"{_REPORT}."),
        "letter_without_install": Meaning(
            "The mailer has a letter about a site that, by the installer's rows, is not installed.",
            _LOST.format("the installer"),
        ),
        "letter_unheard": Meaning(
            "The letter has come to an end, and the installer has not heard to which.",
            "Run `sitecrew mail resend {subject}` if it has failed; what it became then is told again.",
        ),
        "letter_without_outcome": Meaning(
            "The letter has come to an end, and its row says neither its Message-ID nor why it was not sent.",
            f"{_REPORT}.",
        ),
        "letter_abandoned": Meaning("The letter was not sent, and no sweep will look at it again.", f"{_REPORT}."),
        "letter_overdue": Meaning(
            "The mailer should have looked at the letter long ago.",
            "See `sitecrew status` whether the mailer runs, and its log for `sweep.failed` about this order.",
        ),
    },
    "The projection": {
        "view_missing": Meaning(
            "The API and the console do not show something that a service has a row of.", "Run `sitecrew api rebuild`."
        ),
        "view_outdated": Meaning(
            "The API and the console show another state than the service's row has.", "Run `sitecrew api rebuild`."
        ),
        "view_of_nothing": Meaning(
            "The API and the console show something that no service has a row of.",
            f"{_LOST.format('the service')} If not, run `sitecrew api rebuild`.",
        ),
    },
    "Messages": {
        "outbox_stuck": Meaning(
            "A message that was decided long ago, and is due, has not been published.",
            "See whether the service runs; if it logs `outbox.kept`, the broker refuses it, or has no queue for it.",
        ),
        "topology_differs": Meaning(
            "An exchange or a queue is missing on the broker, or is not as Sitecrew declares it.",
            "Run `sitecrew topology declare`; what exists with other properties has to be deleted before.",
        ),
        "queue_at_risk": Meaning(
            "A policy of the broker can lose messages, or a queue is on fewer nodes than it could be.",
            "See `sitecrew doctor`, which says how to override the policy, or to grow the queue.",
        ),
        "queue_unconsumed": Meaning(
            "Messages wait in a queue that nobody consumes.",
            "Run the service that the queue's name begins with (`sitecrew status`); see its log if it runs.",
        ),
        "parked_too_long": Meaning(
            "A message was parked, and nobody has dealt with it for a day.",
            "Run `sitecrew parked show {subject}`, then `requeue` or `purge`.",
        ),
    },
    "Hosting servers (with `--servers`)": {
        "account_missing": Meaning(
            "The order has an account, but it does not stand on its server.",
            "Restore it on the server from its backup. If it was removed on purpose, nothing is to be done.",
        ),
        "account_without_order": Meaning(
            "An account stands on the server, and no order is known to have it.",
            f"{_LOST.format('order intake')} If not, have the server's administrator look whose it is.",
        ),
        "account_of_another": Meaning(
            "The account that an order names was created for another one.",
            f"{_REPORT}, and look at both: `sitecrew order show {{order}}`.",
        ),
        "draft_abandoned": Meaning(
            "The creation of an account was interrupted, and left its unfinished home.",
            "The next account that is created on the server removes it.",
        ),
        "site_differs": Meaning(
            "The site in the account is not that of the install which the installer has as the latest.",
            "See `sitecrew install show {subject}`; `sitecrew order reinstall` builds the site anew.",
        ),
        "tree_left": Meaning(
            "A site's tree was built, replaced or thrown away, and never removed.",
            "The account's next install removes it. Until then it only takes room: rm -r {subject}",
        ),
        "database_missing": Meaning(
            "The database of a site is not on the server.", "Restore it on the database server from its backup."
        ),
        "database_left": Meaning(
            "A database that an install has made belongs to no site.",
            "Make sure that nobody uses it, then drop it, and the user of the same name.",
        ),
        "database_user_left": Meaning(
            "The user of a database that is gone is still there.", "Drop the user on the database server."
        ),
    },
}
"""All codes, by what they are about."""

CODES: Mapping[str, Meaning] = {code: meaning for group in GROUPS.values() for code, meaning in group.items()}
