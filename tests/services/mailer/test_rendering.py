"""The welcome letter: what stands in it, and what can never get into it."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundation.errors import ConfigurationError, Failed
from schemas.values import CauseKind
from services.mailer.letter.envelope import Letter
from services.mailer.letter.rendering import Letters, PanelLogin, Welcome, sample

NOON = datetime(2025, 11, 23, 12, 0, tzinfo=UTC)
LETTERS = Letters(None, "Northwind <hello@host.example>", "Northwind Hosting", "support@host.example")
STATIC = replace(sample(), site_type="static", application="Site", login_url=None, username=None, password=None)

any_text = st.text(st.one_of(st.sampled_from('abü "\\,;:<>()@[].=?_\r\n\u2028\u202e'), st.characters()), max_size=200)
one_line = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=200)


def received(letter: Letter) -> EmailMessage:
    """The letter as a mail program sees it: from its bytes alone."""
    return email.message_from_string(letter.content.decode(), policy=email.policy.default)


def addressed_to(letter: Letter) -> list[tuple[str, str]]:
    """Names and addresses in To, read by the older parser: the newer one stumbles over some encoded names."""
    header = email.message_from_bytes(letter.content, policy=email.policy.compat32)["To"]
    return [(str(make_header(decode_header(name))), address) for name, address in getaddresses([header])]


def part(letter: Letter, kind: str) -> str:
    body = received(letter).get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def text_of(welcome: Welcome) -> str:
    return part(LETTERS.render(welcome, NOON), "plain")


def html_of(welcome: Welcome) -> str:
    return part(LETTERS.render(welcome, NOON), "html")


def broken(directory: Path) -> Failed:
    with pytest.raises(Failed) as caught:
        Letters(directory, "hello@host.example", "Northwind").render(sample(), NOON)
    return caught.value


# headers


def test_a_letter_says_who_it_is_from_for_and_about() -> None:
    letter = received(LETTERS.render(sample(), NOON))
    assert letter["From"] == "Northwind <hello@host.example>"
    assert letter["To"] == "Alex Morgan <alex@customer.example>"
    assert letter["Subject"] == "Your WordPress site shop.example is ready"
    assert letter["Message-ID"] == "<welcome.1042-g1@host.example>"
    assert letter["Auto-Submitted"] == "auto-generated"
    assert [one.get_content_type() for one in letter.iter_parts()] == ["text/plain", "text/html"]


def test_a_sender_without_a_name_goes_by_the_brand() -> None:
    letter = Letters(None, "hello@host.example", "Northwind Hosting").render(sample(), NOON)
    assert received(letter)["From"] == "Northwind Hosting <hello@host.example>"


def test_the_date_is_the_given_one_in_utc() -> None:
    eastern = NOON.astimezone(timezone(timedelta(hours=-5)))
    assert received(LETTERS.render(sample(), eastern))["Date"] == "Sun, 23 Nov 2025 12:00:00 +0000"


def test_the_same_install_always_gives_the_same_bytes() -> None:
    assert LETTERS.render(sample(), NOON).content == LETTERS.render(sample(), NOON).content


@settings(deadline=None)
@given(any_text)
def test_no_name_adds_a_recipient_a_header_or_a_credential(name: str) -> None:
    letter = LETTERS.render(replace(sample(), customer_name=name, application=name or "x"), NOON)
    seen = received(letter)
    assert seen.keys() == received(LETTERS.render(sample(), NOON)).keys()
    assert [address for _, address in addressed_to(letter)] == ["alex@customer.example"]
    lines = part(letter, "plain").split("\n")
    assert [line for line in lines if line.startswith("Username:")] == ["Username: alex"]
    assert [line for line in lines if line.startswith("Password:")] == ["Password: only-a-sample-2Kf9"]


@settings(deadline=None)
@given(any_text)
def test_a_name_arrives_as_it_was_but_for_what_cannot_stand_on_one_line(name: str) -> None:
    [(shown, _)] = addressed_to(LETTERS.render(replace(sample(), customer_name=name), NOON))
    assert text_of(replace(sample(), customer_name=name)).startswith(f"Hello {shown}".strip() + ",\n")


@settings(deadline=None)
@given(any_text)
@example("x" * 1000)
@example("=?utf-8?q?Bcc=3A?= of us")
@example("many words " * 20)
def test_a_subject_arrives_as_it_was_written(application: str) -> None:
    letter = LETTERS.render(replace(sample(), application=application), NOON)
    [line] = [line for line in part(letter, "plain").split("\n") if line.startswith("We have installed ")]
    shown = line.removeprefix("We have installed ").partition("for shop.example,")[0]
    assert received(letter)["Subject"].split(" ") == f"Your {shown} site shop.example is ready".split()
    assert max(map(len, letter.content.split(b"\r\n"))) <= 998


def test_half_a_character_in_a_name_does_no_harm() -> None:
    assert text_of(replace(sample(), customer_name="Al\ud800ex")).startswith("Hello Al ex,\n")


def test_a_long_name_with_commas_and_addresses_in_it_stays_one_recipient() -> None:
    crowd = ", ".join(f"friend{number}@evil.example" for number in range(8))
    letter = LETTERS.render(replace(sample(), customer_name=crowd), NOON)
    assert addressed_to(letter) == [(crowd, "alex@customer.example")]


def test_a_recipient_at_an_international_domain_is_written_to_in_ascii() -> None:
    letter = LETTERS.render(replace(sample(), customer_email="kunde@faß.example"), NOON)
    assert received(letter)["To"].addresses[0].addr_spec == "kunde@xn--fa-hia.example"
    assert letter.content.isascii()


def test_a_recipient_whose_mailbox_name_is_international_is_kept() -> None:
    letter = LETTERS.render(replace(sample(), customer_email="jürgen@müller.example"), NOON)
    assert received(letter)["To"].addresses[0].addr_spec == "jürgen@xn--mller-kva.example"
    assert "jürgen@".encode() in letter.content


@pytest.mark.parametrize("address", ["", "alex", "a@b\nBcc: x@evil.example", "a b@c.example", "a@x,b@y", "a@\u2028b"])
def test_what_is_no_address_is_refused_for_good(address: str) -> None:
    with pytest.raises(Failed) as caught:
        LETTERS.render(replace(sample(), customer_email=address), NOON)
    assert (caught.value.cause.code, caught.value.cause.kind) == ("recipient_refused", CauseKind.PERMANENT)


# what stands in it


def test_the_login_comes_before_the_control_panels_and_cannot_be_taken_for_it() -> None:
    lines = text_of(sample()).split("\n")
    ordered = [
        "Username: alex",
        "Password: only-a-sample-2Kf9",
        "Control panel: https://panel.host.example:2083/",
        "Control panel username: shop",
        "Control panel password: another-sample-x7Qd",
    ]
    assert [line for line in lines if line in ordered] == ordered
    assert [line for line in lines if "sername:" in line or "assword:" in line] == ordered[:2] + ordered[3:]


@settings(deadline=None)
@given(username=one_line, password=one_line)
def test_logins_are_given_to_the_letter(username: str, password: str) -> None:
    lines = text_of(replace(sample(), username=username, password=password)).split("\n")
    assert f"Username: {username}" in lines
    assert f"Password: {password}" in lines


def test_an_ascii_letter_can_be_read_without_decoding() -> None:
    raw = LETTERS.render(sample(), NOON).content.split(b"\r\n")
    assert b"Username: alex" in raw
    assert b"Password: only-a-sample-2Kf9" in raw


def test_a_site_without_a_login_has_no_login_lines() -> None:
    plain = text_of(replace(STATIC, control_panel=None))
    assert "sername" not in plain
    assert "assword" not in plain
    assert "assword" not in html_of(replace(STATIC, control_panel=None))


def test_a_temporary_address_comes_with_what_to_do_about_dns() -> None:
    assert "shop.example    A    203.0.113.7" in text_of(sample())
    assert "shop.example    AAAA    2001:db8::7" in text_of(replace(sample(), address="2001:db8::7"))
    moved_in = replace(sample(), temporary=False, site_url="https://shop.example/", login_url=None)
    assert "203.0.113.7" not in text_of(moved_in) + html_of(moved_in)


def test_a_reinstall_says_that_the_old_login_is_gone() -> None:
    again = replace(sample(), generation=2, install_id="1042-g2")
    assert (
        received(LETTERS.render(again, NOON))["Subject"] == "Your WordPress site shop.example has been installed again"
    )
    assert "The login below takes the place of the earlier one." in text_of(again)
    assert "The login below takes the place of the earlier one." in html_of(again)


def test_an_international_domain_is_shown_as_people_write_it_and_as_dns_wants_it() -> None:
    text = text_of(replace(sample(), domain="xn--mller-kva.example"))
    assert "We have installed WordPress for müller.example," in text
    assert "     xn--mller-kva.example    A    203.0.113.7" in text


def test_the_html_says_all_that_the_text_says() -> None:
    html = html_of(sample())
    for said in ("alex", "only-a-sample-2Kf9", "panel.host.example:2083", "another-sample-x7Qd", "203.0.113.7"):
        assert said in html


def test_the_html_fetches_nothing_and_runs_nothing() -> None:
    html = html_of(sample()).lower()
    for foreign in ("<img", "<link", "<script", "url(", "@import", "src="):
        assert foreign not in html


def test_the_html_carries_its_style_inline_and_knows_the_dark() -> None:
    html = html_of(sample())
    assert '<h1 style="' in html
    assert "@media (prefers-color-scheme: dark)" in html


def test_a_name_is_text_in_the_html_and_never_markup() -> None:
    html = html_of(replace(sample(), customer_name="<b onclick=x>Bobby & Söhne</b>"))
    assert "&lt;b onclick=x&gt;Bobby &amp; Söhne&lt;/b&gt;" in html
    assert "<b onclick" not in html


def test_no_line_is_longer_than_mail_allows() -> None:
    address = "https://shop.example/" + "a" * 3000
    long = replace(sample(), site_url=address, customer_name="李" * 200, password="x" * 900)
    assert max(map(len, LETTERS.render(long, NOON).content.split(b"\r\n"))) <= 998
    assert "Password: " + "x" * 900 in text_of(long).split("\n")


@pytest.mark.parametrize("name", ["username", "password", "site_url", "login_url", "domain", "address"])
def test_a_login_that_cannot_stand_on_one_line_is_refused_without_being_quoted(name: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        replace(sample(), **{name: "http://s3cr3t\nPassword: x"})  # type: ignore[arg-type]
    assert "s3cr3t" not in str(caught.value)


def test_a_link_must_be_a_web_address() -> None:
    with pytest.raises(ValueError, match="login_url must begin with"):
        replace(sample(), login_url="javascript:alert(1)")


def test_passwords_are_not_in_the_repr() -> None:
    assert "only-a-sample" not in repr(sample())
    assert "another-sample" not in repr(sample())


# the operator's templates


def test_an_operators_template_goes_before_ours_and_may_build_on_it(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt.j2").write_text(
        '{% extends "sitecrew/welcome.txt.j2" %}{% block closing %}Ahoi, {{ brand }}{% endblock %}'
    )
    letter = Letters(tmp_path, "hello@host.example", "Northwind").render(sample(), NOON)
    assert part(letter, "plain").endswith("Ahoi, Northwind\n")
    assert "Password: only-a-sample-2Kf9\n" in part(letter, "plain")


def test_a_template_for_the_site_type_goes_before_the_general_one(tmp_path: Path) -> None:
    (tmp_path / "welcome.static.subject.j2").write_text("{{ domain }}\nis online")
    letters = Letters(tmp_path, "hello@host.example", "Northwind")
    assert received(letters.render(STATIC, NOON))["Subject"] == "shop.example is online"
    assert received(letters.render(sample(), NOON))["Subject"] == "Your WordPress site shop.example is ready"


def test_templates_are_read_once(tmp_path: Path) -> None:
    template = tmp_path / "welcome.subject.j2"
    template.write_text("first")
    letters = Letters(tmp_path, "hello@host.example", "Northwind")
    template.unlink()
    assert received(letters.render(sample(), NOON))["Subject"] == "first"


def test_a_template_with_a_syntax_error_is_named_with_its_line_before_any_letter(tmp_path: Path) -> None:
    (tmp_path / "welcome.other.txt.j2").write_text("Hello\n\n{% if %}\n")
    cause = broken(tmp_path).cause
    assert (cause.code, cause.kind) == ("template_broken", CauseKind.CONFIGURATION)
    assert f"{tmp_path}/welcome.other.txt.j2, line 3" in cause.detail


def test_a_template_that_asks_for_what_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt.j2").write_text("Hello\n{{ customer_nam }}\n")
    detail = broken(tmp_path).cause.detail
    assert detail == f"{tmp_path}/welcome.txt.j2, line 2: UndefinedError in: {{{{ customer_nam }}}}"


def test_the_line_is_that_of_the_included_file(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt.j2").write_text("{% include 'foot.j2' %}")
    (tmp_path / "foot.j2").write_text("\n\n{{ 1 / 0 }}")
    assert f"{tmp_path}/foot.j2, line 3: ZeroDivisionError" in broken(tmp_path).cause.detail


@pytest.mark.parametrize("expression", ["{{ brand[password] }}", "{{ {}[password] + 1 }}", "{% include password %}"])
def test_a_broken_template_never_gives_a_password_away(tmp_path: Path, expression: str) -> None:
    (tmp_path / "welcome.html.j2").write_text(expression)
    failure = broken(tmp_path)
    assert "only-a-sample" not in str(failure) + str(failure.cause)
    assert failure.__suppress_context__


@pytest.mark.parametrize("content", [b"\xff\xfe", b"  \n", b"{# nothing #}"])
def test_a_template_that_is_no_text_or_no_letter_is_broken(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "welcome.txt.j2").write_bytes(content)
    assert "welcome.txt.j2" in broken(tmp_path).cause.detail


def test_settings_that_cannot_be_used_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no template directory"):
        Letters(tmp_path / "missing", "hello@host.example", "Northwind")
    with pytest.raises(ConfigurationError, match="sender"):
        Letters(None, "Northwind", "Northwind")


def test_a_support_page_is_linked_as_it_is_and_an_address_by_mail() -> None:
    page = Letters(None, "hello@host.example", "Northwind", "https://help.host.example/")
    assert 'href="https://help.host.example/"' in part(page.render(sample(), NOON), "html")
    assert 'href="mailto:support@host.example"' in html_of(sample())
    beyond = Letters(None, "hello@host.example", "Northwind", "hilfe@hösting.example")
    assert 'href="mailto:hilfe@xn--hsting-wxa.example"' in part(beyond.render(sample(), NOON), "html")
    assert "hilfe@hösting.example" in part(beyond.render(sample(), NOON), "plain")
    silent = Letters(None, "hello@host.example", "Northwind")
    assert "help with" not in part(silent.render(sample(), NOON), "plain")


def test_the_panel_login_is_held_to_the_same_rules() -> None:
    with pytest.raises(ValueError, match="password"):
        PanelLogin("https://panel.example/", "shop", "a\nb")


# languages


GERMAN = replace(sample(), locale="de_DE")
AT_DOMAIN = replace(sample(), temporary=False, dns=True, site_url="http://shop.example/", login_url=None)


def letters(directory: Path, **files: str) -> Letters:
    """With templates of the operator's own: `welcome__fr__txt` is welcome.fr.txt.j2."""
    for name, source in files.items():
        (directory / f"{name.replace('__', '.')}.j2").write_text(source, "utf-8")
    return Letters(directory, "hello@host.example", "Northwind")


