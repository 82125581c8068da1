"""The time, as something that is handed in, so that a test can hold it still."""

from collections.abc import Callable
from datetime import UTC, datetime

Now = Callable[[], datetime]
"""The current time, aware, in UTC."""


def utc_now() -> datetime:
    return datetime.now(UTC)
