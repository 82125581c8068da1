"""Which file a web server of ours answers with: PHP's with the router, and the one for static sites."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from foundation.hosting import AccountRequest
from foundation.hosting.local import LocalServer
from sitecrew.stack.web.static import serve
from tests.support.daemons import php_web
from tests.support.installing import local_server

PHP = """<?php
echo json_encode([
    'SCRIPT_NAME' => $_SERVER['SCRIPT_NAME'], 'PHP_SELF' => $_SERVER['PHP_SELF'], 'cwd' => getcwd(),
    'SCRIPT_FILENAME' => $_SERVER['SCRIPT_FILENAME'], 'DOCUMENT_ROOT' => $_SERVER['DOCUMENT_ROOT'],
    'PATH_INFO' => $_SERVER['PATH_INFO'] ?? null, 'REQUEST_URI' => $_SERVER['REQUEST_URI'],
    'get' => $_GET, 'global' => isset($GLOBALS['seen']),
]);
"""


@contextmanager
def static_web(root: Path) -> Iterator[str]:
    with serve(root, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture(scope="module", params=[php_web, static_web])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    root = tmp_path_factory.mktemp("hosting")
    with request.param(root) as address:
        server = local_server(root, address, None)
        server.create_account(AccountRequest("ann", "ann.example", "a@example.org", marker="1", password="x" * 20))
        furnish(server.home("ann"))
        yield server


@pytest.fixture(scope="module")
def php_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    root = tmp_path_factory.mktemp("hosting")
    with php_web(root) as address:
        server = local_server(root, address, None)
        server.create_account(AccountRequest("ann", "ann.example", "a@example.org", marker="1", password="x" * 20))
        www = server.home("ann") / "www"
        (www / "admin").mkdir()
        for name in ("index.php", "page.php", "admin/index.php"):
            (www / name).write_text(PHP.replace("<?php", "<?php $seen = 1;"))
        yield server


def furnish(home: Path) -> None:
    www = home / "www"
    (www / "sub dir").mkdir()
    (www / ".git").mkdir()
    for name in ("index.html", "style.css", "app.js", "sub dir/index.html", ".htaccess", ".git/config", "file.bin"):
        (www / name).write_text(f"this is {name}")
    (www / "source.php").write_text("<?php echo 'ran';")
    (home / "private" / "secret.txt").write_text("secret")
    (www / "escape").symlink_to("../private")
    (www / "etc").symlink_to("/etc")


def ask(server: LocalServer, path: str, host: str = "", method: str = "GET") -> httpx2.Response:
    """The path goes out as it is: httpx2 would tidy up its dots."""
    with httpx2.Client(trust_env=False, timeout=60) as client:
        request = client.build_request(method, f"http://{server.web_address}/", headers={"Host": host or "ann.example"})
        request.extensions["target"] = path.encode()
        return client.send(request)


@pytest.mark.parametrize("name", ["ann.example", "ANN.example", "ann.example:8080"])
def test_a_domain_leads_to_its_account(host: LocalServer, name: str) -> None:
    assert ask(host, "/", name).text == "this is index.html"


def test_a_temporary_url_leads_to_its_account_under_any_name(host: LocalServer) -> None:
    assert ask(host, "/~ann/", "192.0.2.7").text == "this is index.html"
    assert ask(host, "/~ann/style.css", "192.0.2.7:8080").text == "this is style.css"


@pytest.mark.parametrize(
    ("path", "kind"), [("/style.css", "text/css"), ("/app.js", "text/javascript"), ("/file.bin", "application/octet")]
)
def test_files_have_the_types_that_browsers_insist_on(host: LocalServer, path: str, kind: str) -> None:
    assert ask(host, path).headers["content-type"].startswith(kind)


def test_a_head_request_answers_without_the_body(host: LocalServer) -> None:
    answer = ask(host, "/style.css", method="HEAD")
    assert (answer.status_code, answer.text, answer.headers["content-length"]) == (200, "", "17")


@pytest.mark.parametrize(("path", "to"), [("/~ann", "/~ann/"), ("/sub%20dir", "/sub%20dir/")])
def test_a_directory_without_its_slash_is_redirected(host: LocalServer, path: str, to: str) -> None:
    answer = ask(host, path)
    assert (answer.status_code, answer.headers["location"]) == (301, to)
    assert ask(host, to).status_code == 200


def test_a_redirect_never_leads_to_another_host(host: LocalServer) -> None:
    assert not ask(host, "//sub%20dir").headers.get("location", "/").startswith("//")
    assert not ask(host, "///evil.example/..").headers.get("location", "/").startswith("//")


@pytest.mark.parametrize(
    "path",
    [
        "/.htaccess",
        "/.git/config",
        "/%2ehtaccess",
        "/escape/secret.txt",
        "/etc/passwd",
        "/../private/secret.txt",
        "/sub%20dir/../../private/secret.txt",
        "/%2e%2e/private/secret.txt",
        "/..%2fprivate/secret.txt",
        "/..%5cprivate",
        "/~ann/../private/secret.txt",
        "/~ann/%2e%2e/private/secret.txt",
        "/~ann/escape/secret.txt",
        "/~../private/secret.txt",
        "/~bob/",
        "/index.html%00.css",
        "/private/secret.txt",
        "/nothing",
    ],
)
def test_nothing_outside_a_document_root_and_no_dotfile_is_served(host: LocalServer, path: str) -> None:
    answer = ask(host, path)
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")


@pytest.mark.parametrize("name", ["bob.example", "..", "../accounts/ann/www", ".", "ann.example/../x", "a_b.example"])
def test_an_unknown_or_malformed_host_has_no_site(host: LocalServer, name: str) -> None:
    assert ask(host, "/", name).status_code == 404


def test_the_source_of_a_php_file_is_never_shown(host: LocalServer) -> None:
    assert "<?php" not in ask(host, "/source.php").text


def test_php_finds_itself_under_a_temporary_url(php_host: LocalServer) -> None:
    www = php_host.home("ann") / "www"
    seen = ask(php_host, "/~ann/page.php?a=1").json()
    assert seen["SCRIPT_NAME"] == seen["PHP_SELF"] == "/~ann/page.php"
    assert seen["SCRIPT_FILENAME"] == str(www / "page.php")
    assert (seen["DOCUMENT_ROOT"], seen["cwd"], seen["get"]) == (str(www), str(www), {"a": "1"})
    assert seen["REQUEST_URI"] == "/~ann/page.php?a=1"


def test_php_runs_in_the_global_scope_which_wordpress_expects(php_host: LocalServer) -> None:
    assert ask(php_host, "/page.php").json()["global"] is True


def test_a_directory_answers_with_its_index(php_host: LocalServer) -> None:
    assert ask(php_host, "/admin/").json()["SCRIPT_NAME"] == "/admin/index.php"
    answer = ask(php_host, "/~ann/admin?x=%2F")
    assert answer.headers["location"] == "/~ann/admin/?x=%2F"


def test_what_is_no_file_is_a_question_to_the_sites_front_page(php_host: LocalServer) -> None:
    seen = ask(php_host, "/2026/a-post/").json()
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"], seen["REQUEST_URI"]) == ("/index.php", None, "/2026/a-post/")
    seen = ask(php_host, "/~ann/index.php/a-post").json()
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/~ann/index.php", "/a-post")
    assert seen["PHP_SELF"] == "/~ann/index.php/a-post"


def test_a_file_takes_no_posted_form(host: LocalServer) -> None:
    assert ask(host, "/style.css", method="POST").status_code in {405, 501}