@pytest.mark.parametrize("locale", ["de", "de_DE", "de_AT", "de_DE_formal"])
def test_a_german_customer_gets_a_german_letter(locale: str) -> None:
    letter = LETTERS.render(replace(sample(), locale=locale), NOON)
    text = part(letter, "plain")
    assert received(letter)["Subject"] == "Ihre WordPress-Website shop.example ist eingerichtet"
    assert text.startswith("Guten Tag Alex Morgan,\n\nwir haben WordPress für shop.example installiert.")
    assert "Passwort: only-a-sample-2Kf9\n" in text
    assert '<html lang="de' in part(letter, "html")
    assert received(letter)["Content-Language"] == "de"


def test_a_customer_of_another_language_gets_the_houses_own() -> None:
    assert text_of(replace(sample(), locale="pt_BR")).startswith("Hello Alex")
    german = Letters(None, "hello@host.example", "Northwind", locale="de")
    assert part(german.render(replace(sample(), locale="pt_BR"), NOON), "plain").startswith("Guten Tag")
    assert part(german.render(sample(), NOON), "plain").startswith("Guten Tag")
    assert '<html lang="en">' in html_of(replace(sample(), locale="pt_BR"))


@pytest.mark.parametrize(
    "welcome",
    [
        GERMAN,
        replace(GERMAN, generation=2),
        replace(STATIC, locale="de"),
        replace(STATIC, locale="de", generation=2, control_panel=None, temporary=False),
        replace(AT_DOMAIN, locale="de", www=True),
    ],
)
def test_the_german_letter_has_no_english_in_it_and_says_all_that_the_english_one_says(welcome: Welcome) -> None:
    german = part(LETTERS.render(welcome, NOON), "plain") + part(LETTERS.render(welcome, NOON), "html")
    for word in ("Your ", "Hello", "Username", "Password", "Control panel", "nameserver", "regards", "please", " you "):
        assert word not in german
    for value in (welcome.site_url, welcome.username or "", welcome.password or ""):
        assert value in german
    for record in welcome.records:
        assert f"{record.name}    {record.type}    {record.value}" in german


