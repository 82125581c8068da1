"""What a customer orders is what WordPress stores, letter by letter, or the install ends with a cause of its own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites.verification.mailbox import with_ascii_domain
from services.installer.sites.wordpress import WordPress
from services.installer.sites.wordpress.core import copy_core, language_of
from tests.support.installing import assert_untouched, databases_of, home_page, new_job, quietly, reinstall

pytest_plugins = ("tests.support.web_host",)


def stored(server: MariaDatabases, database: str) -> Mapping[str, str]:
    """The options of a site, and its administrator's address, as they stand in the database."""
    assert server.socket is not None
    with (
        pymysql.connect(unix_socket=str(server.socket), user=server.user, database=database) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT option_name, option_value FROM wp_options")
        found = dict(cursor.fetchall())
        cursor.execute("SELECT user_email, user_login FROM wp_users")
        ((found["user_email"], found["user_login"]),) = cursor.fetchall()
        return found


@pytest.mark.parametrize(
    "address",
    # WordPress would store `a&b` as `a&amp;b`.
    [
        "jürgen@example.org",
        "a&b@example.org",
        "用户@example.org",
        '"a b"@example.org',
        "x" * 64 + "@" + "y" * 40 + ".example.org",
    ],
)
def test_an_address_that_wordpress_would_turn_into_another_persons_ends_the_install(
    web_host: LocalServer, wordpress: WordPress, address: str
) -> None:
    job = replace(new_job(web_host), admin_email=address)
    with pytest.raises(Failed, match=r"email_unsupported: WordPress .*cannot store the ordered email") as failure:
        wordpress.install(job, web_host, quietly)
    assert "ASCII" in failure.value.cause.remedy
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


@pytest.mark.parametrize(
    ("ordered", "address"),
    [
        ("ann@münchen.example", "ann@xn--mnchen-3ya.example"),
        ("ann@faß.example", "ann@xn--fa-hia.example"),
        ("pat.o'brien+blog@example.org", "pat.o'brien+blog@example.org"),
        ("Ann.X@Example.org", "Ann.X@Example.org"),
        ("=a-b{c}|d~@example.org", "=a-b{c}|d~@example.org"),
    ],
)
def test_every_other_address_is_the_administrators_exactly(
    web_host: LocalServer, database_server: MariaDatabases, wordpress: WordPress, ordered: str, address: str
) -> None:
    job = replace(new_job(web_host), admin_email=with_ascii_domain(ordered))
    wordpress.install(job, web_host, quietly)
    found = stored(database_server, f"{job.username}_g1f1")
    assert {found["user_email"], found["admin_email"]} == {address}
    assert (found["user_login"], found["home"], found["blog_public"]) == (job.username, job.url.rstrip("/"), "1")


def test_a_domain_without_a_form_in_ascii_is_refused_before_anything_is_built() -> None:
    with pytest.raises(Failed, match="email_unsupported"):
        with_ascii_domain("ann@a\u2260\u0338.\u202eexample")


def test_a_german_site_is_german_from_its_first_post_on_in_its_time_zone_with_readable_addresses(
    web_host: LocalServer, database_server: MariaDatabases, wordpress: WordPress
) -> None:
    require_german(wordpress)
    job = replace(new_job(web_host), locale="de", timezone="Europe/Berlin", permalinks="/%year%/%postname%/")
    (web_host.home(job.username) / "www/.htaccess").write_text("# the host's\n")
    wordpress.install(job, web_host, quietly)
    found = stored(database_server, f"{job.username}_g1f1")
    assert [found[name] for name in ("WPLANG", "timezone_string", "permalink_structure")] == [
        "de_DE",
        "Europe/Berlin",
        "/%year%/%postname%/",
    ]
    page = home_page(web_host, job)
    assert 'lang="de-DE"' in page
    assert "hallo-welt/" in page
    www = web_host.home(job.username) / "www"
    languages = {path.name for path in (www / "wp-content/languages").rglob("*.mo")}
    assert {"de_DE.mo", "admin-de_DE.mo"} <= languages
    assert all("de_DE" in name for name in languages)
    rules = (www / ".htaccess").read_text()
    assert rules.startswith("# the host's\n# BEGIN WordPress\n")
    assert f"RewriteBase /~{job.username}/\n" in rules
    german = (www / ".htaccess").read_text()
    wordpress.install(reinstall(job), web_host, quietly)
    assert (www / ".htaccess").read_text() == german


def test_a_site_whose_order_wishes_nothing_is_english_and_plain(
    web_host: LocalServer, database_server: MariaDatabases, wordpress: WordPress
) -> None:
    for locale in (None, "en", "en_US"):
        wordpress.install(job := replace(new_job(web_host), locale=locale), web_host, quietly)
        found = stored(database_server, f"{job.username}_g1f1")
        assert (found.get("WPLANG", ""), found["timezone_string"], found["permalink_structure"]) == ("", "", "")
        assert 'lang="en-US"' in home_page(web_host, job)
        assert not list((web_host.home(job.username) / "www/wp-content/languages").rglob("*.mo"))


@pytest.mark.parametrize(
    ("field", "value"),
    [("timezone", "Europe/Nowhere"), ("timezone", "Mars"), ("permalinks", "/archives/"), ("permalinks", "/%%/")],
)
def test_a_wish_that_wordpress_does_not_take_ends_the_install_by_its_name(
    web_host: LocalServer, wordpress: WordPress, field: str, value: str
) -> None:
    job = replace(new_job(web_host), **{field: value})  # type: ignore[arg-type]
    with pytest.raises(Failed, match=rf"value_unsupported: WordPress .*cannot store the ordered {field}"):
        wordpress.install(job, web_host, quietly)
    assert_untouched(web_host, job)


@pytest.mark.parametrize("locale", ["tlh", "de_XX", "de_DE_formal"])
def test_a_locale_whose_files_are_not_there_is_refused_before_anything_is_built(
    web_host: LocalServer, wordpress: WordPress, locale: str
) -> None:
    job = replace(new_job(web_host), locale=locale)
    seen: list[str] = []

    @contextmanager
    def step(name: str) -> Iterator[None]:
        seen.append(name)
        yield

    with pytest.raises(Failed, match=f"locale_missing: .*/languages has no {locale}.mo") as failure:
        wordpress.install(job, web_host, step)
    assert seen == ["preflight"]
    assert "wordpress-l10n" in failure.value.cause.remedy


def test_english_of_a_country_without_files_is_wordpress_s_own(tmp_path: Path) -> None:
    languages = tmp_path / "wp-content/languages"
    languages.mkdir(parents=True)
    (languages / "en_CA.mo").touch()
    assert [language_of(tmp_path, locale) for locale in ("en_GB", "en_CA", "en", "en_US")] == ["", "en_CA", "", ""]


@pytest.mark.parametrize(
    ("there", "locale", "language"),
    [
        (["de_DE", "de_AT"], "de", "de_DE"),
        (["de_DE", "de_AT"], "de_AT", "de_AT"),
        (["de_AT"], "de", "de_AT"),
        (["ja"], "ja_JP", "ja"),
        (["sv_SE"], "sv", "sv_SE"),
        (["de_DE", "de_DE_formal"], "de_DE_formal", "de_DE_formal"),
    ],
)
def test_a_language_is_found_by_the_name_that_wordpress_has_for_it(
    tmp_path: Path, there: list[str], locale: str, language: str
) -> None:
    core, stage = tmp_path / "core", tmp_path / "stage"
    (core / "wp-content/languages").mkdir(parents=True)
    for name in there:
        (core / f"wp-content/languages/{name}.mo").touch()
        (core / f"wp-content/languages/admin-{name}.mo").touch()
    assert language_of(core, locale) == language
    stage.mkdir()
    copy_core(core, stage, language)
    copied = sorted(path.name for path in (stage / "wp-content/languages").iterdir())
    assert copied == [f"admin-{language}.mo", f"{language}.mo"]


def require_german(wordpress: WordPress) -> None:
    if not (wordpress.core / "wp-content/languages/de_DE.mo").exists():
        pytest.fail("no wordpress-l10n") if "CI" in os.environ else pytest.skip("no wordpress-l10n")
