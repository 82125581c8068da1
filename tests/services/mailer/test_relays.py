"""Mail relays as hosts have them: logins in UTF-8, greetings, authorities of one's own, limits, connections kept."""

import hmac
import itertools
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from foundation.config.settings import Settings, load
from foundation.errors import ConfigurationError
from schemas.values import Cause, CauseKind
from services.mailer import addresses
from services.mailer.addresses import sender_of
from services.mailer.letter.rendering import Letters, sample
from services.mailer.service import smtp_of
from services.mailer.smtp import Smtp
from sitecrew.stack.servers.mailbox import Mailbox
from tests.services.mailer.test_smtp import failure, letter
from tests.support.authority import Authority
from tests.support.relay import Answer, Relay, once, relay

USER, PASSWORD = "jörg@münchen.example", "gütes-Paßwort-✓"
PATIENCE = 60.0


_opened: list[Smtp] = []


@pytest.fixture(autouse=True)
def _closing() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close_idle()


def closed_later(smtp: Smtp) -> Smtp:
    _opened.append(smtp)
    return smtp


def to(server: Relay | Mailbox, **more: object) -> Smtp:
    settings = {"security": "none", "timeout": PATIENCE, "helo": "sitecrew.example", **more}
    return closed_later(Smtp("127.0.0.1", server.port, **settings))  # type: ignore[arg-type]


def of(settings: Settings) -> Smtp:
    return closed_later(smtp_of(settings.mailer))


def told(attempt: Callable[[], object]) -> Cause:
    cause = failure(attempt)
    assert PASSWORD not in cause.detail
    return cause


# 31: logins beyond ASCII


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def test_a_login_with_umlauts_is_sent_in_utf8() -> None:
    expected = f"AUTH PLAIN {encoded(f'{chr(0)}{USER}{chr(0)}{PASSWORD}')}"
    with relay(
        EHLO="250-relay.example\r\n250 AUTH PLAIN",
        AUTH=lambda line: "235 2.7.0 ok" if line == expected else "535 5.7.8 wrong",
    ) as server:
        to(server, username=USER, password=PASSWORD).send(letter())
        assert len(server.letters) == 1
        assert told(lambda: to(server, username=USER, password="pässword").send(letter())).code == "smtp_auth"


def test_a_login_with_umlauts_is_sent_in_utf8_in_two_steps_too() -> None:
    question, right = f"334 {encoded('Password:')}", "235 2.7.0 ok"
    answers: dict[str, Answer] = {encoded(PASSWORD).upper(): right}
    answers["AUTH"] = lambda line: question if line == f"AUTH LOGIN {encoded(USER)}" else "535 5.7.8 wrong"
    with relay(EHLO="250-relay.example\r\n250 AUTH LOGIN XOAUTH2", answers=answers) as server:
        to(server, username=USER, password=PASSWORD).send(letter())
        assert len(server.letters) == 1


def test_a_login_with_umlauts_is_sent_in_utf8_as_a_digest_too() -> None:
    challenge = b"<1896.697170952@relay.example>"
    expected = f"{USER} {hmac.new(PASSWORD.encode(), challenge, 'md5').hexdigest()}"
    answers: dict[str, Answer] = {encoded(expected).upper(): "235 2.7.0 ok"}
    offer = "250-relay.example\r\n250 AUTH CRAM-MD5"
    with relay(EHLO=offer, AUTH=f"334 {b64encode(challenge).decode()}", answers=answers) as server:
        to(server, username=USER, password=PASSWORD).send(letter())
        assert len(server.letters) == 1
        assert not any(PASSWORD in line for line in itertools.chain(*server.heard))


def test_a_challenge_that_is_none_is_an_answer_like_any_other() -> None:
    with relay(EHLO="250-relay.example\r\n250 AUTH CRAM-MD5", AUTH="334 §§§") as server:
        assert told(lambda: to(server, username=USER, password=PASSWORD).send(letter())).code == "smtp_auth"


def test_a_server_that_takes_other_logins_only_is_told_with_what_it_offers() -> None:
    with relay(EHLO="250-relay.example\r\n250 AUTH XOAUTH2 OAUTHBEARER") as server:
        cause = told(lambda: to(server, username=USER, password=PASSWORD).send(letter()))
        assert cause.code == "smtp_auth"
        assert "XOAUTH2, OAUTHBEARER only; ours are CRAM-MD5, LOGIN, PLAIN" in cause.detail
        assert "AUTH" not in server.commands()


