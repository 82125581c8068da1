"""One conversation with a mail server."""

import hmac
import smtplib
import socket
import ssl
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import Any

from services.mailer.smtp.deadline import Deadline

_ANSWER = 64_000
"""Bytes that one answer may have; RFC 5321 allows 512 a line, and an EHLO has some thirty lines."""
_TO_LEAVE = 1.0
"""Seconds for the last words."""
_PIECE = 16_384
"""Bytes that are sent or received at once: one record of TLS."""
_CHALLENGES = 5


class Client(smtplib.SMTP):
    """One conversation, at most `deadline` long. What smtplib lacks: a limit for answers, and logins in UTF-8."""

    def __init__(self, name: str, timeout: float, deadline: Deadline) -> None:
        super().__init__(local_hostname=name, timeout=timeout)
        self.deadline = deadline
        self._heard = b""
        """What it has said, and was not looked at yet."""
        self.letters = 0
        self.idle_since = 0.0
        self.in_the_letter = False
        """Whether the server may already have the letter."""

    def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> tuple[int, bytes]:
        """Connect; the server's greeting."""
        self._host = host
        self.sock = socket.create_connection((host, port), self.deadline.within(self.timeout))
        if tls:
            self._encrypt(tls)
        return self.getreply()

    def introduce(self) -> None:
        """EHLO, or HELO to servers that do not know it. Whoever takes leave is not asked twice."""
        code, said = self.ehlo()
        expect((code, said) if code < 500 else self.helo())

    def secure(self, tls: ssl.SSLContext) -> None:
        """STARTTLS. Nothing that was heard before counts afterwards (RFC 3207)."""
        expect(self.docmd("STARTTLS"))
        self._encrypt(tls)
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False

    def _encrypt(self, tls: ssl.SSLContext) -> None:
        self.sock = tls.wrap_socket(self._timed(), server_hostname=self._host, do_handshake_on_connect=False)
        self._heard = b""
        self.sock.do_handshake()

    def starts_afresh(self, deadline: Deadline, patience: float) -> bool:
        """Whether the server goes on with this connection; if not, it is closed."""
        usual, self.timeout = self.timeout, patience
        self.deadline, self.in_the_letter = deadline, False
        try:
            expect(self.rset())
        except (smtplib.SMTPException, OSError):
            self.close()
            return False
        self.timeout = usual
        return True

    def content(self, content: bytes) -> tuple[int, bytes]:
        """The letter itself, its lines ended by CRLF. From here on it is open whether the server has it."""
        self.in_the_letter = True
        self.send(content.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return self.getreply()

    def leave(self) -> None:
        """Whatever was said is said: nothing that happens here can change it."""
        self.deadline = Deadline(_TO_LEAVE)
        with suppress(OSError, smtplib.SMTPException):
            self.docmd("QUIT")
        self.close()

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib's own, but an answer without end is none."""
        lines, room = [], _ANSWER
        while True:
            line = self._line(room)
            room -= len(line)
            if not line or room < 0:
                self.close()
                raise smtplib.SMTPServerDisconnected("its answer does not end" if line else "it closed the connection")
            lines.append(line[4:].strip())
            code = int(line[:3]) if line[:3].isdigit() else -1
            if code < 0 or line[3:4] != b"-":
                return code, b"\n".join(lines)

    def _line(self, room: int) -> bytes:
        """The next line; what there is of it if it is longer than `room`, or if the connection ends."""
        while b"\n" not in self._heard and len(self._heard) <= room and (more := self._timed().recv(_PIECE)):
            self._heard += more
        line, end, self._heard = self._heard.partition(b"\n")
        return line + end

    def send(self, s: Any) -> None:
        """As smtplib's own, in pieces that each have no more than the time that is left: over TLS, a time-out is one
        for each record."""
        for start in range(0, len(s), _PIECE):
            self._timed()
            super().send(s[start : start + _PIECE])

    def _timed(self) -> socket.socket:
        """The connection, whose next step ends in time."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection was closed before")
        seconds = self.deadline.within(self.timeout)
        if seconds != self.sock.gettimeout():  # setting it is a call of the system
            self.sock.settimeout(seconds)
        return self.sock

    def auth(self, mechanism: str, authobject: Any, *, initial_response_ok: bool = True) -> tuple[int, bytes]:
        """As smtplib's own, in UTF-8 (RFC 4616) where that knows ASCII only."""
        first = authobject() if initial_response_ok else None
        encoded = " " + b64encode(first.encode()).decode() if first is not None else ""
        code, said = self.docmd("AUTH", f"{mechanism}{encoded}")
        self._auth_challenge_count = int(first is not None)
        while code == 334 and self._auth_challenge_count < _CHALLENGES:
            self._auth_challenge_count += 1
            code, said = self.docmd(b64encode(authobject(b64decode(said)).encode()).decode())
        if code in (235, 503):
            return code, said
        raise smtplib.SMTPAuthenticationError(code, said)

    def auth_cram_md5(self, challenge: Any = None) -> Any:
        """The password's keyed digest of the challenge (RFC 2195)."""
        if challenge is None:
            return None
        return f"{self.user} {hmac.new(self.password.encode(), challenge, 'md5').hexdigest()}"


def expect(reply: tuple[int, bytes], wanted: int = 200) -> None:
    """Raises SMTPResponseException for another kind of answer than the `wanted` one."""
    if not wanted <= reply[0] < wanted // 100 * 100 + 100:
        raise smtplib.SMTPResponseException(*reply)
