"""Speaking SMTP with a real server on loopback, and with what calls itself one."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTPUTF8
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundation.errors import Failed
from schemas.values import Cause, CauseKind
from services.mailer.letter.envelope import Letter
from services.mailer.letter.rendering import Letters, sample
from services.mailer.smtp import Smtp
from sitecrew.stack.login import Credentials, read_credentials
from sitecrew.stack.servers.mailbox import CUT, HANG, Mailbox, Stage

PASSWORD = "p4ss-of-the-server"


def letter(recipient: str = "alex@customer.example", text: str = "Hello\n") -> Letter:
    message = EmailMessage(SMTPUTF8)
    message["From"] = "Northwind <hello@host.example>"
    message["To"] = f"Alex Morgan <{recipient}>"
    message["Subject"] = "Ready"
    message.set_content(text)
    return Letter("hello@host.example", [recipient], "<1@host.example>", message.as_bytes())


def plain(mailbox: Mailbox) -> Smtp:
    return Smtp(mailbox.host, mailbox.port, "none", timeout=60.0, helo="sitecrew.example")


def failure(attempt: Callable[[], object]) -> Cause:
    with pytest.raises(Failed) as caught:
        attempt()
    assert PASSWORD not in str(caught.value)
    return caught.value.cause


def answering(at: Stage, answer: str) -> Callable[[Stage, Envelope], str | None]:
    return lambda stage, _: answer if stage == at else None


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    with Mailbox(tmp_path / "mail") as opened:
        yield opened


# taken


def test_a_letter_arrives_as_it_was_sent(mailbox: Mailbox) -> None:
    text = "Hello\n.\n..two dots\n" + "a line " * 20 + "\n\nUsername: alex\n"
    plain(mailbox).send(letter(text=text))
    [received] = mailbox.messages()
    assert (received.sender, received.recipients) == ("hello@host.example", ("alex@customer.example",))
    assert received.message().get_content().replace("\r\n", "\n") == text
    assert received.message()["To"] == "Alex Morgan <alex@customer.example>"


def test_a_letter_to_an_international_address_arrives(mailbox: Mailbox) -> None:
    plain(mailbox).send(letter("jürgen@customer.example"))
    assert mailbox.messages()[0].recipients == ("jürgen@customer.example",)


def test_several_recipients_are_all_named(mailbox: Mailbox) -> None:
    plain(mailbox).send(replace(letter(), recipients=["a@customer.example", "b@customer.example"]))
    assert mailbox.messages()[0].recipients == ("a@customer.example", "b@customer.example")


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mailbox]:
    with Mailbox(tmp_path_factory.mktemp("busy")) as opened:
        yield opened


@pytest.fixture(scope="module")
def letters() -> Letters:
    """As the service keeps them: their templates are compiled once."""
    return Letters(None, "hello@host.example", "Northwind")


@settings(deadline=None)
@given(name=st.text(st.one_of(st.sampled_from('aü "\\,;:<>()@[]=?_'), st.characters()), max_size=200))
@example(name="îP\U00052be8 P ZÁÂT\U000a6dd7x\U000dc98a\U000a2667k ]")
@example(name="ü <mallory@evil.example>, Alex")
def test_whatever_customers_are_called_their_letters_go_to_them_alone(
    busy: Mailbox, letters: Letters, name: str
) -> None:
    welcome = replace(sample(), customer_name=name)
    plain(busy).send(letters.render(welcome, datetime.now(UTC)))
    assert busy.messages()[-1].recipients == ("alex@customer.example",)
    assert read_credentials(busy.messages()[-1].path) == Credentials("alex", "only-a-sample-2Kf9")


@pytest.mark.parametrize("to", ["nobody", "", "undisclosed-recipients:;"])
def test_a_letter_to_no_address_is_not_sent(mailbox: Mailbox, to: str) -> None:
    letters = Letters(None, "hello@host.example", "Northwind")
    welcome = replace(sample(), customer_email=to)
    cause = failure(lambda: plain(mailbox).send(letters.render(welcome, datetime.now(UTC))))
    assert cause.code == "recipient_refused"
    assert mailbox.messages() == []


def test_threads_may_share_one_sender(mailbox: Mailbox) -> None:
    smtp = plain(mailbox)
    threads = [threading.Thread(target=smtp.send, args=(letter(f"c{n}@customer.example"),)) for n in range(8)]
    for thread in threads:
        thread.start()
    assert len(mailbox.wait_for(8, timeout=60)) == 8
    for thread in threads:
        thread.join()


# refused


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
def test_a_4xx_answer_is_temporary_wherever_it_comes(mailbox: Mailbox, stage: Stage) -> None:
    mailbox.behave = answering(stage, "451 4.7.1 Greylisted, come back later")
    cause = failure(lambda: plain(mailbox).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_temporary", CauseKind.TRANSIENT)
    assert "answered 451 4.7.1 Greylisted, come back later" in cause.detail
    assert mailbox.messages() == []


@pytest.mark.parametrize(
    ("stage", "code"), [("mail", "smtp_refused"), ("rcpt", "recipient_refused"), ("data", "smtp_refused")]
)
def test_a_5xx_answer_is_for_good_and_says_whom_it_is_about(mailbox: Mailbox, stage: Stage, code: str) -> None:
    mailbox.behave = answering(stage, "550 5.1.1 No such user here")
    cause = failure(lambda: plain(mailbox).send(letter()))
    assert (cause.code, cause.kind) == (code, CauseKind.PERMANENT)
    assert "answered 550 5.1.1 No such user here" in cause.detail


def test_a_letter_is_for_all_its_recipients_or_none(mailbox: Mailbox) -> None:
    both = replace(letter(), recipients=["a@customer.example", "gone@customer.example"])
    mailbox.behave = lambda stage, envelope: "550 gone" if stage == "rcpt" and len(envelope.rcpt_tos) > 1 else None
    assert failure(lambda: plain(mailbox).send(both)).code == "recipient_refused"
    assert mailbox.messages() == []


# silent, cut, absent


@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt", "data"])
def test_a_server_that_falls_silent_is_a_timeout(mailbox: Mailbox, stage: Stage) -> None:
    mailbox.behave = answering(stage, HANG)
    cause = failure(lambda: replace(plain(mailbox), timeout=0.2).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_timeout", CauseKind.TRANSIENT)
    assert "within 0.2 seconds" in cause.detail


@pytest.mark.parametrize("stage", ["ehlo", "mail", "rcpt"])
def test_a_cut_before_the_letter_is_sent_is_as_if_the_server_was_away(mailbox: Mailbox, stage: Stage) -> None:
    mailbox.behave = answering(stage, CUT)
    assert failure(lambda: plain(mailbox).send(letter())).code == "smtp_unreachable"


@pytest.mark.parametrize(("stage", "kept"), [("data", 0), ("stored", 1)])
def test_a_cut_after_the_letter_is_sent_leaves_it_open_whether_it_arrived(
    mailbox: Mailbox, stage: Stage, kept: int
) -> None:
    mailbox.behave = answering(stage, CUT)
    cause = failure(lambda: plain(mailbox).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_interrupted", CauseKind.TRANSIENT)
    assert len(mailbox.messages()) == kept


def test_nobody_listening_is_unreachable() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take the port
        cause = failure(lambda: Smtp("127.0.0.1", bound.getsockname()[1], "none").send(letter()))
    assert (cause.code, cause.kind) == ("smtp_unreachable", CauseKind.TRANSIENT)
    assert "refused" in cause.detail


def test_a_name_that_does_not_exist_is_unreachable() -> None:
    assert failure(lambda: Smtp("mail.invalid", 25, "none").send(letter())).code == "smtp_unreachable"


# TLS


def certificate(directory: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's context with a self-signed certificate for `name` and 127.0.0.1's file to trust."""
    key, pem = directory / f"{name}.key", directory / f"{name}.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    subprocess.run([*request, *subject, "-keyout", key, "-out", pem], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    return context, pem


def authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _how: str, login: LoginPassword) -> AuthResult:
    right = (login.login, login.password) == (b"sitecrew", PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@pytest.fixture(scope="module")
def localhost(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.fixture
def secure(tmp_path: Path, localhost: tuple[ssl.SSLContext, Path]) -> Iterator[Smtp]:
    """A server that takes letters after STARTTLS and a login only."""
    context, pem = localhost
    options = {
        "tls_context": context,
        "require_starttls": True,
        "auth_required": True,
        "authenticator": authenticate,
    }
    with Mailbox(tmp_path / "mail", options=options) as opened:
        yield Smtp("localhost", opened.port, "starttls", "sitecrew", PASSWORD, timeout=60.0, ca_file=pem)


def test_a_letter_goes_out_encrypted_and_logged_in(secure: Smtp, tmp_path: Path) -> None:
    secure.send(letter())
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1


def test_a_letter_goes_out_over_tls_from_the_first_byte(tmp_path: Path, localhost: tuple[ssl.SSLContext, Path]) -> None:
    context, pem = localhost
    with Mailbox(tmp_path, tls=context) as opened:
        Smtp("localhost", opened.port, "tls", timeout=60.0, ca_file=pem).send(letter())
        assert len(opened.messages()) == 1


def test_a_certificate_that_nobody_vouches_for_is_not_accepted(secure: Smtp) -> None:
    cause = failure(lambda: replace(secure, ca_file=None).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_tls", CauseKind.CONFIGURATION)
    assert "self-signed certificate" in cause.detail


def test_a_certificate_for_another_name_is_not_accepted(secure: Smtp) -> None:
    cause = failure(lambda: replace(secure, host="127.0.0.1").send(letter()))
    assert cause.code == "smtp_tls"
    assert "127.0.0.1" in cause.detail


def test_a_server_without_starttls_gets_nothing(mailbox: Mailbox) -> None:
    stages: list[Stage] = []
    mailbox.behave = lambda stage, _: stages.append(stage)
    assert failure(lambda: replace(plain(mailbox), security="starttls").send(letter())).code == "smtp_tls"
    assert stages == ["ehlo"]


def test_tls_to_a_port_that_speaks_plain_is_a_wrong_setting(mailbox: Mailbox) -> None:
    assert failure(lambda: replace(plain(mailbox), security="tls").send(letter())).code == "smtp_tls"


def test_a_server_that_demands_starttls_is_a_wrong_setting(secure: Smtp) -> None:
    cause = failure(lambda: replace(secure, security="none", username=None).send(letter()))
    assert cause.code == "smtp_tls"
    assert "STARTTLS" in cause.detail


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path, secure: Smtp, content: str | None) -> None:
    ca_file = tmp_path / "authority.pem"
    if content is not None:
        ca_file.write_text(content)
    cause = failure(lambda: replace(secure, ca_file=ca_file).send(letter()))
    assert cause.code == "smtp_tls"
    assert str(ca_file) in cause.detail


# logging in


@pytest.mark.parametrize("password", ["wrong", "", "pässword"])
def test_a_wrong_password_is_a_wrong_setting_and_is_not_repeated(secure: Smtp, password: str) -> None:
    cause = failure(lambda: replace(secure, password=password).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_auth", CauseKind.CONFIGURATION)
    assert not password or password not in cause.detail


def test_a_server_that_wants_a_login_we_do_not_have_is_a_wrong_setting(secure: Smtp) -> None:
    assert failure(lambda: replace(secure, username=None).send(letter())).code == "smtp_auth"


def test_a_login_at_a_server_that_offers_none_is_a_wrong_setting(mailbox: Mailbox) -> None:
    attempt = replace(plain(mailbox), username="sitecrew", password=PASSWORD)
    assert failure(lambda: attempt.send(letter())).code == "smtp_auth"


def test_the_password_is_not_in_the_repr(secure: Smtp) -> None:
    assert PASSWORD not in repr(secure)


# the doctor's question


def test_a_check_sends_nothing_and_says_what_it_found(secure: Smtp, tmp_path: Path) -> None:
    found = secure.check()
    assert "TLSv1.3" in found
    assert "sitecrew" in found
    assert list((tmp_path / "mail").glob("*.eml")) == []


def test_a_check_fails_as_sending_would(secure: Smtp) -> None:
    assert failure(replace(secure, password="wrong").check).code == "smtp_auth"


# servers that no real one would be


@contextmanager
def scripted(greeting: str, answers: Mapping[str, str]) -> Iterator[Smtp]:
    """A server that greets once and answers by the first word of each line; without an answer it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60.0)

        def converse() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb", buffering=0) as wire:
                wire.write(f"{greeting}\r\n".encode())
                for line in wire:
                    answer = answers.get(line.decode().strip().partition(" ")[0].upper())
                    if answer is None:
                        return
                    wire.write(f"{answer}\r\n".encode() if answer else b"")

        thread = threading.Thread(target=converse)
        thread.start()
        yield Smtp("127.0.0.1", listener.getsockname()[1], "none", timeout=60.0, helo="sitecrew.example")
        thread.join()


POLITE = {"EHLO": "250 hello", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on", ".": "250 ok"}
HEADERS = dict.fromkeys(["FROM:", "TO:", "SUBJECT:", "CONTENT-TYPE:", "CONTENT-TRANSFER-ENCODING:"], "")
BODY = {**HEADERS, "MIME-VERSION:": "", "": "", "HELLO": "", "PASSWORD:": ""}


def test_a_letter_that_was_taken_stays_taken_whatever_the_server_does_then() -> None:
    with scripted("220 here", {**POLITE, **BODY}) as smtp:
        smtp.send(letter())
    with scripted("220 here", {**POLITE, **BODY, "QUIT": "451 no, stay"}) as smtp:
        smtp.send(letter())


@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        ("421 too busy", "smtp_temporary"),
        ("554 go away", "smtp_refused"),
        ("HTTP/1.1 400 Bad Request", "smtp_unreachable"),
    ],
)
def test_a_greeting_that_is_none_is_understood(greeting: str, code: str) -> None:
    with scripted(greeting, {}) as smtp:
        assert failure(lambda: smtp.send(letter())).code == code


def test_a_refusal_that_quotes_the_letter_does_not_bring_its_password_into_the_cause() -> None:
    refusal = {**POLITE, **BODY, ".": "554 looks like phishing: 'Password: s3cret-of-the-site'"}
    with scripted("220 here", refusal) as smtp:
        quoted = replace(letter(text="Hello\nPassword: s3cret-of-the-site\n"), secrets=["s3cret-of-the-site"])
        cause = failure(lambda: smtp.send(quoted))
    assert "phishing" in cause.detail
    assert "s3cret" not in cause.detail


def test_an_answer_that_quotes_the_login_does_not_bring_the_password_into_the_cause() -> None:
    # what a server says that lost step, and takes the encoded password for a command
    quoting = {"EHLO": "250-hello\r\n250 AUTH LOGIN", "AUTH": "334 UGFzc3dvcmQ6"}
    encoded = "cDRzcy1vZi10aGUtc2VydmVy"
    with scripted("220 here", {**quoting, encoded.upper(): f"500 unknown command {encoded}"}) as smtp:
        cause = failure(lambda: replace(smtp, username="sitecrew", password=PASSWORD).send(letter()))
    assert cause.detail.endswith("answered 500 unknown command ***")
    assert cause.code == "smtp_auth"


def test_an_answer_of_many_lines_and_odd_characters_becomes_one_line() -> None:
    with scripted("220 here", {**POLITE, "RCPT": "550-first\r\n550-\x1b[31msecond\r\n550 third"}) as smtp:
        assert failure(lambda: smtp.send(letter())).detail.endswith("answered 550 first [31msecond third")


def test_an_international_address_is_not_sent_to_a_server_that_cannot_take_it() -> None:
    with scripted("220 here", POLITE) as smtp:
        cause = failure(lambda: smtp.send(letter("jürgen@customer.example")))
    assert (cause.code, cause.kind) == ("recipient_refused", CauseKind.PERMANENT)


def test_a_letter_too_big_for_the_server_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with Mailbox(tmp_path, options={"data_size_limit": 1000}) as small:
        cause = failure(lambda: plain(small).send(letter(text="a line\n" * 500)))
    assert cause.code == "smtp_refused"
    assert "name the sender" in cause.detail
