"""Where log lines go. Writing one never fails, and never waits for long: it is dropped, and counted.

A file on a full disk, a pipe whose reader is gone or stands still, a closed descriptor: none of them is a reason to
stop what a service is there for.
"""

import os
import select
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

_PATIENCE_MS = 2000
"""How long a line waits for a reader that is behind. After one that waited in vain, none does until he reads on."""


class Sink:
    """A stream, as loggers use it. `dropped` is called for each line that is lost. Safe to use from several threads."""

    def __init__(self, stream: TextIO | None, dropped: Callable[[], object] = lambda: None) -> None:
        self._stream = stream
        self._dropped = dropped
        self._file, self._at_once = _descriptor(stream)
        self._lock = threading.Lock()
        self._torn = False
        """Whether a line was written in part."""
        self.works = True
        """Whether the last line could be written."""
        self._lost = 0
        """How many lines could not, as far as nobody has been told."""

    def write(self, text: str) -> None:
        try:
            with self._lock:
                self._write(text)
                self.works = True
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.drop()

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def drop(self) -> None:
        """Count a line that could not be written, or not even be made."""
        with self._lock:
            self.works = False
            self._lost += 1
        self._dropped()

    def owed(self) -> int:
        """How many lines were lost before it worked again, to be said once."""
        with self._lock:
            lost = self._lost if self.works else 0
            self._lost -= lost
            return lost

    def owe(self, lines: int) -> None:
        """It could not be said after all."""
        with self._lock:
            self._lost += lines

    def _write(self, text: str) -> None:
        if self._stream is None:
            raise OSError("standard output is closed")
        if self._file is None:
            self._stream.write(text)
            self._stream.flush()
            return
        # Not by the stream: it would keep what it could not write, and fail once more when the process ends.
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
            raise TimeoutError("nobody reads")


def open_standard_streams() -> None:
    """Put /dev/null where the parent left standard input, output or error closed: what is opened next would take
    their place, and get what is written to them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _descriptor(stream: TextIO | None) -> tuple[int | None, int | None]:
    """The file's number, and how many bytes it takes without waiting once it is ready; None: all."""
    try:
        number = stream.fileno() if stream is not None else None
        whole = number is None or stat.S_ISREG(os.fstat(number).st_mode)
    except (OSError, ValueError):  # in memory, or closed
        return None, None
    return number, None if whole else select.PIPE_BUF  # pipe(7)
