"""The api as a process of its own, which takes what lies about sooner than a real one:

python -m tests.support.api_replica
"""

import sys
from datetime import timedelta

from foundation.service import lanes
from foundation.service.process import run_alone
from services.api import __main__ as api
from services.api.webhooks import deliveries
from tests.support.replica import run  # has shortened what all services wait for

if __name__ == "__main__":
    deliveries.LEASE = timedelta(seconds=5)
    lanes.Periodic.run = run  # type: ignore[method-assign]
    sys.exit(run_alone(api.main))
