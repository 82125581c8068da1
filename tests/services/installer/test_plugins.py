"""Packages of third parties: a real one, installed by pip, and ones that are broken in every way there is."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from foundation.config.servers import servers_of
from foundation.config.settings import Settings, load
from foundation.errors import ConfigurationError, Failed
from foundation.hosting import AccountRequest
from schemas.values import CauseKind
from services.installer.sites import Job
from services.installer.sites.registry import installer_of, installers_of
from sitecrew.stack.web.static import serve
from tests.support.cli import sitecrew
from tests.support.installing import quietly

_PACKAGE = Path(__file__).parents[2] / "plugin"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with ours in it."""
    folder = tmp_path_factory.mktemp("packages")
    source = shutil.copytree(_PACKAGE, tmp_path_factory.mktemp("source") / "greeting")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, capture_output=True)
    return folder


@pytest.fixture
def greeting(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package, installed where this process looks for packages."""
    monkeypatch.syspath_prepend(str(packages))
    return packages


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder of accounts, and the address of its web server."""
    with serve(tmp_path / "shelf", "127.0.0.1", 0) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield tmp_path / "shelf", f"127.0.0.1:{web.server_address[1]}"
        web.shutdown()
        thread.join(10)


def settings(directory: Path, **given: object) -> Settings:
    """Settings from a file: a site type `hello` and a server `one`, but for what is given otherwise."""
    return load(settings_file(directory, **given))


def settings_file(directory: Path, **given: object) -> Path:
    values = {
        "sites.hello.installer": "greeting",
        "sites.hello.options.text": "Good morning",
        "servers.one.driver": "shelf",
        "servers.one.options.folder": str(directory),
        **{name.replace("__", "."): value for name, value in given.items()},
    }
    file = directory / "sitecrew.toml"
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items() if value is not None))
    return file


@pytest.mark.usefixtures("greeting")
def test_an_installer_and_a_server_of_a_package_work_like_ours(shelf: tuple[Path, str], tmp_path: Path) -> None:
    folder, web_address = shelf
    own = settings(tmp_path, servers__one__options__folder=str(folder), servers__one__web_address=web_address)
    server, installer = servers_of(own)["one"], installers_of(own)["hello"]
    with pytest.raises(Failed, match="shelf_missing"):
        server.check()
    folder.mkdir()
    server.check()
    installer.check(server)
    request = AccountRequest("ann", "ann.example", "ann@example.org", marker="1042", password="x" * 20)
    assert not server.create_account(request).adopted
    assert server.create_account(request).adopted
    job = Job(
        install_id="1042-g1",
        order_id="1042",
        generation=1,
        fence=1,
        username="ann",
        domain="ann.example",
        url=server.temporary_url("ann"),
        title="Ann's",
        admin_email="ann@example.org",
        seal=str,
        deadline=datetime.now(UTC) + timedelta(seconds=30),
    )
    site = installer.install(job, server, quietly)
    assert (site.application, site.url) == ("Hello", job.url)
    assert httpx2.get(site.url, timeout=60).text == "<h1>Good morning</h1>"
    assert installer.install(job, server, quietly).adopted


@pytest.mark.usefixtures("greeting")
def test_ours_and_a_packages_stand_side_by_side(tmp_path: Path) -> None:
    own = settings(tmp_path, sites__page__installer="static", servers__two__root=str(tmp_path), default_server="one")
    assert set(installers_of(own)) == {"wordpress", "static", "hello", "page"}
    assert [type(server).__name__ for server in servers_of(own).values()] == ["Shelf", "LocalServer"]


# What is said of wrong ones


def refusal(own: Settings) -> str:
    with pytest.raises(ConfigurationError) as error:
        installer_of(own, "hello")
    return str(error.value)


def test_a_package_that_is_not_installed_is_named_with_what_there_is(tmp_path: Path) -> None:
    own = settings(tmp_path)
    said = refusal(own)
    assert "sites.hello.installer: unknown plug-in 'greeting'; available: archive, static, wordpress." in said
    assert "sitecrew.site_installers" in said
    with pytest.raises(ConfigurationError, match=r"servers\.one\.driver: unknown plug-in 'shelf'; available: local\."):
        servers_of(own)


def test_installs_of_a_type_whose_package_is_missing_fail_and_no_others(tmp_path: Path) -> None:
    own = settings(tmp_path, servers__one__driver="local", servers__one__options__folder=None)
    installers, server = installers_of(own), servers_of(own)["one"]
    installers["static"].check(server)
    with pytest.raises(Failed, match=r"not_configured: sites\.hello\.installer: unknown plug-in 'greeting'") as failure:
        installers["hello"].check(server)
    assert failure.value.cause.kind is CauseKind.CONFIGURATION


