"""A mail server that gives scripted answers on any number of connections, and records what it received."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = str | None | Callable[[str], str | None]
"""The answer to a command; None hangs up. A function is called with the whole line."""

POLITE: dict[str, Answer] = {
    "EHLO": "250 relay.example",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "DATA": "354 go on",
    "END": "250 2.0.0 queued",
    "RSET": "250 2.0.0 ok",
    "NOOP": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


@dataclass
class Relay:
    """`heard` holds the commands of each connection, `letters` the accepted messages, byte for byte."""

    port: int
    answers: dict[str, Answer]
    greeting: str = "220 relay.example"
    heard: list[list[str]] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)

    def commands(self) -> list[str]:
        """The first words of all commands, over all connections."""
        return [line.partition(" ")[0].upper() for lines in self.heard for line in lines]

    def converse(self, connection: socket.socket) -> None:
        lines: list[str] = []
        self.heard.append(lines)
        with connection, connection.makefile("rwb", buffering=0) as wire, suppress(OSError):
            wire.write(f"{self.greeting}\r\n".encode())
            while raw := wire.readline():
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                lines.append(line)
                answer = self._answer(line)
                if answer is None:
                    return
                wire.write(f"{answer}\r\n".encode())
                if answer.startswith("354"):
                    letter = b""
                    while not (letter.endswith(b"\r\n.\r\n") or not (raw := wire.readline())):
                        letter += raw
                    answer = self._answer("END")
                    if answer is None:
                        return
                    if answer.startswith("250"):
                        self.letters.append(letter)
                    wire.write(f"{answer}\r\n".encode())
                if answer.startswith(("221", "421")):
                    return

    def _answer(self, line: str) -> str | None:
        answer = self.answers.get(line.partition(" ")[0].upper(), "500 5.5.1 unknown command")
        return answer(line) if callable(answer) else answer


@contextmanager
def relay(
    greeting: str = "220 relay.example", answers: Mapping[str, Answer] | None = None, **more: Answer
) -> Iterator[Relay]:
    """Run a server with answers by a command's first word in capitals; `END` is the answer to a whole message."""
    scripted = {**POLITE, **(answers or {}), **more}
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        opened = Relay(listener.getsockname()[1], scripted, greeting)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connections.append(listener.accept()[0])
                    threads.append(threading.Thread(target=opened.converse, args=(connections[-1],)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield opened
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def once(first: str | None, then: str) -> Callable[[str], str | None]:
    """Return one answer the first time, and another one every time after."""
    answers = iter([first])
    return lambda _line: next(answers, then)