def test_operators_add_languages_by_templates(tmp_path: Path) -> None:
    french = letters(
        tmp_path,
        welcome__fr__subject="Votre site {{ domain }}",
        welcome__fr__txt="Bonjour {{ customer_name }}",
        welcome__wordpress__fr__txt="Bonjour, voici WordPress",
        welcome__fr_CA__txt="Allô",
        welcome__fr_CA__subject="Allô",
    )
    by_locale = {
        locale: part(french.render(replace(sample(), locale=locale), NOON), "plain").strip()
        for locale in ("fr", "fr_BE", "fr_CA")
    }
    assert by_locale == {"fr": "Bonjour, voici WordPress", "fr_BE": "Bonjour, voici WordPress", "fr_CA": "Allô"}
    static = french.render(replace(STATIC, locale="fr_FR"), NOON)
    assert (part(static, "plain"), received(static)["Content-Language"]) == ("Bonjour Alex Morgan\n", "fr")
    assert french.languages == ["de", "fr", "fr_CA"]


def test_a_language_without_html_is_sent_as_text_and_never_mixed_with_another(tmp_path: Path) -> None:
    letter = letters(tmp_path, welcome__fr__subject="Bonjour", welcome__fr__txt="Bonjour").render(
        replace(sample(), locale="fr"), NOON
    )
    assert received(letter).get_content_type() == "text/plain"
    assert "Hello" not in letter.content.decode()


