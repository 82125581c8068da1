"""Children that are started and stopped together."""

import threading
from collections.abc import Callable, Sequence
from typing import Self

from sitecrew.stack.processes import Child, Command, OnLine, first_ended, ignore


class Crew:
    """Children that are started one by one and stopped at the same time, also after an exception."""

    def __init__(self) -> None:
        self.children: list[Child] = []

    def start(self, command: Command, on_line: OnLine = ignore) -> Child:
        """Start one more child."""
        child = Child(command, on_line)
        self.children.append(child)
        child.start()
        return child

    def first_ended(self, seconds: float | None = None) -> Child | None:
        """Wait until a child has ended by itself, for at most `seconds` (None: forever)."""
        return first_ended(self.children, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        side_by_side([child.stop for child in self.children])


def side_by_side(jobs: Sequence[Callable[[], object]]) -> None:
    """Run all jobs at the same time, and raise the first error once all have ended. An interrupt does not wait."""
    errors: list[Exception] = []

    def guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # the main thread must run now and then to handle signals
    if errors:
        raise errors[0]