# 32: empty is not given


@pytest.mark.parametrize("name", ["USERNAME", "PASSWORD", "HELO", "CA_FILE"])
def test_an_empty_variable_is_a_setting_not_given(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SITECREW_MAILER__SMTP__{name}", "")
    assert getattr(load().mailer.smtp, name.lower()) is None


def test_an_empty_username_is_no_login_in_a_file_either(tmp_path: Path) -> None:
    file = tmp_path / "sitecrew.toml"
    with relay() as server:
        file.write_text(f'[mailer.smtp]\nhost = "127.0.0.1"\nport = {server.port}\nusername = ""\npassword = ""\n')
        of(load(file)).send(letter())
        assert "AUTH" not in server.commands()


# 33: the name we greet with


def test_the_name_that_is_set_is_greeted_with() -> None:
    with relay() as server:
        to(server, helo="mailer.hösting.example").send(letter())
        assert server.heard[0][0].lower() == "ehlo mailer.xn--hsting-wxa.example"


@pytest.mark.parametrize("own", ["4f1c9a77b2d1", "localhost", "localhost.localdomain", "[172.17.0.2]", "172.17.0.2"])
def test_a_machine_without_a_full_name_greets_with_the_senders_domain(
    monkeypatch: pytest.MonkeyPatch, own: str
) -> None:
    monkeypatch.setattr(addresses, "_own_name", lambda: own)
    with relay() as server:
        sender = "Us <us@münchen.example>"
        mailer = {"sender": sender, "smtp": {"host": "127.0.0.1", "port": server.port}}
        letters = Letters(None, sender, "Us")
        of(Settings(mailer=mailer)).send(letters.render(sample(), datetime.now(UTC)))
        of(Settings(mailer=mailer)).check(sender_of(sender)[1])
        assert {lines[0].lower() for lines in server.heard} == {"ehlo xn--mnchen-3ya.example"}


def test_a_machine_with_a_full_name_greets_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_own_name", lambda: "mail1.hosting.example")
    with relay() as server:
        to(server, helo=None).send(letter())
        assert server.heard[0][0].lower() == "ehlo mail1.hosting.example"


@pytest.mark.parametrize("name", ["x" * 80 + ".ü", "..ü"])
def test_a_greeting_that_is_no_name_is_refused_by_its_setting_and_breaks_nothing(name: str) -> None:
    with relay(EHLO="501 5.5.4 invalid", HELO="501 5.5.4 invalid") as server:
        assert told(lambda: to(server, helo=name).send(letter())).code == "smtp_refused"


@pytest.mark.parametrize(
    "answers",
    [
        {"RCPT": "550 5.7.1 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname"},
        {"RCPT": "504 5.5.2 <mailer>: Helo command rejected: need fully-qualified hostname"},
        {"EHLO": "550 5.7.1 go away", "HELO": "550 5.7.1 go away"},
        {"END": "554 5.7.1 invalid EHLO"},
    ],
)
def test_a_relay_that_refuses_our_name_does_not_make_us_ask_the_customer(answers: dict[str, Answer]) -> None:
    with relay(answers=answers) as server:
        cause = told(lambda: to(server).send(letter()))
    assert cause.code == "smtp_refused"
    assert "mailer.smtp.helo" in cause.detail
    assert "customer for another" not in cause.remedy


def test_a_relay_that_hangs_up_on_our_name_is_asked_later() -> None:
    with relay(EHLO="421 4.7.0 Try again later, closing connection. ([127.0.0.1])") as server:
        cause = told(lambda: to(server).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_temporary", CauseKind.TRANSIENT)


# 35: limits


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "END"])
def test_a_sending_limit_is_transient_at_every_step(step: str) -> None:
    with relay(answers={step: "550 5.4.6 hourly sending limit exceeded"}) as server:
        cause = told(lambda: to(server).send(letter()))
    assert (cause.code, cause.kind) == ("smtp_limit", CauseKind.TRANSIENT)


