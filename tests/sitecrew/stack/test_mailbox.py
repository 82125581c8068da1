"""The mail catcher, and what is read out of the letters it caught."""

import smtplib
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import httpx2
import pytest
from aiosmtpd.smtp import Envelope
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import NotFound
from sitecrew.stack.login import Credentials, read_credentials, wordpress_login
from sitecrew.stack.servers.mailbox import CUT, HANG, Mailbox

MESSAGE = b"From: a@host.example\r\nSubject: caf\xc3\xa9\r\n\r\nbody\r\n.dot\r\n"


def deliver(mailbox: Mailbox, recipient: str = "alex@customer.example", content: bytes = MESSAGE) -> None:
    with smtplib.SMTP(mailbox.host, mailbox.port, "test.example", timeout=60) as client:
        client.sendmail("a@host.example", [recipient], content)


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    with Mailbox(tmp_path / "mail") as opened:
        yield opened


def test_a_message_is_kept_byte_for_byte_with_its_envelope(mailbox: Mailbox) -> None:
    deliver(mailbox)
    [received] = mailbox.messages()
    assert received.path.name == "000001-alex@customer.example.eml"
    assert received.path.read_bytes() == MESSAGE
    assert (received.sender, received.recipients) == ("a@host.example", ("alex@customer.example",))
    assert received.message()["Subject"] == "café"


def test_messages_are_for_the_owners_eyes_only(mailbox: Mailbox) -> None:
    deliver(mailbox)
    assert mailbox.directory.stat().st_mode & 0o777 == 0o700
    assert mailbox.messages()[0].path.stat().st_mode & 0o777 == 0o600


def test_nothing_but_whole_messages_is_in_the_directory(mailbox: Mailbox) -> None:
    deliver(mailbox)
    assert [path.suffix for path in mailbox.directory.iterdir()] == [".eml"]


def test_numbers_go_on_where_an_earlier_mailbox_stopped(tmp_path: Path) -> None:
    (tmp_path / "000041-someone.eml").write_bytes(MESSAGE)
    (tmp_path / "notes.eml").write_bytes(MESSAGE)
    with Mailbox(tmp_path) as mailbox:
        deliver(mailbox)
        assert [received.path.name for received in mailbox.messages()] == ["000042-alex@customer.example.eml"]


def test_many_at_once_are_all_kept(mailbox: Mailbox) -> None:
    threads = [threading.Thread(target=deliver, args=(mailbox, f"c{n}@customer.example")) for n in range(20)]
    for thread in threads:
        thread.start()
    received = mailbox.wait_for(20, timeout=60)
    for thread in threads:
        thread.join()
    assert len({message.path for message in received}) == 20
    assert {message.recipients[0] for message in received} == {f"c{n}@customer.example" for n in range(20)}


@pytest.mark.parametrize("local", ["../../etc/passwd", "a/b", ".", "..", "a b", "nul\tx", "x" * 300])
def test_a_hostile_recipient_cannot_choose_where_its_file_goes(mailbox: Mailbox, local: str) -> None:
    deliver(mailbox, f'"{local}"@customer.example')
    [path] = mailbox.directory.iterdir()
    assert path.name.startswith("000001-")
    assert len(path.name) < 100


@settings(deadline=None)
@given(recipient=st.text(max_size=300))
def test_no_recipient_makes_a_file_name_that_leaves_the_directory(
    tmp_path_factory: pytest.TempPathFactory, recipient: str
) -> None:
    mailbox = Mailbox(tmp_path_factory.mktemp("mail"))
    envelope = Envelope()
    envelope.rcpt_tos, envelope.original_content = [recipient], MESSAGE
    mailbox.keep(envelope)
    [path] = mailbox.directory.iterdir()
    assert path.read_bytes() == MESSAGE
    assert path.name.isascii()


def test_waiting_ends_as_soon_as_the_condition_holds(mailbox: Mailbox) -> None:
    threading.Thread(target=deliver, args=(mailbox, "late@customer.example")).start()
    received = mailbox.wait_for(lambda all_: any("late@" in message.recipients[0] for message in all_))
    assert len(received) == 1


def test_waiting_in_vain_ends_at_the_deadline_and_says_what_is_there(mailbox: Mailbox) -> None:
    deliver(mailbox)
    with pytest.raises(TimeoutError, match=r"1 messages arrived within .*, wanted: 2"):
        mailbox.wait_for(2, timeout=0.05)


def test_it_can_refuse_and_then_be_kind_again(mailbox: Mailbox) -> None:
    mailbox.behave = lambda stage, _: "451 not now" if stage == "data" else None
    with pytest.raises(smtplib.SMTPDataError, match="not now"):
        deliver(mailbox)
    mailbox.behave = None
    deliver(mailbox)
    assert [received.path.name for received in mailbox.messages()] == ["000001-alex@customer.example.eml"]


