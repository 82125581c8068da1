"""The one module that speaks SMTP: hands finished letters to the mail server, and names what went wrong.

What a refusal means is in `answers`, what an operator does about it in `causes`.
"""

import smtplib
import ssl
from base64 import b64encode
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Literal

from foundation.addresses import HostPort, ascii_domain
from foundation.errors import Failed
from schemas.values import CauseKind
from services.mailer import addresses
from services.mailer.causes import MAIL_CAUSES
from services.mailer.letter.envelope import Letter
from services.mailer.smtp.answers import Step, one_line, verdict
from services.mailer.smtp.client import Client, expect
from services.mailer.smtp.deadline import Deadline

Security = Literal["auto", "none", "starttls", "tls"]

_SIGN_OF_LIFE = 5.0
"""Seconds that a kept connection has to show that it still works."""

_LOGINS = frozenset({"CRAM-MD5", "LOGIN", "PLAIN"})

_REFUSED_AT: dict[Step, str] = {
    "secure the connection": "smtp_tls",
    "log in": "smtp_auth",
    "name the recipient": "recipient_refused",
}
"""What it means if a step is not possible at all; `smtp_refused` at all the others."""

_HIS_OWN = ("recipient_refused", "recipient_full", "smtp_temporary")
"""What a server may say of the sender's own mailbox, and yet take letters from him."""