# 34: an authority of one's own


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context, its certificate signed by an authority of the house; and that authority's file."""
    house = Authority(tmp_path_factory.mktemp("authority"))
    issued = house.issue("relay", "DNS:localhost", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    return context, house.ca_file


def settings_for(port: int, **smtp: object) -> Smtp:
    return of(Settings(mailer={"smtp": {"host": "localhost", "port": port, **smtp}}))


def test_a_relay_whose_authority_is_the_houses_own_is_trusted_by_the_setting(
    tmp_path: Path, authority: tuple[ssl.SSLContext, Path]
) -> None:
    context, ca_file = authority
    with Mailbox(tmp_path, tls=context) as mailbox:
        settings_for(mailbox.port, security="tls", ca_file=str(ca_file)).send(letter())
        assert len(mailbox.messages()) == 1
        cause = told(lambda: settings_for(mailbox.port, security="tls").send(letter()))
        assert (cause.code, "mailer.smtp.ca_file" in cause.remedy) == ("smtp_tls", True)


# A login never goes out in the clear unasked


def accepting(_s: SMTP, _se: Session, _e: Envelope, _how: str, _login: LoginPassword) -> AuthResult:
    return AuthResult(success=True)


def test_without_a_word_about_security_a_login_goes_out_encrypted_and_verified(
    tmp_path: Path, authority: tuple[ssl.SSLContext, Path]
) -> None:
    context, ca_file = authority
    options = {"tls_context": context, "authenticator": accepting, "auth_required": True}
    with Mailbox(tmp_path, options=options) as mailbox:
        login = {"username": "sitecrew", "password": "secret"}
        settings_for(mailbox.port, **login, ca_file=str(ca_file)).send(letter())
        assert "TLSv1" in settings_for(mailbox.port, **login, ca_file=str(ca_file)).check()
        assert told(lambda: settings_for(mailbox.port, **login).send(letter())).code == "smtp_tls"
        assert len(mailbox.messages()) == 1


def test_without_a_word_about_security_a_login_is_not_sent_to_who_cannot_encrypt() -> None:
    with relay(EHLO="250-relay.example\r\n250 AUTH PLAIN LOGIN", AUTH="235 ok") as server:
        cause = told(lambda: settings_for(server.port, username="sitecrew", password="secret").send(letter()))
        assert (cause.code, cause.kind) == ("smtp_tls", CauseKind.CONFIGURATION)
        assert 'mailer.smtp.security = "none"' in cause.remedy
        assert "AUTH" not in server.commands()


def test_a_login_in_the_clear_is_possible_if_asked_for_and_doctor_says_so() -> None:
    with relay(EHLO="250-relay.example\r\n250 AUTH PLAIN", AUTH="235 ok") as server:
        smtp = settings_for(server.port, username="sitecrew", password="secret", security="none")
        smtp.send(letter())
        assert "anyone on the way can read" in smtp.check()


def test_without_a_login_encryption_is_taken_where_it_is_offered_and_not_missed_where_it_is_not(
    tmp_path: Path, authority: tuple[ssl.SSLContext, Path]
) -> None:
    with Mailbox(tmp_path, options={"tls_context": authority[0], "require_starttls": True}) as mailbox:
        settings_for(mailbox.port).send(letter())
        assert len(mailbox.messages()) == 1
    with relay() as server:
        settings_for(server.port).send(letter())
        assert len(server.letters) == 1


# Connections are kept in bulk


def many(smtp: Smtp, count: int) -> None:
    for number in range(count):
        smtp.send(letter(f"c{number}@customer.example"))


def test_letters_in_bulk_share_a_connection_and_each_arrives_once() -> None:
    with relay() as server:
        smtp = to(server, letters_per_connection=50)
        many(smtp, 12)
        smtp.close_idle()
        assert (len(server.heard), len(server.letters)) == (1, 12)
        assert server.commands().count("RSET") == 11
        assert server.commands()[-1] == "QUIT"


def test_a_connection_takes_as_many_letters_as_the_setting_says() -> None:
    with relay() as server:
        many(to(server, letters_per_connection=3), 9)
        assert [lines.count("DATA") + lines.count("data") for lines in server.heard] == [3, 3, 3]


@pytest.mark.parametrize("then", [None, "421 4.4.2 idle too long", "500 unknown command"])
def test_a_connection_that_the_server_has_given_up_is_replaced_and_nothing_is_lost_or_doubled(
    then: str | None,
) -> None:
    with relay(RSET=lambda _: then) as server:
        many(to(server, letters_per_connection=50), 5)
        assert (len(server.heard), len(server.letters)) == (5, 5)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [None, "421 4.7.0 too many messages", "451 4.7.1 too many in this session"])
