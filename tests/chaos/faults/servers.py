"""What can be done to any server of a run."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tests.chaos.system import System

Cause = Callable[[System, str], AbstractContextManager[None]]


class Server(Protocol):
    """A broker, a database server or a web server."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def killed(server: Callable[[System], Server]) -> Cause:
    """It is killed, and started again."""

    @contextmanager
    def cause(system: System, _target: str) -> Iterator[None]:
        server(system).kill()
        yield
        server(system).start()

    return cause


def restarted(server: Callable[[System], Server]) -> Cause:
    """It is ended, and started again."""

    @contextmanager
    def cause(system: System, _target: str) -> Iterator[None]:
        server(system).stop()
        yield
        server(system).start()

    return cause


def stands_still(group: Callable[[System], int]) -> Cause:
    """All processes of its group are stopped for a while."""

    @contextmanager
    def cause(system: System, _target: str) -> Iterator[None]:
        os.killpg(group(system), signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group(system), signal.SIGCONT)

    return cause
