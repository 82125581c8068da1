"""The one module that speaks SMTP: hands a finished letter to the mail server, and says what a failure means."""

import re
import smtplib
import ssl
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import getaddresses
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from foundation.addresses import HostPort
from foundation.errors import Failed
from schemas.values import CauseKind

Security = Literal["none", "starttls", "tls"]

_CAUSES: dict[str, tuple[CauseKind, str]] = {
    "smtp_unreachable": (
        CauseKind.TRANSIENT,
        "Check that the mail server runs, and that the host, the port and the security setting are the right ones.",
    ),
    "smtp_timeout": (
        CauseKind.TRANSIENT,
        "Check the mail server's load and the way to it. A port that wants TLS at once (465) needs security = tls.",
    ),
    "smtp_temporary": (
        CauseKind.TRANSIENT,
        "The mail server asks us to come back later. If it goes on asking, its log says why.",
    ),
    "smtp_interrupted": (
        CauseKind.TRANSIENT,
        "It may have taken the letter or not: we send it again, with the same Message-ID. Its log knows the reason.",
    ),
    "smtp_refused": (
        CauseKind.PERMANENT,
        "Check the sender's address and what the mail server demands of letters, then `sitecrew letter resend`.",
    ),
    "recipient_refused": (
        CauseKind.PERMANENT,
        "Ask the customer for another and `sitecrew letter resend --to` it. If it refuses all, it does not relay.",
    ),
    "smtp_auth": (
        CauseKind.CONFIGURATION,
        "Correct the mail server's username and password, and check that it offers a login on this port.",
    ),
    "smtp_tls": (
        CauseKind.CONFIGURATION,
        "Check the security setting (starttls: port 587, tls: 465), that the certificate names this host, the CA file.",
    ),
}

_REFUSED_AT = {
    "secure the connection": "smtp_tls",
    "log in": "smtp_auth",
    "name the recipient": "recipient_refused",
}
"""What a final no means, by the step it comes at; `smtp_refused` at all the others."""


@dataclass(frozen=True)
class Smtp:
    """A mail server, and how to speak to it. Every letter has a connection of its own.

    `starttls` never falls back to plain text. Certificates are verified, against the system's authorities or
    those in `ca_file` (PEM). `timeout` is in seconds, for each step. `helo` is the name we introduce ourselves
    by; without one, this machine's.
    """

    host: str
    port: int
    security: Security = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 30.0
    helo: str | None = None
    ca_file: Path | None = None

    def send(self, message: EmailMessage) -> None:
        """Returns once the server has taken the letter, from the address in `From` to those in `To`.

        Raises Failed: `smtp_unreachable`, `smtp_timeout`, `smtp_temporary` (4xx) or `smtp_interrupted` (cut before
        the letter was answered), transient; `smtp_refused` or `recipient_refused` (5xx), permanent; `smtp_auth` or
        `smtp_tls`, configuration.
        """
        [sender], recipients = _addresses(message, "from"), _addresses(message, "to")
        international = not all(address.isascii() for address in (sender, *recipients))
        content = message.as_bytes(policy=WIRE.clone(utf8=international, refold_source="none"))
        with self._session() as client:
            with self._trying("name the sender"):
                _expect(client.mail(sender, _mail_options(client, len(content), international=international)))
            with self._trying("name the recipient"):
                for recipient in recipients:
                    _expect(client.rcpt(recipient))
            with self._trying("send the letter", _passwords_in(message)):
                _expect(client.data(content))

    def check(self) -> str:
        """Connects, introduces itself, logs in if it is to, and sends nothing. Returns what it found, for people.

        Raises Failed as `send` does.
        """
        with self._session() as client:
            with self._trying("ask for a sign of life"):
                _expect(client.noop())
            encrypted = client.sock.version() if isinstance(client.sock, ssl.SSLSocket) else None
            login = f", takes the login of {self.username}" if self.username is not None else ""
            return f"{HostPort(self.host, self.port)} answers ({encrypted or 'not encrypted'}){login}"

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        client = self._connected()
        try:
            with self._trying("say hello"):
                client.ehlo_or_helo_if_needed()
            if self.security == "starttls":
                with self._trying("secure the connection"):
                    client.starttls(context=self._tls)
                    client.ehlo_or_helo_if_needed()
            if self.username is not None:
                with self._trying("log in"):
                    client.login(self.username, self.password or "")
            yield client
            _take_leave(client)
        finally:
            client.close()

    def _connected(self) -> smtplib.SMTP:
        name = self.helo or _own_name()
        if self.security != "tls":
            with self._trying("connect"):
                return smtplib.SMTP(self.host, self.port, name, self.timeout)
        with self._trying("connect"):
            return smtplib.SMTP_SSL(self.host, self.port, local_hostname=name, timeout=self.timeout, context=self._tls)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise _failed("smtp_tls", f"the CA file {self.ca_file} cannot be used: {error.strerror or error}") from None

    @contextmanager
    def _trying(self, step: str, secrets: Sequence[str] = ()) -> Iterator[None]:
        """Turns whatever goes wrong in this step into the cause it stands for."""
        place = f"{HostPort(self.host, self.port)}, asked to {step},"
        try:
            yield
        except smtplib.SMTPResponseException as error:
            said = _without([*self._secrets(), *secrets], _one_line(error.smtp_error))
            raise _failed(_meaning(step, error.smtp_code, said), f"{place} answered {error.smtp_code} {said}") from None
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            raise _failed(*self._silence(step, place, error)) from None

    def _silence(self, step: str, place: str, error: Exception) -> tuple[str, str]:
        """Code and detail of a failure that is no answer of the server."""
        # smtplib turns a timeout into "disconnected", and keeps the true reason only as its context.
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return "smtp_timeout", f"{place} did not answer within {self.timeout:g} seconds"
        if isinstance(error, smtplib.SMTPNotSupportedError) and step == "name the sender":
            return "recipient_refused", f"{place} cannot mail to addresses beyond ASCII (it has no SMTPUTF8)"
        if isinstance(error, UnicodeError):
            return _REFUSED_AT.get(step, "smtp_unreachable"), f"{place} cannot be sent characters beyond ASCII"
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return "smtp_tls", f"{place} failed to agree on TLS: {getattr(error, 'verify_message', error.reason)}"
        if isinstance(error, smtplib.SMTPServerDisconnected) or not isinstance(error, smtplib.SMTPException):
            code = "smtp_interrupted" if step == "send the letter" else "smtp_unreachable"
            return code, f"{place} is gone: {_one_line(str(error))}"
        return _REFUSED_AT.get(step, "smtp_refused"), f"{place} cannot: {_one_line(str(error))}"

    def _secrets(self) -> list[str]:
        """The password as it travels: a server that lost step quotes what it took for a command."""
        if not self.password:
            return []
        plain = f"\0{self.username}\0{self.password}"
        return [self.password, *(b64encode(secret.encode()).decode() for secret in (self.password, plain))]


