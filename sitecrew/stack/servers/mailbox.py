"""A mail server that stores what it receives: for a stack on one machine, and for tests that need it to misbehave."""

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default as modern
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session

Stage = Literal["ehlo", "mail", "rcpt", "data", "stored"]
"""The stage of a conversation: at `data` the message has arrived but is not stored yet, at `stored` it is stored but
not acknowledged."""

Behave = Callable[[Stage, Envelope], str | None]
"""Asked at each stage, in the mailbox's own thread: it must not wait. None lets things take their course; a string
is the answer to give instead (`451 4.7.1 come back later`), or `HANG` or `CUT`."""

HANG: Final = "hang"
"""Never answer, until the other side gives up."""

CUT: Final = "cut"
"""Drop the connection without a word."""

_FOREIGN = re.compile(r"[^A-Za-z0-9@+_-]+")


@dataclass(frozen=True)
class Received:
    """One received message: its file and its envelope."""

    path: Path
    sender: str
    recipients: tuple[str, ...]

    def message(self) -> EmailMessage:
        """Read and parse the file."""
        return read_message(self.path)


def read_message(eml: Path) -> EmailMessage:
    """The message in an `.eml` file. Raises OSError if it cannot be read."""
    return message_from_bytes(eml.read_bytes(), policy=modern)


class Mailbox:
    """Listens while it is entered, and stores every message, byte for byte, as `<sequence>-<recipient>.eml`.

    Files appear whole or not at all, are for their owner only (letters hold passwords), and are numbered on from
    what the directory already holds; give each mailbox a directory of its own. `port` 0 takes a free one, to be
    read from `port` once entered. `tls` speaks TLS from the first byte; `options` go to `aiosmtpd.smtp.SMTP`
    (`tls_context`, `authenticator`, ...). `behave` may be replaced at any time.

    Entering raises OSError if the address cannot be listened on.
    """

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        behave: Behave | None = None,
        tls: ssl.SSLContext | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory, self.host, self.port, self.behave = directory, host, port, behave
        names = {"hostname": "mailbox.localhost", "ident": "Sitecrew mailbox", "enable_SMTPUTF8": True}
        self._tls, self._options = tls, {**names, **(options or {})}
        self._received: list[Received] = []
        self._arrival = threading.Condition()
        self._sequence = 0
        self._listening: Future[int] = Future()
        self._stop: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="mailbox", daemon=True)

    def __enter__(self) -> Self:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = (path.name.partition("-")[0] for path in self.directory.glob("*.eml"))
        self._sequence = max((int(number) for number in numbers if number.isdecimal()), default=0)
        self._thread.start()
        self.port = self._listening.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()

    def messages(self) -> list[Received]:
        """The messages received since the mailbox was opened, in order."""
        with self._arrival:
            return list(self._received)

    def wait_for(self, wanted: int | Callable[[list[Received]], bool], timeout: float = 10.0) -> list[Received]:
        """Wait until there are `wanted` messages, or until the function `wanted` accepts them, and return them.

        A message counts once it is stored, just before it is acknowledged. Raises TimeoutError after `timeout`
        seconds.
        """
        enough = wanted if callable(wanted) else lambda received: len(received) >= wanted
        with self._arrival:
            if not self._arrival.wait_for(lambda: enough(list(self._received)), timeout):
                have = len(self._received)
                raise TimeoutError(f"{have} messages arrived within {timeout:g} seconds, wanted: {wanted}")
            return list(self._received)

    def keep(self, envelope: Envelope) -> None:
        """Store one message and wake those who wait for it."""
        content = envelope.original_content or b""
        self._sequence += 1
        path = self.directory / f"{self._sequence:06d}-{_file_part(envelope.rcpt_tos[0])}.eml"
        draft = self.directory / f".{self._sequence:06d}.draft"
        draft.touch(mode=0o600)
        draft.write_bytes(content)
        draft.rename(path)
        with self._arrival:
            self._received.append(Received(path, envelope.mail_from or "", tuple(envelope.rcpt_tos)))
            self._arrival.notify_all()

    async def _serve(self) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        open_ones: WeakSet[SMTP] = WeakSet()

        def conversation() -> SMTP:
            opened = SMTP(_Conversation(self), loop=loop, **self._options)
            open_ones.add(opened)
            return opened

        try:
            server = await loop.create_server(conversation, self.host, self.port, ssl=self._tls)
        except OSError as error:
            self._listening.set_exception(error)
            return
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        self._listening.set_result(server.sockets[0].getsockname()[1])
        await stopped.wait()
        server.close()
        for opened in open_ones:  # clients that keep their connection for the next email must notice
            if isinstance(opened.transport, asyncio.Transport):
                opened.transport.abort()
        await asyncio.sleep(0)


class _Conversation:
    """aiosmtpd's handler for one client, with the method names that it requires."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        answer = await self._answer(server, "ehlo", envelope)
        return [answer] if answer else responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from, envelope.mail_options = address, options
        answer = await self._answer(server, "mail", envelope)
        if answer:
            envelope.mail_from = None
        return answer or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        answer = await self._answer(server, "rcpt", envelope)
        if answer:
            envelope.rcpt_tos.remove(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await self._answer(server, "data", envelope)
        if answer:
            return answer
        try:
            self._mailbox.keep(envelope)
        except OSError as error:
            return f"452 4.3.1 cannot store it: {error.strerror}"
        return await self._answer(server, "stored", envelope) or "250 OK, kept"

    async def _answer(self, server: SMTP, stage: Stage, envelope: Envelope) -> str | None:
        behave = self._mailbox.behave
        answer = behave(stage, envelope) if behave else None
        if answer == CUT and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        if answer in (HANG, CUT):
            await asyncio.Event().wait()  # until the connection is lost, or the mailbox closed
        return answer


def _file_part(recipient: str) -> str:
    """A recipient as part of a file name: no separators, no dots in a row, no more than 80 characters."""
    return ".".join(_FOREIGN.sub("_", part) for part in recipient.split(".") if part)[:80] or "nobody"