@dataclass(frozen=True)
class Smtp:
    """A mail server, and how to speak to it. Safe to use from several threads.

    `starttls` never falls back to plain text. `auto` speaks TLS on port 465, and elsewhere takes encryption where it
    is offered; with a username it insists on it. Certificates are verified, against the system's authorities or
    those in `ca_file` (PEM), wherever a login goes over the line. `timeout` is in seconds for each step, `deadline`
    for all of them. `helo` is the name we greet with; without one, this machine's full name, or the sender's domain.
    A connection takes up to `letters_per_connection` letters.
    """

    host: str
    port: int
    security: Security = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    timeout: float = 30.0
    helo: str | None = None
    ca_file: Path | None = None
    deadline: float = 240.0
    letters_per_connection: int = 1
    _kept: deque[Client] = field(default_factory=deque, init=False, repr=False, compare=False)

    def send(self, letter: Letter) -> None:
        """Returns once the server has taken the letter for all its recipients.

        Raises Failed, with one of `MAIL_CAUSES`. Only `smtp_interrupted` leaves it open whether the letter was taken.
        """
        deadline = Deadline(self.deadline)
        kept = self._still_working(deadline)
        if kept is None or not self._hand_over(kept, letter, kept=True):
            self._hand_over(self._opened(deadline, letter.sender), letter)

    def check(self, sender: str | None = None) -> str:
        """Connects, introduces itself, logs in if it is to, asks whether `sender` may send, and sends nothing.
        Returns what it found, for people. Raises Failed as `send` does."""
        client = self._opened(Deadline(self.deadline), sender or "")
        try:
            with self._trying("check the connection", client):
                expect(client.noop())
            self._ask_about(client, sender)
            return self._found(client)
        finally:
            client.leave()

    def close_idle(self, seconds: float = 0.0) -> None:
        """Take leave of connections that have had nothing to do for so long."""
        for _ in range(len(self._kept)):
            with suppress(IndexError):
                client = self._kept.popleft()
                if monotonic() - client.idle_since < seconds:
                    self._kept.append(client)
                else:
                    client.leave()

    def _ask_about(self, client: Client, sender: str | None) -> None:
        """As for a letter from the sender to himself. Whether he has a mailbox does not matter."""
        if not sender:
            return
        with self._trying("name the sender", client):
            expect(client.mail(sender))
        with self._trying("name the recipient", client):
            code, said = client.rcpt(sender)
            if code >= 300 and verdict("name the recipient", code, one_line(said)).code not in _HIS_OWN:
                expect((code, said))

    def _found(self, client: Client) -> str:
        encrypted = client.sock.version() if isinstance(client.sock, ssl.SSLSocket) else None
        found = f"{self._place} answers ({encrypted or 'not encrypted'}) to {client.local_hostname}"
        if self.username is None:
            return found
        clear = "" if encrypted else ", which anyone on the way can read (mailer.smtp.security is none)"
        return f"{found}, takes the login of {self.username}{clear}"

    # One letter

    def _hand_over(self, client: Client, letter: Letter, *, kept: bool = False) -> bool:
        """False if a kept connection would not do, and nothing of the letter has gone over it: try a new one."""
        try:
            self._address(client, letter)
        except Failed as failure:
            again = kept and failure.cause.kind == CauseKind.TRANSIENT and not client.deadline.passed
            client.leave()
            if again:
                return False
            raise
        try:
            with self._trying("send the letter", client, letter.secrets):
                expect(client.content(letter.content))
        except Failed:
            client.close()
            raise
        client.letters += 1
        if client.letters < self.letters_per_connection:
            client.idle_since = monotonic()
            self._kept.append(client)
        else:
            client.leave()
        return True

    def _address(self, client: Client, letter: Letter) -> None:
        with self._trying("name the sender", client):
            expect(client.mail(letter.sender, _mail_options(client, letter)))
        with self._trying("name the recipient", client):
            for recipient in letter.recipients:
                expect(client.rcpt(recipient))
        with self._trying("send the letter", client, letter.secrets):
            expect(client.docmd("DATA"), 354)

    # One connection

    def _still_working(self, deadline: Deadline) -> Client | None:
        """A connection that an earlier letter has left, if the server goes on with it."""
        with suppress(IndexError):
            while client := self._kept.pop():
                if client.starts_afresh(deadline, min(_SIGN_OF_LIFE, self.timeout)):
                    return client
        return None

    def _greeting(self, sender: str) -> str:
        with suppress(ValueError):  # then the server says what it thinks of it
            return ascii_domain(self.helo or "") or addresses.greeting(addresses.domain_of(sender))
        return self.helo or ""

    def _opened(self, deadline: Deadline, sender: str) -> Client:
        client = Client(self._greeting(sender), self.timeout, deadline)
        try:
            tls = self.security == "tls" or (self.security == "auto" and self.port == smtplib.SMTP_SSL_PORT)
            with self._trying("connect", client):
                expect(client.open(self.host, self.port, self._verifying if tls else None))
            with self._trying("say hello", client):
                client.introduce()
            if not tls:
                self._secure(client)
            if self.username is not None:
                self._require_login(client)
                with self._trying("log in", client):
                    client.login(self.username, self.password or "")
        except Failed:
            client.close()
            raise
        return client

    def _secure(self, client: Client) -> None:
        """STARTTLS, as the setting wants it."""
        if self.security == "none" or (
            self.security == "auto" and self.username is None and not client.has_extn("starttls")
        ):
            return
        if not client.has_extn("starttls"):
            login = ", and a login is not sent in the clear unless security is none" if self.username else ""
            raise MAIL_CAUSES.failed("smtp_tls", f"{self._place} offers no encryption (STARTTLS){login}")
        verified = self.security == "starttls" or self.username is not None or self.ca_file is not None
        with self._trying("secure the connection", client):
            client.secure(self._verifying if verified else _unverified())
        with self._trying("say hello", client):
            client.introduce()

    def _require_login(self, client: Client) -> None:
        """Name what is offered instead, if it is nothing of ours."""
        offered = client.esmtp_features.get("auth", "").split()
        if offered and not _LOGINS & set(map(str.upper, offered)):
            detail = f"{self._place} accepts logins by {', '.join(offered)} only; ours are {', '.join(sorted(_LOGINS))}"
            raise MAIL_CAUSES.failed("smtp_auth", detail)

    @cached_property
    def _verifying(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            reason = error.strerror or error
            raise MAIL_CAUSES.failed(
                "smtp_tls", f"mailer.smtp.ca_file {self.ca_file} cannot be used: {reason}"
            ) from None

    # What goes wrong

    @contextmanager
    def _trying(self, step: Step, client: Client, secrets: Sequence[str] = ()) -> Iterator[None]:
        """Turns whatever goes wrong in this step into the cause it stands for."""
        place = f"{self._place}, when we {step},"
        try:
            yield
        except smtplib.SMTPResponseException as error:
            said = one_line(error.smtp_error, [*self._secrets(), *secrets])
            meant = verdict(step, error.smtp_code, said)
            about = f"; {meant.about}" if meant.about else ""
            raise MAIL_CAUSES.failed(meant.code, f"{place} answered {error.smtp_code} {said}{about}") from None
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise MAIL_CAUSES.failed(*self._silence(step, place, error, client)) from None

    def _silence(self, step: Step, place: str, error: Exception, client: Client) -> tuple[str, str]:
        """Code and detail of a failure that is no answer of the server."""
        if client.deadline.passed:
            return "smtp_timeout", f"{place} did not finish within {self.deadline:g} seconds in all"
        # smtplib turns a timeout into "disconnected", and keeps the true reason only as its context.
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return "smtp_timeout", f"{place} did not answer within {self.timeout:g} seconds"
        if isinstance(error, smtplib.SMTPNotSupportedError) and step == "name the sender":
            return "recipient_refused", f"{place} cannot deliver to non-ASCII addresses (it does not offer SMTPUTF8)"
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return "smtp_tls", f"{place} failed to agree on TLS: {getattr(error, 'verify_message', error.reason)}"
        if isinstance(error, smtplib.SMTPServerDisconnected) or not isinstance(
            error, smtplib.SMTPException | ValueError
        ):
            code = "smtp_interrupted" if client.in_the_letter else "smtp_unreachable"
            return code, f"{place} failed: {one_line(str(error))}"
        return _REFUSED_AT.get(step, "smtp_refused"), f"{place} cannot: {one_line(str(error))}"

    @property
    def _place(self) -> str:
        return str(HostPort(self.host, self.port))

    def _secrets(self) -> list[str]:
        """The password as it travels: a server that lost step quotes what it took for a command."""
        if not self.password:
            return []
        plain = f"\0{self.username}\0{self.password}"
        return [self.password, *(b64encode(secret.encode()).decode() for secret in (self.password, plain))]


def _mail_options(client: Client, letter: Letter) -> list[str]:
    if letter.international and not client.has_extn("smtputf8"):
        raise smtplib.SMTPNotSupportedError
    options = ["SMTPUTF8", "BODY=8BITMIME"] if letter.international else []
    return [*options, f"SIZE={len(letter.content)}"] if client.has_extn("size") else options


def _unverified() -> ssl.SSLContext:
    """Where plain text would do, encryption with whomever is better than none (RFC 7435)."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
