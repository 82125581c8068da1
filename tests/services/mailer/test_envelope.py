"""What travels: the bytes of a letter, against what the standard library makes of the same text."""

import sys
import unicodedata
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

from hypothesis import example, given
from hypothesis import strategies as st

from services.mailer.letter.content import UNPRINTABLE
from services.mailer.letter.envelope import Letter, content

bodies = st.text(
    st.one_of(st.sampled_from("\r\n.=- \tü"), st.characters(exclude_categories=["Cs"])), min_size=1, max_size=400
)


def standard(text: str, html: str | None) -> EmailMessage:
    message = EmailMessage(SMTP)
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    return message


def read(message: bytes) -> list[tuple[str, str]]:
    """The parts, as a mail program reads them."""
    parsed = message_from_bytes(message, policy=SMTP)
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    assert not any(part.defects for part in parsed.walk())
    return [(part.get_content_type(), part.get_content().replace("\r\n", "\n")) for part in parts]


@given(text=bodies, html=st.none() | bodies)
@example(text="x" * 2000, html="ü" * 2000)
@example(text="a \n\t\n.\n..\r\rFrom b\n", html="--=_\n--\n")
def test_bodies_arrive_as_the_standard_librarys_do(text: str, html: str | None) -> None:
    sent = content({"MIME-Version": "1.0"}, text, html)
    assert read(sent) == read(standard(text, html).as_bytes())
    assert sent.isascii()
    lines = sent.split(b"\r\n")
    assert lines[-1] == b""
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)


def test_a_letter_does_not_show_what_stands_in_it() -> None:
    letter = Letter("us@host.example", ["alex@customer.example"], "<1@host.example>", b"Password: s3cret", ["s3cret"])
    assert "s3cret" not in repr(letter)


def test_what_cannot_stand_on_one_line_goes_by_its_category() -> None:
    categories = {letter: unicodedata.category(letter) for letter in map(chr, range(sys.maxunicode + 1))}
    unprintable = {letter for letter, category in categories.items() if category in {"Cc", "Cs", "Zl", "Zp"}}
    assert set(filter(UNPRINTABLE.match, categories)) == unprintable
