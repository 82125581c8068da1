"""Times and durations for people."""

from datetime import datetime

from foundation.clock import exact

_UNITS = (("d", 86_400, 2), ("h", 3_600, 2), ("m", 60, 1))
"""A unit, its seconds, and the number of it from which it is used."""


def span(seconds: float) -> str:
    """A duration in its largest fitting unit: `45s`, `2m`, `36h`."""
    for name, unit, least in _UNITS:
        if seconds >= unit * least:
            return f"{seconds / unit:.0f}{name}"
    return f"{seconds:.0f}s"


def relative(moment: datetime, now: datetime) -> str:
    """`in 2m`, `3h ago`, `now`."""
    seconds = (moment - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def both(moment: datetime | None, now: datetime) -> str:
    """`2026-01-01T00:00:00Z (3h ago)`; empty for None."""
    return f"{exact(moment)} ({relative(moment, now)})" if moment else ""