@pytest.mark.usefixtures("greeting")
def test_options_are_checked_by_the_packages_own_model(tmp_path: Path) -> None:
    assert "sites.hello.options.txet: is unknown; known options: text" in refusal(
        settings(tmp_path, sites__hello__options__txet="x")
    )
    assert "sites.hello.options.text: must be text" in refusal(
        settings(tmp_path, sites__hello__options__text=["canary"])
    )
    assert "sites.hello.options.text: must be given" in refusal(settings(tmp_path, sites__hello__options__text=None))
    with pytest.raises(ConfigurationError, match=r"servers\.one\.options\.folder: must be given"):
        servers_of(settings(tmp_path, servers__one__options__folder=None))


def offer(folder: Path, name: str, value: str, module: str = "") -> None:
    """Install a package by hand, which offers `value` as the installer `greeting`."""
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[sitecrew.site_installers]\ngreeting = {value}\n")
    (folder / f"{value.partition(':')[0]}.py").write_text(module)


_OPTIONS = (
    "from foundation.config.settings import Section\nclass Hello:\n    class Options(Section):\n        text: str\n"
)


@pytest.mark.parametrize(
    ("value", "module", "said"),
    [
        ("broken_a:Hello", "import nothing_of_the_kind", "ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
        ("broken_b:Hello", "1 / 0", "ZeroDivisionError"),
        ("broken_c:Hello", "", "AttributeError: module 'broken_c' has no attribute 'Hello'"),
        ("broken_d:Hello", "Hello = 7", "TypeError: expected a class, got 7"),
    ],
)
def test_a_package_that_is_broken_is_named_with_its_entry_point_and_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, module: str, said: str
) -> None:
    offer(tmp_path / "packages", "acme-sites", value, module)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    point = f"the entry point greeting = {value} of the package acme-sites 0.1 in sitecrew.site_installers"
    assert f"sites.hello.installer: cannot load {point}: {said}" in refusal(settings(tmp_path))


@pytest.mark.parametrize(
    ("value", "module", "said"),
    [
        ("wrong_a:Hello", "class Hello: pass", "wrong_a:Hello has no pydantic model named Options"),
        ("wrong_b:Hello", _OPTIONS, "cannot create wrong_b:Hello: TypeError"),
        ("wrong_c:Hello", f"{_OPTIONS}    def __init__(self, *_): pass\n", "wrong_c:Hello lacks install, check"),
    ],
)
def test_a_class_that_is_no_installer_is_told_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, module: str, said: str
) -> None:
    offer(tmp_path / "packages", "acme-sites", value, module)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    assert said in refusal(settings(tmp_path))


@pytest.mark.usefixtures("greeting")
def test_two_packages_that_offer_the_same_are_both_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "packages", "acme-sites", "acme:Hello")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    said = refusal(settings(tmp_path))
    assert "the package acme-sites 0.1" in said
    assert "the package sitecrew-greeting 1.2" in said
    assert "uninstall one" in said


def test_what_the_settings_do_not_name_is_never_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path / "packages", "acme-sites", "never_imported:Hello", "raise SystemExit(9)")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    own = settings(tmp_path, sites__hello__installer="static", sites__hello__options__text=None)
    assert type(installer_of(own, "hello")).__name__ == "Static"
    assert "never_imported" not in sys.modules


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sites.hello.installer": "static"}, "sites.hello.options are only for plug-ins; installer static has none"),
        ({"sites.hello.recipe": "x.toml"}, 'sites.hello.recipe: only allowed with sites.hello.installer = "archive"'),
        ({"sites.hello.installer": "archive", "sites.hello.options.text": None}, "sites.hello.recipe must be set"),
    ],
)
def test_settings_of_another_installer_are_refused(tmp_path: Path, given: dict[str, object], said: str) -> None:
    assert said in refusal(settings(tmp_path, **given))


def test_options_are_taken_for_secrets_wherever_settings_are_shown(tmp_path: Path) -> None:
    config = settings_file(tmp_path, servers__one__options__token="canary-5e1")
    shown = sitecrew("--config", str(config), "config", "show", "--json")
    assert shown.json["servers.one.options.token"]["value"] == "[redacted]"
    assert "canary-5e1" not in f"{shown.stdout}{load(config)!r}{load(config).model_dump_json()}"
