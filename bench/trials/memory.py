"""Measure each service's memory with a long queue ahead of it, and its start-up time."""

import time
from typing import Any

from bench.lab import clones, lab, order, seconds_to_ready
from bench.machine import progress

TARGETS = {"highest_mib": "<= 120", "growth": "<= 1.1", "slowest_start_seconds": "<= 1.5"}
_QUEUES = {
    "order-intake": ("intake.orders", ""),
    "installer": ("installer.now", "sitecrew.install.staged.v1"),
    "mailer": ("mailer.installs", "sitecrew.install.completed.v1"),
}


def memory(messages: int, seconds: float) -> dict[str, Any]:
    """Run each service by itself for `seconds`, with `messages` in its queue at the start. Raises SitecrewError."""
    figures: dict[str, Any] = {}
    highest, growth, slowest = 0.0, 0.0, 0.0
    with lab() as place:
        types = ("sitecrew.install.staged.v1", "sitecrew.install.completed.v1")
        templates = dict(zip(types, place.captured(*types), strict=True))
        place.watch("nothing.*")
        for name, (queue, type) in _QUEUES.items():
            progress(f"{name}: filling {queue} with {messages} messages ...")
            driver = place.driver()
            filling = (
                clones(templates[type], range(messages), "", queue)
                if type
                else (order(f"m{number}") for number in range(messages))
            )
            driver.run(filling, until=lambda driver=driver: driver.exhausted)  # type: ignore[misc]
            driver.close()
            began = time.monotonic()
            with place.services(name) as running:
                ready = seconds_to_ready(running.port(name), began)
                seen = []
                for _ in range(int(seconds)):
                    time.sleep(1)
                    running.require_running()
                    seen.append(running.rss()[name])
            early, late = max(seen[len(seen) // 5 : len(seen) // 2]), max(seen[len(seen) // 2 :])
            left = place.depth(queue)
            figures[name] = {
                "ready_seconds": round(ready, 2),
                "mib": [round(mib, 1) for mib in seen],
                "messages_left": left,
            }
            highest, growth, slowest = max(highest, *seen), max(growth, late / early), max(slowest, ready)
            place.purge()
    return figures | {
        "highest_mib": round(highest, 1),
        "growth": round(growth, 3),
        "slowest_start_seconds": round(slowest, 2),
    }
