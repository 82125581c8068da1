"""Settings: where they come from, what is said of wrong ones, and that secrets stay so."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from foundation.config import sources
from foundation.config.settings import PREFIX, Settings, known, load, origins, variables
from foundation.config.sources import setting_of
from foundation.errors import ConfigurationError

CANARY = "canary-71c2"


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("SITECREW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "CONFIG_PLACES", (Path("sitecrew.toml"), tmp_path / "etc" / "sitecrew.toml"))


def written(directory: Path, text: str, name: str = "sitecrew.toml") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def refusal(path: Path | None = None) -> str:
    with pytest.raises(ConfigurationError) as error:
        load(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "advice"),
    [("'::1'", "[::1]:80"), ("'http://127.0.0.1:80'", "leave out the scheme"), ("'web1'", "such as")],
)
def test_an_address_that_is_not_host_and_port_is_refused_at_once(tmp_path: Path, text: str, advice: str) -> None:
    said = refusal(written(tmp_path, f"[servers.local]\nweb_address = {text}\n"))
    assert "servers.local.web_address" in said
    assert advice in said


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("scheme = 'https'", "127.0.0.1:443"),
        ("scheme = 'https'\nweb_scheme = 'http'", "127.0.0.1:80"),
        ("scheme = 'https'\nweb_address = '[::1]:8443'", "[::1]:8443"),
        ("scheme = 'http'", "127.0.0.1:80"),
    ],
)
def test_a_web_server_is_asked_at_the_port_of_the_scheme_that_it_speaks(
    tmp_path: Path, text: str, address: str
) -> None:
    assert load(written(tmp_path, f"[servers.one]\n{text}\n")).servers["one"].web_address == address


def test_headers_are_secret_and_checked_at_once(tmp_path: Path) -> None:
    text = "[servers.one.web_headers]\n'X-Token' = 'canary-71c2'\n"
    settings = load(written(tmp_path, text))
    assert CANARY not in repr(settings)
    assert settings.servers["one"].web_headers["X-Token"].get_secret_value() == CANARY
    for wrong in ("Host = 'x'", "'X Y' = 'x'", "X = 'ü'", 'X = "a\\r\\nB: c"'):
        assert "web_headers" in refusal(written(tmp_path, f"[servers.one.web_headers]\n{wrong}\n"))


@pytest.mark.parametrize("host", ["db.example:3307", "http://db.example", "[::1]:3306", "db.example/sites"])
def test_a_host_with_more_than_its_name_is_refused_at_once(tmp_path: Path, host: str) -> None:
    said = refusal(written(tmp_path, f"[servers.one.databases]\nhost = '{host}'\n"))
    assert "servers.one.databases.host" in said


def test_an_ipv6_address_may_stand_in_brackets_wherever_a_host_is_named(tmp_path: Path) -> None:
    text = "[servers.one]\naddress = '[2001:db8::7]'\nweb_address = '[::1]:80'\n"
    settings = load(
        written(tmp_path, text + "[servers.one.databases]\nhost = '[::1]'\n[mailer.smtp]\nhost = '[::1]'\n")
    )
    one = settings.servers["one"]
    assert one.databases is not None
    assert (one.address, one.web_address, one.databases.host) == ("2001:db8::7", "[::1]:80", "::1")
    assert settings.mailer.smtp.host == "::1"


# Where they come from


def test_nothing_needs_to_be_set() -> None:
    settings = load()
    assert settings.timer.every == "*/5 * * * *"
    assert settings.amqp_url.get_secret_value().startswith("amqp://guest")
    assert [settings.sites["wordpress"].stage, settings.sites["static"].welcome_email] == [True, True]
    assert list(settings.servers) == ["local"]


def test_a_further_site_type_leaves_those_that_are_built_in(tmp_path: Path) -> None:
    settings = load(written(tmp_path, "[sites.archive]\nstage = false\n[sites.static]\nblog_name = 'Page'\n"))
    assert {name: site.stage for name, site in settings.sites.items()} == {
        "wordpress": True,
        "static": True,
        "archive": False,
    }
    assert settings.sites["static"].blog_name == "Page"


def test_servers_that_are_named_replace_the_one_that_is_not(tmp_path: Path) -> None:
    assert list(load(written(tmp_path, "[servers.web1]\naddress = '203.0.113.7'\n")).servers) == ["web1"]


def test_the_environment_wins_over_the_file_for_this_setting_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "[timer]\nevery = '0 * * * *'\njitter_seconds = 1\n[sites.wordpress]\nstage = false\n")
    monkeypatch.setenv("SITECREW_TIMER__EVERY", "*/2 * * * *")
    monkeypatch.setenv("SITECREW_SITES__WORDPRESS__BLOG_NAME", "Ours")
    settings = load()
    assert (settings.timer.every, settings.timer.jitter_seconds) == ("*/2 * * * *", 1)
    assert (settings.sites["wordpress"].stage, settings.sites["wordpress"].blog_name) == (False, "Ours")
    assert origins()["timer.every"] == "SITECREW_TIMER__EVERY"
    assert origins()["timer.jitter_seconds"] == "sitecrew.toml"
    assert "timer.budget_seconds" not in origins()


def test_the_first_file_that_is_there_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "etc", "mailer.brand = 'etc'")
    assert load().mailer.brand == "etc"
    written(tmp_path, "mailer.brand = 'here'")
    assert load().mailer.brand == "here"
    monkeypatch.setenv("SITECREW_CONFIG", str(written(tmp_path, "mailer.brand = 'named'", "named.toml")))
    assert load().mailer.brand == "named"
    assert load(written(tmp_path, "mailer.brand = 'given'", "given.toml")).mailer.brand == "given"


@pytest.mark.parametrize(
    "name", ["MAILER__SMTP__PASSWORD", "KEYS__PRIVATE", "SERVERS__WEB1__DATABASES__PASSWORD", "AMQP_URL"]
)
def test_a_secret_may_be_in_a_file_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret = f"amqp://{CANARY}" if name == "AMQP_URL" else CANARY
    monkeypatch.setenv(f"SITECREW_{name}_FILE", str(written(tmp_path, f"{secret}\n", "secret")))
    value: object = load()
    for part in name.lower().split("__"):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    assert value.get_secret_value() == secret  # type: ignore[attr-defined]  # it has become a SecretStr
    assert origins() == {name.lower().replace("__", "."): f"SITECREW_{name}_FILE"}
    assert list(variables()) == [f"SITECREW_{name}_FILE"]


def test_variables_of_others_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITECREWS_TIMER", "x")
    monkeypatch.setenv("TIMER__EVERY", "x")
    assert load().timer.every == "*/5 * * * *"
    assert variables() == {}


def test_options_of_a_plugin_come_from_the_file_the_environment_and_files_of_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "[servers.web1]\ndriver = 'panel'\noptions = { url = 'a', retries = 2, list = [1, { b = 2 }] }\n")
    monkeypatch.setenv("SITECREW_SERVERS__WEB1__OPTIONS__URL", "b")
    monkeypatch.setenv("SITECREW_SERVERS__WEB1__OPTIONS__TOKEN_FILE", str(written(tmp_path, f"{CANARY}\n", "secret")))
    settings = load()
    options = {name: value.get_secret_value() for name, value in settings.servers["web1"].options.items()}
    assert options == {"url": "b", "retries": 2, "list": [1, {"b": 2}], "token": CANARY}
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in shown


# Empty is not given


def every_variable() -> list[str]:
    return [PREFIX + name.replace("*", "local").replace(".", "__").upper() for name in known()]


@pytest.mark.parametrize("nothing", ["", " ", "\r", '""', "''"])
def test_an_empty_variable_is_one_that_is_not_given(monkeypatch: pytest.MonkeyPatch, nothing: str) -> None:
    usual = load(), origins()
    for name in every_variable():
        quoted = nothing and not nothing.isspace()
        if not (quoted and "Secret" in str(known()[setting_of(name, known()) or ""].annotation)):
            monkeypatch.setenv(name, nothing)  # of a secret, quotes may be a part
    monkeypatch.setenv("SITECREW_CONFIG", nothing)
    assert (load(), origins()) == usual


def test_an_empty_file_variable_and_an_empty_secret_file_give_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = load()
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", "")
    monkeypatch.setenv("SITECREW_AMQP_URL_FILE", " ")
    monkeypatch.setenv("SITECREW_MAILER__SMTP__PASSWORD_FILE", str(written(tmp_path, "\n", "empty")))
    assert load() == usual
    assert origins() == {}


def test_an_empty_variable_does_not_hide_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "[mailer.smtp]\nport = 587\nusername = 'mail'\n")
    monkeypatch.setenv("SITECREW_MAILER__SMTP__PORT", "")
    monkeypatch.setenv("SITECREW_MAILER__SMTP__USERNAME", "")
    smtp = load().mailer.smtp
    assert (smtp.port, smtp.username, origins()["mailer.smtp.port"]) == (587, "mail", "sitecrew.toml")


def test_an_empty_value_in_the_file_is_not_given_either(tmp_path: Path) -> None:
    written(tmp_path, "[mailer]\nsupport = ''\ntemplates = ''\nsmtp = { username = '', port = '' }\n")
    assert load() == Settings()
    assert origins() == {}


@pytest.mark.parametrize(("text", "variable"), [("''", None), ("'off'", None), ("'127.0.0.1:1'", "off")])
def test_nothing_is_listened_on_where_it_says_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, variable: str | None
) -> None:
    written(tmp_path, f"mailer.listen = {text}")
    if variable:
        monkeypatch.setenv("SITECREW_MAILER__LISTEN", variable)
    assert load().mailer.listen == ""


# What others set under our prefix


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SITECREW_SERVICE_HOST", "10.0.0.1"),
        ("SITECREW_SERVICE_PORT", "80"),
        ("SITECREW_SERVICE_PORT_METRICS", "9412"),
        ("SITECREW_PORT", "tcp://10.0.0.1:80"),
        ("SITECREW_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("SITECREW_PORT_80_TCP_PROTO", "tcp"),
        ("SITECREW_PORT_80_TCP_PORT", "80"),
        ("SITECREW_PORT_5672_TCP_ADDR", "10.0.0.1"),
        ("SITECREW_PORT_53_UDP_ADDR", "10.0.0.1"),
        ("SITECREW_INSTALLER_PORT", "tcp://10.0.0.1:9412"),
        ("SITECREW_ORDER_INTAKE_SERVICE_HOST", "10.0.0.1"),
        ("SITECREW_ORDER_INTAKE_SERVICE_PORT_HTTP", "9411"),
        ("SITECREW_MAILER_PORT_9413_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert load() == Settings()
    assert (origins(), variables()) == ({}, {})


# How values are written


@pytest.mark.parametrize(
    ("name", "written_as", "meant"),
    [
        ("INSTALLER__CONCURRENCY", ' "5" ', 5),
        ("INSTALLER__CONCURRENCY", "5\r", 5),
        ("INSTALLER__RETRY_FIRST_SECONDS", "'2.5'", 2.5),
        ("INSTALLER__WORDPRESS_ISOLATED", "True", True),
        ("INSTALLER__WORDPRESS_ISOLATED", '"yes"', True),
        ("INSTALLER__WORDPRESS_ISOLATED", "1", True),
        ("INSTALLER__WORDPRESS_ISOLATED", "ON", True),
        ("INSTALLER__WORDPRESS_ISOLATED", "No", False),
        ("LOG__LEVEL", "INFO", "info"),
        ("MAILER__SMTP__SECURITY", "StartTLS ", "starttls"),
        ("MAILER__BRAND", "'Example Hosting'", "Example Hosting"),
        ("MAILER__TEMPLATES", ' "/etc/sitecrew/letters" ', Path("/etc/sitecrew/letters")),
        ("AMQP_URL", ' "amqps://rabbit.example" ', SecretStr("amqps://rabbit.example")),
        ("MAILER__SMTP__PASSWORD", ' "it\'s" \r\n', SecretStr(' "it\'s" ')),
    ],
)
def test_quotes_spaces_and_case_of_an_environment_file_are_not_part_of_a_value(
    monkeypatch: pytest.MonkeyPatch, name: str, written_as: str, meant: object
) -> None:
    monkeypatch.setenv(f"SITECREW_{name}", written_as)
    value: object = load()
    for part in name.lower().split("__"):
        value = getattr(value, part)
    assert value == meant


@pytest.mark.parametrize("content", [b"s3 cret\n", b"s3 cret\r\n", b"\xef\xbb\xbfs3 cret\r\n", b"s3 cret"])
def test_a_secret_file_may_end_its_line_as_it_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("SITECREW_MAILER__SMTP__PASSWORD_FILE", str(tmp_path / "secret"))
    assert load().mailer.smtp.password == SecretStr("s3 cret")


def test_a_place_in_quotes_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = written(tmp_path, "mailer.brand = 'Ours'", "own.toml")
    monkeypatch.setenv("SITECREW_CONFIG", f' "{own}"\r')
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", f"'{written(tmp_path, CANARY, 'key')}'")
    assert (load().mailer.brand, load().keys.private.get_secret_value()) == ("Ours", CANARY)


@pytest.mark.parametrize("text", ["a.example, b.example,", '["a.example", "b.example"]', '"a.example,b.example"'])
def test_a_list_is_written_with_commas_or_as_json(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SITECREW_DOMAINS__RESERVED", text)
    assert load().domains.reserved == ["a.example", "b.example"]


def test_a_list_that_is_half_json_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITECREW_DOMAINS__RESERVED", '["a.example"')
    assert refusal() == 'SITECREW_DOMAINS__RESERVED must be a list, like ["a", "b"]'


def test_names_of_servers_and_site_types_are_found_whatever_their_case_and_dashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "default_server = 'Web-1'\n[servers.Web-1]\naddress = '::1'\n[servers.web2]\n[sites.my-shop]\n")
    monkeypatch.setenv("SITECREW_SERVERS__WEB_1__PUBLIC_PORT", "8080")
    monkeypatch.setenv("sitecrew_sites__my_shop__stage", "false")
    settings = load()
    assert (sorted(settings.servers), settings.servers["Web-1"].public_port) == (["Web-1", "web2"], 8080)
    assert settings.sites["my-shop"].stage is False
    assert origins()["servers.Web-1.public_port"] == "SITECREW_SERVERS__WEB_1__PUBLIC_PORT"


@pytest.mark.parametrize("other", ["SITECREW_MAILER__SMTP__PASSWORD_FILE", "sitecrew_mailer__smtp__password"])
def test_one_setting_given_twice_by_the_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.setenv("SITECREW_MAILER__SMTP__PASSWORD", CANARY)
    monkeypatch.setenv(other, str(written(tmp_path, CANARY, "secret")))
    assert refusal() == f"SITECREW_MAILER__SMTP__PASSWORD and {other} set the same setting; keep one of them"


def test_the_only_server_is_the_default_one_and_among_several_it_must_be_named(tmp_path: Path) -> None:
    assert load(written(tmp_path, "[servers.web1]\n")).default_server == "web1"
    said = "default_server must be one of the configured servers: web1, web2"
    assert said in refusal(written(tmp_path, "[servers.web1]\n[servers.web2]\n"))
    assert f"line 1: {said}" in refusal(written(tmp_path, "default_server = 'x'\n[servers.web1]\n[servers.web2]\n"))


# What is said of wrong ones


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("options.token = 'x'", "options belong to a plug-in; driver local has none"),
        ("driver = 'panel'\nroot = '/srv'\nlinux_users = true", "linux_users and root: only for driver local"),
    ],
)
def test_a_server_takes_the_settings_of_its_own_driver_only(tmp_path: Path, text: str, said: str) -> None:
    assert f"sitecrew.toml, line 1: servers.web1: {said}" in refusal(written(tmp_path, f"[servers.web1]\n{text}\n"))


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("[timer]\nevry = '* * * * *'", "timer.evry", "timer.every"),
        ("[mailer.smtp]\nhots = 'mx'", "mailer.smtp.hots", "mailer.smtp.host"),
        ("amqp_ulr = 'amqp://x'", "amqp_ulr", "amqp_url"),
        ("[timers]\nevery = 'x'", "timers", "timer"),
        ("[smtp]\nhost = 'mx'", "smtp", "mailer.smtp"),
        ("max_attemps = 3", "max_attemps", "mailer.max_attempts"),
        ("lease_seconds = 3", "lease_seconds", "installer.lease_seconds"),
        ("[server.web1]\nroot = '/srv'", "server", "servers"),
        ("[sites.wordpress]\nwelcome_mail = false", "sites.wordpress.welcome_mail", "sites.*.welcome_email"),
    ],
)
def test_an_unknown_key_names_the_nearest_that_is_known(tmp_path: Path, text: str, wrong: str, near: str) -> None:
    assert f"unknown setting {wrong}; did you mean {near}?" in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SITECREW_TIMER__EVRY", "SITECREW_TIMER__EVERY"),
        ("SITECREW_TIMER_EVERY", "SITECREW_TIMER__EVERY"),
        ("SITECREW_KEYS__PRIVAT_FILE", "SITECREW_KEYS__PRIVATE"),
        ("SITECREW_MAILER_SMTP_PORT", "SITECREW_MAILER__SMTP__PORT"),
        ("SITECREW_SMTP__HOST", "SITECREW_MAILER__SMTP__HOST"),
    ],
)
def test_an_unknown_variable_names_the_nearest_that_is_known(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setenv(name, CANARY)
    assert refusal() == f"unknown variable {name}; did you mean {near}?"


def test_what_is_near_to_nothing_is_told_where_all_are_listed(tmp_path: Path) -> None:
    assert "unknown setting qqqq; `sitecrew config show` lists all settings" in refusal(written(tmp_path, "qqqq = 1"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIMER__EVERY", "every five minutes"),
        ("TIMER__EVERY", "* * *"),
        ("TIMER__EVERY", "0 0 31 2 *"),
        ("TIMER__JITTER_SECONDS", "-1"),
        ("TIMER__BUDGET_SECONDS", "nan"),
        ("INSTALLER__RETRY_LONGEST_SECONDS", "inf"),
        ("MAILER__RETRY_FIRST_SECONDS", "1e300"),
        ("INSTALLER__LEASE_SECONDS", "0"),
        ("INSTALLER__CONCURRENCY", "0"),
        ("MAILER__SMTP__PORT", "70000"),
        ("MAILER__SMTP__SECURITY", "ssl"),
        ("SITES__WORDPRESS__STAGE", "perhaps"),
        ("SITES__Word Press__STAGE", "true"),
        ("DELAY__LEVELS", "64"),
        ("LOG__LEVEL", "loud"),
        ("MAILER__LISTEN", "9413"),
        ("MAILER__LISTEN", "127.0.0.1:99999"),
        ("AMQP_URL", "http://rabbit.example"),
        ("AMQP_URL", "amqp://one.example,two.example"),
        ("MAILER__STORE_URL", "mysql://host/name"),
        ("SERVERS__WEB1__CONTROL_PANEL_URL", "panel.example"),
        ("DEFAULT_SERVER", "elsewhere"),
        ("SERVERS__WEB1__DRIVER", "tele pathy"),
    ],
)
def test_a_wrong_value_is_refused_at_the_start_by_its_variable_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SITECREW_{name}", value)
    said = refusal()
    assert said.startswith((f"SITECREW_{name} must ", f"SITECREW_{name} is "))
    assert "\n" not in said
    for alien in ("Input", "Value error", "String", "pattern", ".toml"):
        assert alien not in said


def test_all_that_is_wrong_is_said_at_once_one_line_each_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "evry = 1\n[timer]\nevery = 'x'\n[mailer]\nsmtp.port = 0 # none\n")
    monkeypatch.setenv("SITECREW_INSTALLER__THREADS", "1")
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SITECREW_DELAY__LEVELS", "64")
    cron = "is not a valid cron expression (Wrong number of fields); every five minutes is '*/5 * * * *'"
    assert refusal().splitlines() == [
        "6 settings are wrong:",
        "  unknown variable SITECREW_INSTALLER__THREADS; did you mean SITECREW_MAILER__THREADS?",
        "  SITECREW_KEYS__PRIVATE_FILE names a file that cannot be read: No such file or directory",
        "  SITECREW_DELAY__LEVELS must be at most 28",
        f"  {path.name}, line 3: timer.every {cron}",
        f"  {path.name}, line 5: mailer.smtp.port must be at least 1",
        f"  {path.name}, line 1: unknown setting evry; did you mean timer.every?",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[timer", "is not valid TOML: Expected ']' at the end of a table declaration (at end of document)"),
        (b"a = 1\na = 2\n", "is not valid TOML: Cannot overwrite a value (at line 2, column 6)"),
        ("[timer]\r\n".encode("utf-16"), "is UTF-16, or not text at all; save it as UTF-8"),
        ("[timer]\r\n".encode("utf-16-le"), "is UTF-16, or not text at all; save it as UTF-8"),
        (
            "[mailer]\nbrand = 'M\u00fcller'\n".encode("cp1252"),
            "has a character in line 2 that is not UTF-8; save it as UTF-8",
        ),
    ],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "sitecrew.toml"
    path.write_bytes(content)
    assert refusal(path) == f"{path} {said}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_saved_by_any_editor_is_read(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "sitecrew.toml"
    path.write_bytes(newline.join(("[mailer]", "brand = 'M\u00fcller'", "")).encode(encoding))
    assert load(path).mailer.brand == "M\u00fcller"


def test_a_file_that_is_not_there_or_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path / "none.toml") in refusal(tmp_path / "none.toml")
    assert str(tmp_path) in refusal(tmp_path)
    monkeypatch.setenv("SITECREW_CONFIG", "elsewhere.toml")
    assert "elsewhere.toml" in refusal()


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "")

    def denied(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert refusal(path) == f"cannot read {path}: Permission denied"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), (b"\xff\xfeS\0", "is UTF-16"), (b"\xff", "has a ch")]
)
def test_a_secrets_file_that_cannot_be_read_is_told_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", str(path))
    assert refusal().startswith(f"SITECREW_KEYS__PRIVATE_FILE names a file that {said}")


# Secrets


@pytest.mark.parametrize("name", ["TRACING__ENDPOINT", "AMQP_MANAGEMENT_URL"])
def test_an_address_that_may_hold_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SITECREW_{name}", f"https://us:{CANARY}@collector.example")
    assert CANARY not in repr(load())
    monkeypatch.setenv(f"SITECREW_{name}", f"ftp://us:{CANARY}@collector.example")
    assert CANARY not in refusal()


def test_no_secret_is_in_what_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [name for name, info in known().items() if "SecretStr" in str(info.annotation)]
    assert len(secrets) >= 7
    for name in secrets:
        path = name.replace("*", "local").upper().replace(".", "__")
        kinds = {
            "amqp_url": "amqp://",
            "amqp_management_url": "http://",
            "endpoint": "http://",
            "store_url": "postgresql://",
        }
        url = kinds.get(name.rpartition(".")[2], "")
        monkeypatch.setenv(f"SITECREW_{path}", url + CANARY)
    settings = load()
    assert settings.keys.private.get_secret_value() == CANARY
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"amqp_url = ['{CANARY}']",
        f"amqp_url = '{CANARY}'",
        f"mailer.store_url = '{CANARY}'",
        f"[keys]\nprivate = {{ {CANARY} = 1 }}",
        f"[timer]\nevery = '{CANARY}'",
    ],
)
def test_a_wrong_value_is_never_repeated(tmp_path: Path, text: str) -> None:
    assert CANARY not in refusal(written(tmp_path, text))


def test_settings_do_not_change_once_they_are_read() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.default_server = "other"  # type: ignore[misc]  # which mypy knows, too
    with pytest.raises(ValidationError):
        settings.timer.every = "* * * * *"  # type: ignore[misc]
    assert isinstance(settings, Settings)
