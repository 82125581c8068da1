"""One replica of a service, as shipped, but for two things: it waits less, and its clock can be moved.

    python -m tests.chaos.replica order-intake|installer|mailer|api

CHAOS_CLOCK names a file with the seconds by which its clock is ahead.
"""

import os
import sys
from datetime import UTC, datetime, timedelta, tzinfo
from importlib import import_module
from pathlib import Path
from typing import Any

from foundation.handling.backoff import Backoff, Retries
from foundation.service import lanes
from foundation.service.process import run_alone

_CLOCK = Path(os.environ["CHAOS_CLOCK"])
_FASTER = 10
"""How many times as often a sweep runs."""


class _Moved(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = UTC) -> Any:
        return datetime.now(tz) + timedelta(seconds=float(_CLOCK.read_text() or 0))


def _set(module: str, **values: object) -> None:
    """Replace constants of a module. Call it before those are imported that take them from there."""
    vars(import_module(module)).update(values)


def _sooner(service: str) -> None:
    """Shorten what is waited for, and give attempts that outlast any fault."""
    often: Any = lanes.Periodic.run
    lanes.Periodic.run = lambda self, stop: often(lanes.Periodic(self.name, self.seconds / _FASTER, self.do), stop)  # type: ignore[method-assign]
    _set("foundation.clock", datetime=_Moved)
    _set("foundation.handling.relay", _CLAIM=timedelta(seconds=10))
    _set("foundation.handling.unit_of_work", BORN_CLAIMED=timedelta(seconds=5))
    lease, overdue = timedelta(seconds=8), timedelta(seconds=20)
    if service == "order-intake":
        _set("services.order_intake.orders", LEASE=lease, OVERDUE=overdue, MAX_ATTEMPTS=30)
        _set("services.order_intake.creating", RETRIES=Retries(30, Backoff(timedelta(seconds=1), timedelta(seconds=9))))
    elif service == "installer":
        _set("services.installer.installs", OVERDUE=overdue)
    elif service == "mailer":
        _set("services.mailer.mails", LEASE=lease, OVERDUE=lease)


def main(service: str) -> int:
    _sooner(service)
    return run_alone(import_module(f"services.{service.replace('-', '_')}.__main__").main)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
