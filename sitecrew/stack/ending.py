"""Stopping on signals, while much is starting or running."""

import os
import signal
import sys
from types import FrameType


def interrupt_on_signals() -> None:
    """Make the first SIGTERM or Ctrl-C raise KeyboardInterrupt in the main thread, so that everything is stopped in
    order. The second one ends us at once, and all children with us, through their leash."""
    told: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if told:
            sys.stderr.write("killed, and everything with it\n")
            sys.stderr.flush()
            os._exit(128 + number)
        told.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
