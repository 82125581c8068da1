"""Rows as services keep them, for tests of handlers in memory and of tables."""

from datetime import datetime, timedelta

from foundation.telemetry.tracing import Trace
from schemas.installs import InstallStaged
from services.installer.installs import Install


def install_of(staged: InstallStaged, at: datetime) -> Install:
    """An install as it is noted when it is staged."""
    return Install(
        install_id=staged.install_id,
        order_id=staged.order_id,
        generation=staged.generation,
        site_type=staged.site.site_type,
        domain=staged.account.domain,
        server=staged.account.server,
        due_at=staged.due_at,
        check_at=staged.due_at + timedelta(minutes=15),
        staged=staged,
        trace=Trace(),
        staged_at=at,
    )
