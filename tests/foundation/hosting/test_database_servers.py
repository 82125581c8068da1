"""Database servers as hosts have them: how each is reached, and who is blamed when it refuses."""

import json
import os
import re
import secrets
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest

from foundation.errors import Failed
from foundation.hosting import Database
from foundation.hosting.database_errors import failure, site_failure
from foundation.hosting.databases import MariaDatabases
from schemas.values import CauseKind
from services.installer.sites.wordpress import WordPress
from services.installer.sites.wordpress.config import write_config
from sitecrew.stack.ports import free_port
from tests.support.certificates import Certificate, certificate
from tests.support.daemons import mariadb, require

_TRY = """
define('ABSPATH', $argv[1] . '/');
define('SHORTINIT', true);
require $argv[2];
$wpdb->suppress_errors();
$wpdb->query('CREATE TABLE t (n INT)');
$cipher = $wpdb->get_row("SHOW SESSION STATUS LIKE 'Ssl_cipher'", ARRAY_N)[1];
echo json_encode(['tables' => $wpdb->get_col('SHOW TABLES'), 'encrypted' => (bool) $cipher]);
"""
"""WordPress's own way to its database, by the site's own wp-config.php."""


PLUGINS = Path(__file__).parents[3] / "var/mariadb"


def plugins() -> str:
    """Where MariaDB finds its password policies."""
    if not (PLUGINS / "simple_password_check.so").is_file():
        missing = pytest.fail if "CI" in os.environ else pytest.skip
        missing("no password policy: script/bootstrap policies fetches it")
    return f"--plugin-dir={PLUGINS}"


def administered(server: MariaDatabases, *statements: str) -> None:
    with closing(pymysql.connect(user="root", unix_socket=str(server.socket), autocommit=True)) as connection:
        for statement in statements:
            connection.cursor().execute(statement)


@contextmanager
def by_network(*extra: str, anonymous: bool = False) -> Iterator[MariaDatabases]:
    """A server that is asked by TCP, at 127.0.0.1 unless the test says otherwise; its socket stays with it."""
    port = free_port()
    with mariadb(*extra, port=port, anonymous=anonymous) as (server, _):
        # Of '%' alone he would not be let in where there are anonymous users.
        for host in ("%", "localhost", "127.0.0.1"):
            administered(server, f"CREATE USER boss@'{host}' IDENTIFIED BY 'Boss-1n-charge'")
            administered(server, f"GRANT ALL ON *.* TO boss@'{host}' WITH GRANT OPTION")
        yield replace(server, user="boss", password="Boss-1n-charge", host="127.0.0.1", port=port)


def networked(server: MariaDatabases, **changes: object) -> MariaDatabases:
    return replace(server, **{"socket": None, "setting": "servers.web1.databases", **changes})  # type: ignore[arg-type]


def wordpress_in(database: Database, directory: Path, *php: str) -> dict[str, object]:
    """What WordPress comes to with this database."""
    require("php")
    directory = directory / secrets.token_hex(4)
    directory.mkdir()
    write_config(directory, database, isolated=True)
    core = WordPress().core
    if not core.is_dir():
        pytest.skip("no WordPress")
    command = ["php", *php, "-r", _TRY, "--", str(core), str(directory / "wp-config.php")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    try:
        found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        pytest.fail(f"WordPress does not get in: {ran.stdout} {ran.stderr}")
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDatabases]:
    with by_network() as server:
        yield server


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("ca"), "db.example", "localhost", "127.0.0.1", "::1")


@pytest.fixture(scope="module")
def demanding(certified: Certificate) -> Iterator[MariaDatabases]:
    """A managed database: it refuses connections that are not encrypted."""
    options = (f"--ssl-cert={certified.chain}", f"--ssl-key={certified.key}", "--require-secure-transport=ON")
    with by_network(*options) as server:
        yield networked(server)


