"""Host names: the same name in one form, or refused; never another one."""

from collections.abc import Callable

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.values import Customer, Domain, Model, _email, _validated_email


class Named(Model):
    domain: Domain


def domain(sent: str) -> str:
    return Named(domain=sent).domain


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("shop.example", "shop.example"),
        (" Shop.Example ", "shop.example"),
        ("shop.example.", "shop.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MU\u0308NCHEN.example", "xn--mnchen-3ya.example"),
        ("XN--Mnchen-3YA.example", "xn--mnchen-3ya.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("STRA\u1e9eE.example", "xn--strae-oqa.example"),
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("\u03c3\u03b1\u03c2.example", "xn--mxa8ab.example"),
        ("क्\u200dष.example", "xn--11b2ezcw70k.example"),
        ("tokyo\u6771\u4eac\u30bf\u30ef\u30fc.example", "xn--tokyo-qr4dmmodv073ay09b.example"),
        ("xn--80ak6aa92e.example", "xn--80ak6aa92e.example"),
    ],
)
def test_a_name_has_one_form(sent: str, name: str) -> None:
    assert domain(sent) == name


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ("localhost", "is not a host name"),
        ("shop.example..", "is not a host name"),
        ("shop..example", "is not a host name"),
        ("a_b.example", "is not a host name"),
        ("-a.example", "is not a host name"),
        ("::1", "is not a host name"),
        ("[2001:db8::1]", "is not a host name"),
        ("192.0.2.10", "is a number"),
        ("1.2.3", "is a number"),
        ("shop.0x7f", "is a number"),
        ("shop.12", "is a number"),
        ("\uff53\uff48\uff4f\uff50.example", "stand for others"),
        ("shop\u3002example", "stand for others"),
        ("shop\u00ad.example", "stand for others"),
        ("192.0.2.\uff11", "stand for others"),
        ("💩.example", "not a valid internationalized host name"),
        ("a\u200db.example", "not a valid internationalized host name"),
        ("ä" * 63 + ".example", "not a valid internationalized host name"),
        ("xn--zz-zzzzzz.example", "beginning with 'xn--' that is not valid"),
        ("xn--a.example", "beginning with 'xn--' that is not valid"),
        ("\u0430pple.example", "several scripts"),
        ("xn--pple-43d.example", "several scripts"),
        ("o\u03bfps.example", "several scripts"),
    ],
)
def test_what_is_no_name_or_looks_like_another_is_refused_without_repeating_it(sent: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        domain(sent)
    if not sent.isascii():
        assert sent.partition(".")[0] not in str(refused.value)


@pytest.mark.parametrize(
    "sent",
    [
        "jo@\uff53\uff48\uff4f\uff50.example",
        "Jo <jo@\uff53\uff48\uff4f\uff50.example>",
        "jo@\u0430pple.example",
        "jo@192.0.2.10",
    ],
)
def test_the_domain_of_an_address_is_held_to_the_same_rules(sent: str) -> None:
    with pytest.raises(ValidationError):
        Customer(name="Jo", email=sent)


@pytest.mark.parametrize("sent", ["jo@stra\u1e9ee.example", "Jo <jo@straße.example>", "jo@xn--strae-oqa.example"])
def test_the_domain_of_an_address_is_never_turned_into_another(sent: str) -> None:
    assert Customer(name="Jo", email=sent).email == "jo@straße.example"


@pytest.mark.parametrize("local", ["x" * 65, "\u00e9" * 33])
def test_a_mailbox_that_no_mail_server_takes_is_refused_at_the_door(local: str) -> None:
    with pytest.raises(ValidationError, match="64 bytes"):
        Customer(name="Jo", email=f"{local}@customer.example")
    assert Customer(name="Jo", email=f"{local[:32]}@customer.example")


def outcome(validate: Callable[[str], str], sent: str) -> tuple[type[Exception] | None, str]:
    try:
        return None, validate(sent)
    except ValueError as error:
        return type(error), str(error)


LOCAL = st.text("ab1_+-.'\" éA", max_size=8) | st.integers(60, 260).map("x".__mul__)
LABEL = st.text("ab1-_éA ", max_size=6) | st.sampled_from(["xn--mnchen-3ya", "xn--a", "0xa", *SPECIAL_USE_DOMAIN_NAMES])
HOST = st.lists(LABEL | st.integers(60, 66).map("a".__mul__), max_size=5).map(".".join)
ADDRESS = st.builds("{}@{}".format, LOCAL | st.sampled_from(CASE_INSENSITIVE_MAILBOX_NAMES), HOST)
PLAIN = st.from_regex(r"[a-z0-9_+.-]{1,4}@([a-z0-9-]{1,3}\.){0,3}[a-z0-9]{1,3}", fullmatch=True)
MAILBOX = st.sampled_from([f"{'x' * 64}@", "a@"])
LONG = st.builds(lambda mailbox, size: f"{mailbox}{'b.' * size}com", MAILBOX, st.integers(90, 128))


@given(ADDRESS | PLAIN | LONG)
@example("jo@customer.example")
@example("jo@customer.example\n")
@example("jo@@customer.example")
@example(f"{'x' * 64}@{'b.' * 93}com")
@example(f"{'x' * 64}@{'b.' * 94}com")
@example(f"{'x' * 65}@customer.example")
def test_a_plain_address_is_judged_as_the_library_does(sent: str) -> None:
    assert outcome(_email, sent) == outcome(_validated_email, sent)