def test_it_can_keep_a_message_and_never_say_so(mailbox: Mailbox) -> None:
    mailbox.behave = lambda stage, _: CUT if stage == "stored" else None
    with pytest.raises(smtplib.SMTPServerDisconnected):
        deliver(mailbox)
    assert len(mailbox.messages()) == 1


def test_it_closes_at_once_in_the_middle_of_a_conversation(tmp_path: Path) -> None:
    asked = threading.Event()

    def hang(stage: str, _: Envelope) -> str | None:
        if stage == "rcpt":
            asked.set()
            return HANG
        return None

    with Mailbox(tmp_path, behave=hang) as mailbox:
        errors: list[Exception] = []
        client = threading.Thread(target=lambda: errors.append(raised_by(lambda: deliver(mailbox))))
        client.start()
        assert asked.wait(60)
    client.join(60)
    assert isinstance(errors[0], smtplib.SMTPServerDisconnected)


def raised_by(attempt: Callable[[], object]) -> Exception:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the caller looks closer
        attempt()
    return caught.value


def test_a_port_that_is_taken_is_an_error_and_not_a_hang(mailbox: Mailbox, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="in use"), Mailbox(tmp_path, port=mailbox.port):
        pass


def test_what_cannot_be_kept_is_not_accepted(mailbox: Mailbox) -> None:
    mailbox.directory.rmdir()
    with pytest.raises(smtplib.SMTPDataError, match="cannot store it"):
        deliver(mailbox)
    assert mailbox.messages() == []


# the login in a letter


def eml(directory: Path, text: str) -> Path:
    message = EmailMessage()
    message["From"] = "a@host.example"
    message.set_content(text)
    message.add_alternative("<p>Username: html<br>Password: html</p>", subtype="html")
    path = directory / "letter.eml"
    path.write_bytes(message.as_bytes())
    return path


def test_the_first_login_in_the_text_is_the_applications(tmp_path: Path) -> None:
    text = "Hello Ü\n\nUsername: al ex=\nPassword: x: y \n\nControl panel username: p\nUsername: q\nPassword: q\n"
    assert read_credentials(eml(tmp_path, text)) == Credentials("al ex=", "x: y ")


@pytest.mark.parametrize("text", ["Hello\n", "Username: a\n", "My username: a\nMy password: b\n", " Username: a\n"])
def test_a_letter_without_a_login_says_so(tmp_path: Path, text: str) -> None:
    with pytest.raises(NotFound, match=r"letter\.eml"):
        read_credentials(eml(tmp_path, text))


def test_the_password_is_not_in_the_repr() -> None:
    assert "s3cret" not in repr(Credentials("alex", "s3cret"))


# logging in


def wordpress(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
    """The outside of WordPress's login: answers 200 to a wrong password, wants its test cookie, knows its own name."""
    if environ["HTTP_HOST"] != "shop.example":
        start("404 Not Found", [])
        return [b"no such site"]
    cookies, headers, page = environ.get("HTTP_COOKIE", ""), [("Content-Type", "text/html")], b"<form id='loginform'>"
    if environ["PATH_INFO"] == "/wp-admin/":
        if "logged_in=1" in cookies:
            page = b'<body class="wp-admin"><div id="wpwrap"><div id="adminmenu"></div></div></body>'
            start("200 OK", headers)
        else:
            start("302 Found", [("Location", "http://shop.example/wp-login.php")])
        return [page]
    sent = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    if "test_cookie=1" in cookies and (sent.get("log"), sent.get("pwd")) == (["alex"], ["right & <proper>"]):
        start("302 Found", [("Location", sent["redirect_to"][0]), ("Set-Cookie", "logged_in=1; path=/")])
        return []
    start("200 OK", [*headers, ("Set-Cookie", "test_cookie=1; path=/")])
    return [page]


@contextmanager
def site() -> Iterator[str]:
    with make_server("127.0.0.1", 0, wordpress) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def logs_in(credentials: Credentials, site_url: str = "http://shop.example/") -> bool:
    with site() as place:
        return wordpress_login("http://shop.example/wp-login.php", site_url, credentials, connect_to=place)


def test_the_right_password_leads_to_the_dashboard_at_the_sites_own_name() -> None:
    assert logs_in(Credentials("alex", "right & <proper>"))
    assert logs_in(Credentials("alex", "right & <proper>"), "http://shop.example")


def test_a_wrong_password_does_not_though_it_answers_200() -> None:
    assert not logs_in(Credentials("alex", "wrong"))


def test_a_dashboard_elsewhere_is_not_the_sites() -> None:
    assert not logs_in(Credentials("alex", "right & <proper>"), "http://shop.example/blog/")


def test_a_site_that_does_not_answer_is_an_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: refuses, and nobody else can take the port
        nobody = f"127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(httpx2.HTTPError):
            wordpress_login("http://s.example/login", "http://s.example/", Credentials("a", "b"), connect_to=nobody)
