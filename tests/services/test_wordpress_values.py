"""What a customer orders is what WordPress stores, letter by letter, or the install ends with a cause of its own."""

from collections.abc import Mapping
from dataclasses import replace

import pymysql
import pytest

from foundation.errors import Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites.mailbox import with_ascii_domain
from services.installer.sites.wordpress import WordPress
from tests.services.installing import assert_untouched, databases_of, new_job, quietly

pytest_plugins = ("tests.services.web_host",)


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
    with pytest.raises(Failed, match="email_unsupported: WordPress can't store the ordered email") as failure:
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
