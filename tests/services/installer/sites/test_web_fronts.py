"""Sites behind the web servers that hosts have: HTTPS, redirects of the house, passwords, filters."""

import base64
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from foundation.addresses import HostPort
from foundation.errors import Failed
from foundation.hosting.local import LocalServer
from foundation.hosting.web import WebFront
from services.installer.sites import Job
from services.installer.sites.static import Static
from services.installer.sites.verification import visitor
from tests.support.certificates import Certificate, certificate
from tests.support.fronts import Reply, front
from tests.support.installing import new_job, quietly


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For any domain of our tests."""
    return certificate(tmp_path_factory.mktemp("ca"), "*.shops.example", "localhost", "127.0.0.1")


def behind(root: Path, address: str, **web: object) -> LocalServer:
    """The hosting server whose sites are asked at an address."""
    facts = {"address": address, "setting": "servers.one", **web}
    web_front = WebFront(**facts)  # type: ignore[arg-type]
    host = HostPort.parse(address).host
    return LocalServer(name="one", root=root, address=host, web_address=address, front=web_front)


def install(server: LocalServer, *aliases: str) -> Job:
    made = new_job(server, own_domain=True)
    domain = f"{made.username}.shops.example"
    (server.root / "vhosts" / domain).symlink_to(f"../accounts/{made.username}/www")
    job = replace(made, domain=domain, url=server.domain_url(domain), aliases=aliases)
    Static().install(job, server, quietly)
    return job


def refusal(server: LocalServer, *aliases: str) -> str:
    with pytest.raises(Failed, match="verify_failed") as failure:
        install(server, *aliases)
    return failure.value.cause.detail


def test_a_site_is_verified_over_https_with_its_own_name(tmp_path: Path, certified: Certificate) -> None:
    with front(tmp_path, tls=certified) as address:
        server = behind(tmp_path, address, scheme="https", ca_file=certified.ca)
        assert install(server).url.startswith("https://u")


def test_the_own_port_of_a_scheme_is_left_out_of_addresses(tmp_path: Path) -> None:
    server = behind(tmp_path, "127.0.0.1:1", scheme="https")
    assert server.domain_url("ann.example") == "https://ann.example/"
    assert server.temporary_url("ann") == "https://127.0.0.1/~ann/"
    assert behind(tmp_path, "127.0.0.1:1", public_port=443).domain_url("ann.example") == "http://ann.example:443/"


def test_a_certificate_that_nobody_vouches_for_is_refused_unless_checks_are_off(
    tmp_path: Path, certified: Certificate
) -> None:
    with front(tmp_path, tls=certified) as address:
        said = refusal(behind(tmp_path, address, scheme="https"))
        assert "servers.one.web_ca_file" in said
        assert "servers.one.web_check_certificates" in said
        install(behind(tmp_path, address, scheme="https", check_certificates=False))


def test_a_certificate_for_other_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    other = certificate(tmp_path / "ca", "panel.hosting.test")
    with front(tmp_path, tls=other) as address:
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(behind(tmp_path, address, scheme="https", ca_file=other.ca))


def test_a_ca_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    said = refusal(behind(tmp_path, "127.0.0.1:1", scheme="https", ca_file=tmp_path / "none.pem"))
    assert "servers.one.web_ca_file" in said


def test_a_web_server_that_speaks_no_tls_is_told_with_the_setting(tmp_path: Path) -> None:
    with front(tmp_path) as address:
        assert "servers.one.web_scheme" in refusal(behind(tmp_path, address, scheme="https"))


def test_behind_a_proxy_that_ends_tls_sites_have_https_addresses_and_are_asked_by_http(tmp_path: Path) -> None:
    with front(tmp_path) as address:
        assert install(behind(tmp_path, address, scheme="https", spoken="http")).url.startswith("https://")


def test_a_house_that_sends_everybody_to_https_is_followed_at_its_own_address(
    tmp_path: Path, certified: Certificate
) -> None:
    with front(tmp_path, tls=certified) as secure:
        port = HostPort.parse(secure).port

        def upgrade(headers: object, path: str) -> Reply:
            host = urlsplit(f"//{headers['host']}").hostname  # type: ignore[index]
            return Reply(301, location=f"https://{host}:{port}{path}")

        with front(tmp_path, upgrade) as plain:
            install(behind(tmp_path, plain, ca_file=certified.ca))


def test_an_https_that_nobody_serves_there_is_told_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitor, "_PATIENCE", 0.0)

    def upgrade(headers: object, path: str) -> Reply:
        return Reply(301, location=f"https://{headers['host']}:1{path}")  # type: ignore[index]

    with front(tmp_path, upgrade) as address:
        said = refusal(behind(tmp_path, address))
    assert "https://127.0.0.1:1/" in said
    assert 'servers.one.scheme = "https"' in said


@pytest.mark.parametrize("order", ["bare", "www"])
def test_a_house_that_prefers_one_of_the_two_names_is_followed(tmp_path: Path, order: str) -> None:
    def prefer(headers: object, path: str) -> Reply | None:
        host = str(headers["host"])  # type: ignore[index]
        if host.startswith("www.") == (order == "www"):
            return None
        other = f"www.{host}" if order == "www" else host.removeprefix("www.")
        return Reply(308, location=f"//{other}{path}")

    with front(tmp_path, prefer) as address:
        server = behind(tmp_path, address, public_port=HostPort.parse(address).port)
        job = new_job(server, own_domain=True)
        (tmp_path / "vhosts" / f"www.{job.domain}").symlink_to(f"../accounts/{job.username}/www")
        Static().install(replace(job, aliases=(f"www.{job.domain}",)), server, quietly)


def test_a_second_name_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with front(tmp_path) as address:
        said = refusal(behind(tmp_path, address), "www.nobody.example")
        assert "Host: www.nobody.example" in said
        assert "answered 404" in said
        assert "sites.*.www" in said


@pytest.mark.parametrize(
    "location",
    [
        "https://hosting.example/",
        "http://127.0.0.1/suspended.html",
        "/wp-admin/install.php",
        "https://ann:secret@HOST/",
        "https://HOST.evil.example/",
        "ftp://HOST/",
        "https://HOST:99999/",
        "http://HOST:8080/",
    ],
)
def test_every_other_redirect_is_refused_and_says_where_it_leads(tmp_path: Path, location: str) -> None:
    def elsewhere(headers: object, _path: str) -> Reply:
        return Reply(302, location=location.replace("HOST", str(headers["host"])))  # type: ignore[index]

    with front(tmp_path, elsewhere) as address:
        said = refusal(behind(tmp_path, address))
        assert f"answered 302 towards {location.split('HOST', maxsplit=1)[0]}" in said
        assert "servers.one.scheme" in said


def test_redirects_in_a_circle_end(tmp_path: Path) -> None:
    def circle(headers: object, path: str) -> Reply:
        host = str(headers["host"])  # type: ignore[index]
        other = host.removeprefix("www.") if host.startswith("www.") else f"www.{host}"
        return Reply(301, location=f"http://{other}{path}")

    with front(tmp_path, circle) as address:
        assert "redirects in a loop" in refusal(behind(tmp_path, address))


def test_a_password_in_front_of_the_sites_is_given_and_kept_secret(tmp_path: Path) -> None:
    token = "Basic " + base64.b64encode(b"staff:hunter22").decode()

    def guarded(headers: object, _path: str) -> Reply | None:
        given = headers.get("authorization")  # type: ignore[attr-defined]
        return None if given == token else Reply(401, f"Who are you? {given}")

    with front(tmp_path, guarded) as address:
        said = refusal(behind(tmp_path, address))
        assert "answered 401" in said
        assert "servers.one.web_headers" in said
        server = behind(tmp_path, address, headers={"Authorization": token})
        assert token not in repr(server)
        install(server)
        wrong = refusal(behind(tmp_path, address, headers={"Authorization": "Basic d3Jvbmc="}))
        assert "d3Jvbmc" not in wrong


def test_a_header_whose_value_is_also_a_part_of_the_page_hinders_no_verification(tmp_path: Path) -> None:
    with front(tmp_path) as address:
        assert install(behind(tmp_path, address, headers={"Accept-Language": "e"}))


def test_a_filter_that_refuses_programs_takes_us_for_a_browser_that_says_who_it_is(tmp_path: Path) -> None:
    seen = []

    def filtered(headers: object, _path: str) -> Reply | None:
        agent = str(headers.get("user-agent"))  # type: ignore[attr-defined]
        seen.append(agent)
        return None if agent.startswith("Mozilla/") else Reply(403, "Bots keep out")

    with front(tmp_path, filtered) as address:
        install(behind(tmp_path, address))
        assert "Sitecrew" in seen[0]
        said = refusal(behind(tmp_path, address, headers={"User-Agent": "python-x/1"}))
        assert "answered 403" in said
        assert "Bots keep out" in said


def test_what_a_failing_site_says_is_told_bounded_and_clean(tmp_path: Path) -> None:
    page = "<html><head><title>T</title><style>b{}</style></head><body><b>Fatal error</b>: Uncaught&nbsp;Error: Call to"
    page += " undefined function mysqli_connect()\x1b[31m\n in wp-db.php" + " and so on" * 5000 + "</body></html>"
    with front(tmp_path, lambda _headers, _path: Reply(500, page)) as address:
        said = refusal(behind(tmp_path, address))
    assert "answered 500" in said
    assert "it says: Fatal error : Uncaught Error: Call to undefined function mysqli_connect()" in said
    assert said.isprintable()
    assert len(said) < 700


def test_an_ipv6_address_is_asked_and_named(tmp_path: Path) -> None:
    with front(tmp_path, host="::1") as address:
        server = behind(tmp_path, address, public_port=HostPort.parse(address).port)
        job = new_job(server)
        assert job.url == f"http://{address}/~{job.username}/"
        Static().install(job, server, quietly)
        install(server)
