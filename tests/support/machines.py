"""Settings of state machines: a few examples in the suite, as many as somebody wants otherwise."""

import os

from hypothesis import HealthCheck, settings

_TIMES = int(os.environ.get("TEST_EXAMPLES", "1"))
"""How many times as many examples to try; see docs/testing.md."""


def of_machine(examples: int, steps: int) -> settings:
    """Return the settings for so many examples of at most so many steps."""
    return settings(
        max_examples=examples * _TIMES,
        stateful_step_count=steps,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        report_multiple_bugs=False,
        derandomize=_TIMES == 1,
    )
