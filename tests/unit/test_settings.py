"""Settings: where they come from, what is said of wrong ones, and that secrets stay so."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from foundation.errors import ConfigurationError
from foundation.runtime import settings as module
from foundation.runtime.settings import Settings, known, load, origins, variables

CANARY = "canary-71c2"


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("SITECREW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "CONFIG_PLACES", (Path("sitecrew.toml"), tmp_path / "etc" / "sitecrew.toml"))


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
    written(tmp_path / "etc", "default_server = 'etc'")
    assert load().default_server == "etc"
    written(tmp_path, "default_server = 'here'")
    assert load().default_server == "here"
    monkeypatch.setenv("SITECREW_CONFIG", str(written(tmp_path, "default_server = 'named'", "named.toml")))
    assert load().default_server == "named"
    assert load(written(tmp_path, "default_server = 'given'", "given.toml")).default_server == "given"


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


# What is said of wrong ones


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("options.token = 'x'", "options are a plug-in's; driver local has none"),
        ("driver = 'panel'\nroot = '/srv'\nlinux_users = true", "linux_users and root: only driver local has this"),
    ],
)
def test_a_server_takes_the_settings_of_its_own_driver_only(tmp_path: Path, text: str, said: str) -> None:
    assert f"servers.web1: Value error, {said}" in refusal(written(tmp_path, f"[servers.web1]\n{text}\n"))


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("[timer]\nevry = '* * * * *'", "timer.evry", "timer.every"),
        ("[mailer.smtp]\nhots = 'mx'", "mailer.smtp.hots", "mailer.smtp.host"),
        ("amqp_ulr = 'amqp://x'", "amqp_ulr", "amqp_url"),
        ("[sites.wordpress]\nwelcome_mail = false", "sites.wordpress.welcome_mail", "sites.*.welcome_email"),
    ],
)
def test_an_unknown_key_names_the_nearest_that_is_known(tmp_path: Path, text: str, wrong: str, near: str) -> None:
    assert f"{wrong} is no setting; did you mean {near}?" in refusal(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("SITECREW_TIMER__EVRY", "SITECREW_TIMER__EVERY"),
        ("SITECREW_TIMER_EVERY", "SITECREW_TIMER__EVERY"),
        ("SITECREW_KEYS__PRIVAT_FILE", "SITECREW_KEYS__PRIVATE"),
    ],
)
def test_an_unknown_variable_names_the_nearest_that_is_known(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setenv(name, CANARY)
    assert refusal() == f"{name} is no setting; did you mean {near}?"


def test_what_is_near_to_nothing_is_told_where_all_are_listed(tmp_path: Path) -> None:
    assert "qqqq is no setting; `sitecrew config show` lists them" in refusal(written(tmp_path, "qqqq = 1"))


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
        ("LOG__LEVEL", ""),
        ("SERVERS__WEB1__DRIVER", "tele pathy"),
        ("SITES__SHOP__INSTALLER", ""),
    ],
)
def test_a_wrong_value_is_refused_at_the_start_by_the_settings_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"SITECREW_{name}", value)
    assert name.lower().replace("__", ".").rpartition(".")[0] in refusal()


def test_all_that_is_wrong_is_said_at_once_and_where(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, "evry = 1\n[timer]\nevery = 'x'\n[mailer.smtp]\nport = 0\n"))
    assert str(tmp_path / "sitecrew.toml") in said
    for setting in ("evry", "timer.every", "mailer.smtp.port"):
        assert setting in said


@pytest.mark.parametrize("content", [b"[timer", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sitecrew.toml"
    path.write_bytes(content)
    assert f"{path} is not TOML" in refusal(path)


def test_a_file_that_is_not_there_or_no_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path / "none.toml") in refusal(tmp_path / "none.toml")
    assert str(tmp_path) in refusal(tmp_path)
    monkeypatch.setenv("SITECREW_CONFIG", "elsewhere.toml")
    assert "elsewhere.toml" in refusal()


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "")

    def denied(_path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    assert refusal(path) == f"{path} can't be read: Permission denied"


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_secrets_file_that_cannot_be_read_is_told_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SITECREW_KEYS__PRIVATE_FILE", str(path))
    assert "SITECREW_KEYS__PRIVATE_FILE names a file that can't be read" in refusal()


# Secrets


def test_no_secret_is_in_what_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [name for name, info in known().items() if "SecretStr" in str(info.annotation)]
    assert len(secrets) >= 7
    for name in secrets:
        path = name.replace("*", "local").upper().replace(".", "__")
        monkeypatch.setenv(f"SITECREW_{path}", f"amqp://{CANARY}" if path == "AMQP_URL" else CANARY)
    settings = load()
    assert settings.keys.private.get_secret_value() == CANARY
    for shown in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert CANARY not in shown


@pytest.mark.parametrize(
    "text", [f"amqp_url = ['{CANARY}']", f"[keys]\nprivate = {{ {CANARY} = 1 }}", f"[timer]\nevery = '{CANARY}'"]
)
def test_a_wrong_value_is_never_repeated(tmp_path: Path, text: str) -> None:
    assert CANARY not in refusal(written(tmp_path, text)).replace("is no cron", "")


def test_settings_do_not_change_once_they_are_read() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.default_server = "other"  # type: ignore[misc]  # which mypy knows, too
    with pytest.raises(ValidationError):
        settings.timer.every = "* * * * *"  # type: ignore[misc]
    assert isinstance(settings, Settings)
