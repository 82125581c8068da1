"""One replica of a service as a process of its own, whose effects are notes in a file:

    python -m tests.support.replica order-intake|installer|mailer FILE

It takes what lies about sooner than a real one, so that a test can kill many of them.
"""

import os
import random
import sys
import time
from datetime import timedelta
from typing import Any

from foundation.handling import relay, unit_of_work
from foundation.service import lanes
from services.mailer import mails
from services.order_intake import orders

_LEASE = timedelta(seconds=5)
_FASTER = 5

# Before those are imported that take them from there.
orders.LEASE = mails.LEASE = mails.OVERDUE = relay._CLAIM = _LEASE
unit_of_work.BORN_CLAIMED = timedelta(seconds=3)

from bench import stages  # noqa: E402
from foundation.hosting import Account, AccountRequest, Server  # noqa: E402
from services.installer.sites import InstalledSite, Job, Step  # noqa: E402
from services.mailer.letter.envelope import Letter  # noqa: E402


def noted(*words: str) -> None:
    """Done, and it takes a moment: a line of the file, whoever is killed meanwhile."""
    time.sleep(random.uniform(0, 0.05))
    file = os.open(sys.argv[2], os.O_APPEND | os.O_WRONLY | os.O_CREAT)
    os.write(file, f"{' '.join(words)}\n".encode())
    os.close(file)
    time.sleep(random.uniform(0, 0.05))


class HostingServer(stages.NoServer):
    def create_account(self, request: AccountRequest) -> Account:
        noted("account", request.marker, request.username)
        return super().create_account(request)


class Site(stages.NoSite):
    def install(self, job: Job, server: Server, step: Step) -> InstalledSite:
        noted("install", job.order_id, str(job.fence))
        return super().install(job, server, step)


class MailServer(stages.NoMailServer):
    def send(self, letter: Letter) -> None:
        noted("mail", letter.recipients[0], letter.message_id)


def run(self: Any, stop: Any, slowly: Any = lanes.Periodic.run) -> None:
    slowly(lanes.Periodic(self.name, self.seconds / _FASTER, self.do), stop)


if __name__ == "__main__":
    lanes.Periodic.run = run  # type: ignore[method-assign]
    stages.NoServer, stages.NoSite, stages.NoMailServer = HostingServer, Site, MailServer  # type: ignore[misc]
    sys.exit(stages.main(sys.argv[1]))
