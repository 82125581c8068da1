"""Write log lines without ever failing or blocking for long: a line that can't be written is dropped and counted.

A full disk, a pipe whose reader is gone or stuck, a closed descriptor: none of them is a reason to stop a service.
"""

import os
import select
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

_PATIENCE_MS = 2000
"""How long a line waits for a slow reader. After one has waited in vain, none waits until the reader continues."""


class Sink:
    """Wraps a stream for loggers; calls `dropped` for each line that is lost. Thread-safe."""

    def __init__(self, stream: TextIO | None, dropped: Callable[[], object] = lambda: None) -> None:
        self._stream = stream
        self._dropped = dropped
        self._file, self._at_once = _descriptor(stream)
        self._lock = threading.Lock()
        self._torn = False
        """Whether the last line was written only in part."""
        self.works = True
        """Whether the last line could be written."""
        self._lost = 0
        """Number of dropped lines that have not been reported yet."""

    def write(self, text: str) -> None:
        try:
            with self._lock:
                self._write(text)
                self.works = True
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.drop()

    def flush(self) -> None:
        """Do nothing: lines are not buffered."""

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def drop(self) -> None:
        """Count a line that could not be written or formatted."""
        with self._lock:
            self.works = False
            self._lost += 1
        self._dropped()

    def owed(self) -> int:
        """Return how many lines were lost before writing worked again, and reset the count."""
        with self._lock:
            lost = self._lost if self.works else 0
            self._lost -= lost
            return lost

    def owe(self, lines: int) -> None:
        """Put back a count from `owed` that could not be logged after all."""
        with self._lock:
            self._lost += lines

    def _write(self, text: str) -> None:
        if self._stream is None or self._stream.closed:  # then its number may be another file's by now
            raise OSError("standard output is closed")
        if self._file is None:
            self._stream.write(text)
            self._stream.flush()
            return
        # Bypass the stream: it would buffer what it could not write, and fail again when the process exits.
        left = ("\n" * self._torn + text).encode(errors="backslashreplace")
        while left:
            self._wait(self._file)
            left = left[os.write(self._file, left[: self._at_once]) :]
            self._torn = bool(left)

    def _wait(self, file: int) -> None:
        if self._at_once is None:
            return
        poll = select.poll()
        poll.register(file, select.POLLOUT)
        if not poll.poll(_PATIENCE_MS if self.works else 0):
            raise TimeoutError("the reader is stuck")


def open_standard_streams() -> None:
    """Open /dev/null for each of standard input, output and error that is closed. Otherwise the next file or socket to
    be opened would take its number, and receive what is written to it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def _descriptor(stream: TextIO | None) -> tuple[int | None, int | None]:
    """Return the file descriptor, and how many bytes it accepts without blocking once it is ready (None: any)."""
    try:
        number = stream.fileno() if stream is not None else None
        whole = number is None or stat.S_ISREG(os.fstat(number).st_mode)
    except (OSError, ValueError):  # in memory, or closed
        return None, None
    return number, None if whole else select.PIPE_BUF  # pipe(7)