def test_a_server_that_has_had_enough_of_a_connection_gets_the_letter_over_a_new_one(
    step: str, answer: str | None
) -> None:
    usual = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go on"}[step]
    turns = itertools.chain([usual], [answer], itertools.repeat(usual))
    answers: dict[str, Answer] = {step: lambda _: next(turns)}
    with relay(answers=answers) as server:
        many(to(server, letters_per_connection=50), 3)
        assert (len(server.heard), len(server.letters)) == (2, 3)


def test_a_new_connection_is_not_tried_twice() -> None:
    with relay(MAIL="451 4.7.1 not now") as server:
        smtp = to(server, letters_per_connection=50)
        for _ in range(2):
            assert told(lambda: smtp.send(letter())).code == "smtp_temporary"
        assert len(server.heard) == 2


def test_a_kept_connection_that_is_cut_within_the_letter_leaves_it_open_and_does_not_send_it_again() -> None:
    turns = iter(["250 queued", None])
    with relay(END=lambda _: next(turns)) as server:
        smtp = to(server, letters_per_connection=50)
        smtp.send(letter())
        assert told(lambda: smtp.send(letter("b@customer.example"))).code == "smtp_interrupted"
        assert len(server.heard) == 1


def test_a_refused_recipient_costs_the_next_letter_nothing() -> None:
    with relay(RCPT=once("550 5.1.1 unknown", "250 ok")) as server:
        smtp = to(server, letters_per_connection=50)
        assert told(lambda: smtp.send(letter())).code == "recipient_refused"
        many(smtp, 3)
        assert (len(server.heard), len(server.letters)) == (2, 3)