def test_a_language_without_a_subject_is_broken_and_named(tmp_path: Path) -> None:
    french = letters(tmp_path, welcome__fr__txt="Bonjour")
    with pytest.raises(Failed) as caught:
        french.render(replace(sample(), locale="fr"), NOON)
    assert caught.value.cause.detail == f"{tmp_path}/welcome.fr.txt.j2 has no welcome.fr.subject.j2 beside it"


def test_an_operators_own_default_is_in_the_houses_language(tmp_path: Path) -> None:
    (tmp_path / "welcome.txt.j2").write_text("Hej {{ lang }}")
    swedish = Letters(tmp_path, "hello@host.example", "Northwind", locale="sv_SE")
    assert part(swedish.render(sample(), NOON), "plain") == "Hej sv-SE\n"


def test_the_shipped_languages_can_be_built_upon(tmp_path: Path) -> None:
    own = letters(
        tmp_path,
        welcome__de__html='{% extends "sitecrew/welcome.de.html.j2" %}{% block closing %}Servus{% endblock %}',
        layout__html='{% extends "sitecrew/layout.html.j2" %}{% block foot %}Impressum{% endblock %}',
    )
    html = part(own.render(GERMAN, NOON), "html")
    assert "Servus" in html
    assert "Guten Tag" in html
    assert "Kundenverwaltung" in html


