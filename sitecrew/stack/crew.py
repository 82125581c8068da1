"""Children that belong together."""

from contextlib import ExitStack
from typing import Self

from sitecrew.stack.processes import Child, Command, OnLine, first_ended, ignore


class Crew:
    """Children started one after the other and stopped in reverse order, also when an exception passes."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._stack = ExitStack()

    def start(self, command: Command, on_line: OnLine = ignore) -> Child:
        """Starts one more child."""
        child = self._stack.enter_context(Child(command, on_line))
        self.children.append(child)
        return child

    def first_ended(self, seconds: float | None = None) -> Child | None:
        """Waits until a child has ended by itself, at most so long (None: for ever)."""
        return first_ended(self.children, seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