@cache
def _own_name() -> str:
    """This machine's name as smtplib finds it: once, because it asks the DNS each time."""
    return smtplib.SMTP().local_hostname


def _addresses(message: EmailMessage, header: str) -> list[str]:
    """From the header as it stands. `message[header].addresses` decodes names first, and takes some names'
    brackets for the address's own (seen on 3.11.7): the letter would go to somebody else."""
    raw = [str(value) for name, value in message.raw_items() if name.lower() == header]
    found = [address for _, address in getaddresses(raw)]
    if not found or not all("@" in address for address in found):
        raise _failed("recipient_refused", f"the letter's {header.capitalize()} header holds no usable address")
    return found


def _mail_options(client: smtplib.SMTP, size: int, *, international: bool) -> list[str]:
    if international and not client.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError
    options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
    return [*options, f"SIZE={size}"] if client.has_extn("size") else options


def _expect(reply: tuple[int, bytes]) -> None:
    if not 200 <= reply[0] < 300:
        raise smtplib.SMTPResponseException(*reply)


def _take_leave(client: smtplib.SMTP) -> None:
    """The letter is accepted by now: nothing that happens here can make it less so."""
    with suppress(OSError, smtplib.SMTPException):
        if client.sock is not None:
            client.sock.settimeout(1.0)
        client.docmd("QUIT")


def _meaning(step: str, code: int, said: str) -> str:
    if 400 <= code < 500:
        return "smtp_temporary"
    if code < 500:  # not SMTP at all, or an answer to something we did not ask
        return "smtp_unreachable"
    if code == 530:  # RFC 4954 and RFC 3207 share it
        return "smtp_tls" if "STARTTLS" in said.upper() else "smtp_auth"
    return _REFUSED_AT.get(step, "smtp_refused")


def _failed(code: str, detail: str) -> Failed:
    kind, remedy = _CAUSES[code]
    return Failed.because(code, kind, detail, remedy)


def _one_line(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:300]


def _without(secrets: Sequence[str], said: str) -> str:
    for secret in secrets:
        said = said.replace(secret, "***")
    return said


def _passwords_in(message: EmailMessage) -> list[str]:
    """What a filter that quotes the line it dislikes must not bring into our log."""
    text = message.get_body(("plain",))
    return re.findall(r"(?im)password: *(\S+)", text.get_content()) if text is not None else []