def test_threads_have_a_connection_each() -> None:
    with relay() as server:
        smtp = to(server, letters_per_connection=50)
        threads = [threading.Thread(target=many, args=(smtp, 10)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert len(server.letters) == 40
        assert len(server.heard) <= 4


def test_the_service_keeps_connections_for_bulk() -> None:
    with relay() as server:
        smtp = settings_for(server.port)
        many(smtp, 4)
        smtp.close_idle(3600)
        assert "QUIT" not in server.commands()
        assert len(server.heard) == 1
        smtp.close_idle()
        assert server.commands()[-1] == "QUIT"


# R11: a whole conversation has its time


@contextmanager
def trickling(first: bytes, more: bytes) -> Iterator[int]:
    """Says `first`, and then `more` again and again, faster than anybody's patience for a single answer ends."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(first)
                while not stop.wait(0.02):
                    try:
                        connection.sendall(more)
                    except OSError:
                        return

        thread = threading.Thread(target=talk)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("first", "more"),
    [(b"", b"220-still here\r\n"), (b"220 here\r\n", b"250-more\r\n"), (b"22", b"0"), (b"220 here\r\n", b"2")],
)
def test_a_server_that_says_a_little_at_a_time_does_not_hold_a_thread_for_ever(first: bytes, more: bytes) -> None:
    with trickling(first, more) as port:
        smtp = Smtp("127.0.0.1", port, "none", timeout=PATIENCE, deadline=0.5, helo="sitecrew.example")
        cause = told(lambda: smtp.send(letter()))
    assert (cause.code, cause.kind) == ("smtp_timeout", CauseKind.TRANSIENT)
    assert "0.5 seconds in all" in cause.detail


def test_a_handshake_that_never_ends_is_ended() -> None:
    with trickling(b"\x16\x03\x03\x40\x00", b"\x02") as port:
        smtp = Smtp("127.0.0.1", port, "tls", timeout=PATIENCE, deadline=0.5)
        assert told(lambda: smtp.send(letter())).code == "smtp_timeout"


@contextmanager
def sipping(tls: ssl.SSLContext | None) -> Iterator[int]:
    """Agrees to everything, and takes the letter so slowly that no single step is late."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            plain, _ = listener.accept()
            with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
                connection.sendall(b"220 here\r\n")
                while not (line := connection.recv(1024)).startswith(b"DATA"):
                    connection.sendall(b"250 yes\r\n" if line else b"")
                connection.sendall(b"354 go on\r\n")
                with suppress(OSError):
                    while not stop.wait(0.01) and connection.recv(1024):
                        pass

        thread = threading.Thread(target=talk)
        thread.start()
        yield listener.getsockname()[1]
        stop.set()
        thread.join()


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_letter_that_is_taken_a_little_at_a_time_does_not_hold_a_thread_for_ever(
    authority: tuple[ssl.SSLContext, Path], *, encrypted: bool
) -> None:
    context, ca_file = authority
    with sipping(context if encrypted else None) as port:
        security: dict[str, Any] = {"security": "tls", "ca_file": ca_file} if encrypted else {"security": "none"}
        smtp = Smtp("127.0.0.1", port, timeout=PATIENCE, deadline=2.0, helo="sitecrew.example", **security)
        cause = told(lambda: smtp.send(letter(text="All of it.\n" * 2_000_000)))
    assert (cause.code, "seconds in all" in cause.detail) == ("smtp_timeout", True)


@pytest.mark.parametrize("flood", ["250-" + "x" * 70_000, "\r\n".join(["250-more"] * 10_000)])
def test_an_answer_without_end_is_not_read_to_the_end(flood: str) -> None:
    with relay(EHLO=flood, HELO=flood) as server:
        cause = told(lambda: to(server).send(letter()))
    assert cause.kind == CauseKind.TRANSIENT
    assert "does not end" in cause.detail


# 37: senders with a domain beyond ASCII


def test_a_sender_with_an_international_domain_is_converted_wherever_it_stands() -> None:
    letters = Letters(None, "Hosting <info@münchen.example>", "Hosting")
    with relay() as server:
        to(server).send(letters.render(sample(), datetime.now(UTC)))
        assert server.heard[0][1].lower().startswith("mail from:<info@xn--mnchen-3ya.example>")
        [content] = server.letters
    assert b"From: Hosting <info@xn--mnchen-3ya.example>" in content.replace(b'"', b"")
    assert b"@xn--mnchen-3ya.example>\r\n" in content.partition(b"Message-ID:")[2]
    assert content.isascii()


@pytest.mark.parametrize("sender", ["Hosting <jürgen@hosting.example>", "nobody", "a@b@c", "Hosting <a b@c.example>"])
def test_a_sender_that_not_every_server_takes_is_refused_at_the_door(sender: str) -> None:
    with pytest.raises(ConfigurationError, match=r"mailer\.sender"):
        Letters(None, sender, "Hosting")


def test_an_international_mailbox_at_a_server_without_smtputf8_is_told_by_that_name() -> None:
    with relay() as server:
        cause = told(lambda: to(server).send(letter("jürgen@customer.example")))
        assert "SMTPUTF8" in cause.detail


# Doctor asks what a letter asks


def test_a_check_asks_whether_the_sender_may_send_and_sends_nothing() -> None:
    with relay() as server:
        to(server).check("us@hosting.example")
        assert server.commands() == ["EHLO", "NOOP", "MAIL", "RCPT", "QUIT"]


def test_a_check_sees_a_greeting_that_is_refused_with_the_recipient_only() -> None:
    with relay(RCPT="550 5.7.1 <[127.0.0.1]>: Helo command rejected: need fully-qualified hostname") as server:
        assert "mailer.smtp.helo" in told(lambda: to(server).check("us@hosting.example")).detail


@pytest.mark.parametrize("answer", ["550 5.1.1 no such user", "450 4.7.1 greylisted"])
def test_a_check_does_not_mind_that_the_sender_has_no_mailbox(answer: str) -> None:
    with relay(RCPT=answer) as server:
        assert "answers" in to(server).check("us@hosting.example")


# Small ones


@pytest.mark.parametrize(("port", "tls"), [(465, True), (587, False), (25, False)])
def test_port_465_speaks_tls_from_the_first_byte_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, port: int, tls: bool
) -> None:
    with relay() as server:
        real, first = socket.create_connection, []
        monkeypatch.setattr(socket, "create_connection", lambda _to, timeout: real(("127.0.0.1", server.port), timeout))
        cause = told(lambda: settings_for(port, username="sitecrew", password="secret").send(letter()))
        first += [line for lines in server.heard for line in lines]
    assert cause.code == "smtp_tls"
    assert (not any(line.upper().startswith("EHLO") for line in first)) == tls


def test_a_mail_server_may_have_an_address_of_the_newer_family(tmp_path: Path) -> None:
    with Mailbox(tmp_path, host="::1") as mailbox:
        smtp = of(Settings(mailer={"smtp": {"host": "[::1]", "port": mailbox.port, "letters_per_connection": 1}}))
        smtp.send(letter())
        assert smtp.check().startswith(f"[::1]:{mailbox.port} answers")