@pytest.mark.parametrize(
    ("host", "site_host"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.2", "127.0.0.2")],
)
def test_a_server_is_reached_at_addresses_of_either_family(
    server: MariaDatabases, tmp_path: Path, host: str, site_host: str
) -> None:
    database = networked(server, host=host).create("family_g1f1")
    assert database.host == f"{site_host}:{server.port}"
    assert wordpress_in(database, tmp_path) == {"tables": ["t"], "encrypted": False}


@pytest.mark.parametrize("name", ["localhost", "LocalHost"])
def test_localhost_with_a_port_leads_php_to_that_port_and_not_to_a_socket(
    server: MariaDatabases, tmp_path: Path, name: str
) -> None:
    database = networked(server, host=name).create("localhost_g1f1")
    assert database.host in (f"127.0.0.1:{server.port}", f"[::1]:{server.port}")
    assert wordpress_in(database, tmp_path)["tables"] == ["t"]


def test_by_a_socket_wordpress_gets_in_too(server: MariaDatabases, tmp_path: Path) -> None:
    database = replace(server, user="root", password="").create("socket_g1f1")
    assert database.host == f"localhost:{server.socket}"
    assert wordpress_in(database, tmp_path)["tables"] == ["t"]


@pytest.mark.parametrize("options", [(), ("--skip-name-resolve",)], ids=["names", "addresses"])
@pytest.mark.parametrize("user_host", ["", "%", "10.0.0.%"])
def test_anonymous_users_do_not_come_before_the_sites(tmp_path: Path, options: tuple[str, ...], user_host: str) -> None:
    with by_network(*options, anonymous=True) as server:
        administered(server, "CREATE OR REPLACE USER ''@'127.0.0.1'")
        databases = networked(server, user_host=user_host)
        for name in ("fresh_g1f1", "fresh_g1f2"):
            assert wordpress_in(databases.create(name), tmp_path)["tables"] == ["t"]
        databases.drop("fresh_g1f1")
        databases.drop("fresh_g1f2")
        with closing(pymysql.connect(user="root", unix_socket=str(server.socket))) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT User, Host FROM mysql.user WHERE User LIKE 'fresh%'")
            assert cursor.fetchall() == ()


def test_users_come_from_where_they_are_seen_and_not_from_anywhere(server: MariaDatabases) -> None:
    networked(server).create("narrow_g1f1")
    networked(server, user_host="10.0.0.%").create("narrow_g1f2")
    with closing(pymysql.connect(user="root", unix_socket=str(server.socket))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT User, Host FROM mysql.user WHERE User LIKE 'narrow%' ORDER BY 1, 2")
        hosts: dict[str, list[str]] = {}
        for user, host in cursor.fetchall():
            hosts.setdefault(user, []).append(host)
    assert hosts["narrow_g1f1"] == ["localhost"]
    assert hosts["narrow_g1f2"] == ["10.0.0.%", "localhost"]  # and from here, where it is installed


@pytest.mark.parametrize("tls", ["auto", "require", "verify"])
def test_a_server_that_demands_encryption_has_it(
    demanding: MariaDatabases, certified: Certificate, tmp_path: Path, tls: str
) -> None:
    databases = replace(demanding, tls=tls, ca_file=certified.ca)  # type: ignore[arg-type]
    database = databases.create(f"secure{tls}_g1f1")
    found = wordpress_in(database, tmp_path, "-d", f"openssl.cafile={certified.ca}")
    assert found == {"tables": ["t"], "encrypted": True}
    assert "(encrypted)" in databases.describe()


def test_a_certificate_that_nobody_vouches_for_is_told_with_the_setting(
    demanding: MariaDatabases, tmp_path: Path
) -> None:
    with pytest.raises(Failed, match="db_tls") as error:
        replace(demanding, tls="verify").create("unknown_g1f1")
    assert error.value.cause.kind is CauseKind.CONFIGURATION
    assert "ca_file" in error.value.cause.remedy
    with pytest.raises(Failed, match=r"db_tls: servers\.web1\.databases\.ca_file: cannot use"):
        replace(demanding, tls="verify", ca_file=tmp_path / "none.pem").create("unknown_g1f1")


def test_a_server_without_a_certificate_can_not_be_required_to_encrypt(server: MariaDatabases) -> None:
    with pytest.raises(Failed, match="db_tls"):
        networked(server, tls="require").create("plain_g1f1")


def test_a_password_policy_takes_every_generated_password() -> None:
    with by_network(plugins(), "--plugin-load-add=simple_password_check") as server:
        databases = networked(server)
        for number in range(30):
            databases.create(f"policy_g1f{number}")


def test_a_policy_that_asks_for_more_is_named_and_is_a_matter_of_configuration() -> None:
    with by_network(plugins()) as server:
        administered(server, "INSTALL SONAME 'simple_password_check'")
        administered(server, "SET GLOBAL simple_password_check_minimal_length = 64")
        with pytest.raises(Failed, match=r"db_policy: .* could not create strict_g1f1: 1819: ") as error:
            networked(server).create("strict_g1f1")
    assert error.value.cause.kind is CauseKind.CONFIGURATION


def test_a_read_only_server_is_told_as_one(server: MariaDatabases) -> None:
    administered(server, "CREATE USER clerk@'%' IDENTIFIED BY 'Clerk-1n-charge'")
    administered(server, "GRANT CREATE, DROP, CREATE USER, SELECT ON *.* TO clerk@'%' WITH GRANT OPTION")
    administered(server, "SET GLOBAL read_only = ON")
    try:
        with pytest.raises(Failed, match="db_read_only") as error:
            networked(server, user="clerk", password="Clerk-1n-charge").create("replica_g1f1")
    finally:
        administered(server, "SET GLOBAL read_only = OFF")
    assert error.value.cause.kind is CauseKind.TRANSIENT


def test_an_accounts_limit_passes_by_itself(server: MariaDatabases) -> None:
    administered(server, "CREATE USER busy@'%' IDENTIFIED BY 'Busy-1n' WITH MAX_USER_CONNECTIONS 1")
    administered(server, "GRANT ALL ON *.* TO busy@'%' WITH GRANT OPTION")
    busy = pymysql.connect(user="busy", password="Busy-1n", host="127.0.0.1", port=server.port)
    with closing(busy), pytest.raises(Failed, match="db_busy") as error:
        networked(server, user="busy", password="Busy-1n").names("x")
    assert error.value.cause.kind is CauseKind.TRANSIENT


def test_the_administrators_wrong_password_is_his_and_names_place_and_setting(server: MariaDatabases) -> None:
    place = rf"127\.0\.0\.1:{server.port} \(servers\.web1\.databases\)"
    with pytest.raises(Failed, match=rf"db_auth: the database server at {place} could not create x_g1f1: 1045: "):
        networked(server, password="wrong").create("x_g1f1")
    with pytest.raises(Failed, match=rf"db_auth: .* at {re.escape(str(server.socket))} "):
        replace(server, user="nobody", password="wrong").create("x_g1f1")


@pytest.mark.parametrize("number", [1819, 1372, 1827])
def test_a_password_that_a_policy_refuses_is_a_matter_of_configuration_and_said_in_words(number: int) -> None:
    cause = failure(number, "Your password does not satisfy the current policy requirements", "create x").cause
    assert (cause.code, cause.kind) == ("db_policy", CauseKind.CONFIGURATION)
    assert "policy requirements" in cause.detail
    assert "simple_password_check" in cause.remedy


def test_a_sites_user_that_is_refused_does_not_blame_the_administrator() -> None:
    for number in (1045, 1698, 1044, 1130, 4151):
        assert site_failure(number, "Access denied", "WordPress").cause.code == "db_site_refused"
        assert failure(number, "Access denied", "create x").cause.code in ("db_auth", "db_denied", "db_blocked")
    assert site_failure(2002, "Cannot connect to MySQL using SSL", "WordPress").cause.code == "db_tls"
    assert site_failure(1226, "limit", "WordPress").cause.code == "db_busy"


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00\x00\x00\x00",
        b"\x05\x00\x00\x00\x0aabcd",
        b"\x4a\x00\x00\x00\x0a8.0.36\x00" + b"\xff" * 64,
        b"SSH-2.0-OpenSSH_9.2\r\n" * 40,
    ],
)
def test_whatever_answers_at_the_address_is_a_server_that_is_down_and_no_crash(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_greet, args=(listener, greeting), daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(Failed, match=rf"db_down: .* at 127\.0\.0\.1:{port} ") as error:
            MariaDatabases(host="127.0.0.1", port=port, read_seconds=2).names("x")
    assert error.value.cause.kind is CauseKind.TRANSIENT


def _greet(listener: socket.socket, greeting: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(greeting)


def test_mysql_8_without_encryption_is_a_matter_of_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its passwords need the `cryptography` package or an encrypted line; pymysql says so by a RuntimeError."""

    def connect(*_: object, **__: object) -> None:
        raise RuntimeError("'cryptography' package is required for sha256_password or caching_sha2_password")

    monkeypatch.setattr(pymysql.Connection, "connect", connect)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Failed, match="db_tls"):
        MariaDatabases(host="127.0.0.1", port=listener.getsockname()[1]).names("x")


def test_a_name_that_is_too_long_is_refused_before_anything_is_made(server: MariaDatabases) -> None:
    with pytest.raises(Failed, match="db_name"):
        networked(server).create("a" * 65)


def test_a_refused_site_leaves_neither_database_nor_user(server: MariaDatabases) -> None:
    administered(server, "CREATE USER hasty@'%' IDENTIFIED BY 'Hasty-1n'")
    administered(server, "GRANT ALL ON *.* TO hasty@'%' WITH GRANT OPTION")
    hasty = networked(server, user="hasty", password="Hasty-1n")
    administered(server, "SET GLOBAL init_connect = 'SELECT * FROM nowhere.nothing'")
    try:
        with pytest.raises(Failed, match="db_"):
            hasty.create("nowhere_g1f1")
    finally:
        administered(server, "SET GLOBAL init_connect = ''")
    assert hasty.names("nowhere") == []