# styles


class Elements(HTMLParser):
    """A page's tags, their attributes in order of names, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[object] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, sorted(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.found.append(data.strip())


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("nameservers", [[], ["ns1.host.example", "ns2.host.example"]])
@pytest.mark.parametrize(
    "welcome",
    [
        sample(),
        STATIC,
        AT_DOMAIN,
        replace(AT_DOMAIN, www=True, generation=2),
        replace(STATIC, customer_name="", control_panel=None, temporary=False),
        replace(sample(), customer_name='<b>O\'Brien & "Söhne"</b>', password="<&\"'>"),
    ],
)
def test_styles_inlined_into_our_templates_are_those_that_each_letter_would_get(
    tmp_path: Path, welcome: Welcome, nameservers: list[str], locale: str
) -> None:
    (tmp_path / "some.html.j2").write_text("the operator's")
    at_once, each = (
        Letters(own, "us@host.example", "Us", "help@host.example", nameservers=nameservers) for own in (None, tmp_path)
    )
    welcome = replace(welcome, locale=locale)
    html = part(at_once.render(welcome, NOON), "html")
    assert Elements(html).found == Elements(part(each.render(welcome, NOON), "html")).found
    assert html.count("<style>") == 1
    assert html.index("<style>") + len("<style>") == html.index("@media")


def test_an_operators_style_sheet_goes_before_ours(tmp_path: Path) -> None:
    html = part(letters(tmp_path, styles__css=".card p { color: teal }").render(sample(), NOON), "html")
    assert '<p style="color: teal' in html
    assert "<h1>" in html


def test_an_operators_layout_styles_what_our_templates_put_into_it(tmp_path: Path) -> None:
    layout = "<html><head><style>h1 { color: teal }</style></head><body>{% block content %}{% endblock %}</body></html>"
    html = part(letters(tmp_path, layout__html=layout).render(sample(), NOON), "html")
    assert '<h1 style="color: teal' in html
    assert "<p>" in html


def test_what_an_operator_adds_to_our_letter_looks_like_the_rest_of_it(tmp_path: Path) -> None:
    closing = '{% extends "sitecrew/welcome.html.j2" %}{% block closing %}<p class="small">Ahoi</p>{% endblock %}'
    html = part(letters(tmp_path, welcome__html=closing).render(sample(), NOON), "html")
    assert '<p class="small" style="margin: 12px 0 0;' in html


def test_an_operators_text_leaves_the_html_as_it_is(tmp_path: Path) -> None:
    own = letters(tmp_path, welcome__txt="Ahoi").render(sample(), NOON)
    ours = Letters(None, "hello@host.example", "Northwind").render(sample(), NOON)
    assert part(own, "html") == part(ours, "html")


# where the domain leads to


@pytest.mark.parametrize("locale", ["en", "de"])
def test_a_site_at_its_domain_comes_with_the_records_and_does_not_say_that_it_runs_already(locale: str) -> None:
    letter = LETTERS.render(replace(AT_DOMAIN, locale=locale), NOON)
    text, html = part(letter, "plain"), part(letter, "html")
    assert "     shop.example    A    203.0.113.7\n" in text
    assert "203.0.113.7" in html
    for claim in ("up and running", "ist ab sofort erreichbar"):
        assert claim not in text + html
    assert text.index("shop.example already leads" if locale == "en" else "Eines vorweg") < text.index("shop.example/")


@pytest.mark.parametrize("locale", ["en", "de"])
def test_www_is_spoken_of_only_where_it_is_linked(locale: str) -> None:
    for welcome in (AT_DOMAIN, sample()):
        letter = LETTERS.render(replace(welcome, locale=locale), NOON)
        assert "www." not in part(letter, "plain") + part(letter, "html")
        linked = LETTERS.render(replace(welcome, locale=locale, www=True), NOON)
        assert "     www.shop.example    A    203.0.113.7\n" in part(linked, "plain")
        assert "www.shop.example" in part(linked, "html")


def test_where_the_house_runs_the_dns_the_letter_says_nothing_of_records_and_that_the_site_runs() -> None:
    letter = LETTERS.render(replace(AT_DOMAIN, dns=False), NOON)
    assert "203.0.113.7" not in part(letter, "plain") + part(letter, "html")
    assert "up and running" in part(letter, "plain")


@pytest.mark.parametrize("locale", ["en", "de"])
@pytest.mark.parametrize("records", [True, False])
def test_nameservers_of_the_house_stand_in_the_letter(locale: str, records: bool) -> None:
    house = Letters(None, "us@host.example", "Us", nameservers=["ns1.host.example", "ns2.host.example"])
    letter = house.render(replace(AT_DOMAIN, dns=records, locale=locale), NOON)
    for kind in ("plain", "html"):
        assert "ns1.host.example" in part(letter, kind)
        assert "ns2.host.example" in part(letter, kind)
        assert ("203.0.113.7" in part(letter, kind)) == records
    assert "up and running" not in part(letter, "plain")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("J&ouml;rg M&uuml;ller", "Jörg Müller"),
        ("Smith &amp; Sons", "Smith & Sons"),
        ("Smith & Sons", "Smith & Sons"),
        ("AT&T; R&D", "AT&T; R&D"),
        ("O&#039;Brien", "O'Brien"),
        ("&#x4e;ora", "Nora"),
        ("A&copyB", "A&copyB"),
        ("A&#10;Bcc: x@evil.example", "A Bcc: x@evil.example"),
        ("&lt;b&gt;Bob", "<b>Bob"),
    ],
)
def test_a_name_as_it_stands_in_a_web_page_is_written_as_people_write_it(given: str, written: str) -> None:
    welcome = replace(sample(), customer_name=given)
    assert text_of(welcome).startswith(f"Hello {written},\n")
    assert addressed_to(LETTERS.render(welcome, NOON)) == [(written, "alex@customer.example")]
    assert "<b>Bob" not in html_of(welcome)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("https://203.0.113.7/~shop/", "https://shop.example/"),
        ("http://203.0.113.7:8080/~shop/", "http://shop.example:8080/"),
        ("https://[2001:db8::7]/~shop/", "https://shop.example/"),
    ],
)
@pytest.mark.parametrize("locale", ["en", "de"])
def test_a_temporary_site_is_told_its_later_address_as_its_server_makes_it(now: str, then: str, locale: str) -> None:
    letter = LETTERS.render(replace(sample(), site_url=now, locale=locale), NOON)
    assert f" {then}" in part(letter, "plain")
    assert f" {then}" in part(letter, "html")
