"""What a site type adds to WordPress: plugins, themes, options; the same step by step and copied from an image."""

import hashlib
import re
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from foundation.config.settings import Installer, Settings, load
from foundation.config.settings import Site as SiteType
from foundation.config.wordpress import WordPressExtras
from foundation.errors import ConfigurationError, Failed
from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from schemas.values import Cause, CauseKind
from services.installer.sites import Job
from services.installer.sites.deployment import Plan, Site
from services.installer.sites.docroot import Docroot
from services.installer.sites.programs.php import Php
from services.installer.sites.registry import installer_of, installers_of
from services.installer.sites.wordpress import WordPress
from services.installer.sites.wordpress.extras import Extras
from services.installer.sites.wordpress.image.shelf import Shelf
from services.installer.sites.wordpress.image.templates import Unfit
from services.installer.sites.wordpress.steps import Filled, InSteps
from tests.support.installing import (
    assert_untouched,
    browser,
    databases_of,
    home_page,
    leftovers,
    new_job,
    opens,
    quietly,
)

DOCUMENT = Path(__file__).parents[5] / "docs" / "hosting.md"

pytest_plugins = ("tests.support.web_host",)

FILES = {
    "shop-window": {
        "shop-window/shop-window.php": """<?php
/* Plugin Name: Shop window */
register_activation_hook(__FILE__, function () {
    add_option('shop_window_word', 'Hello');
    wp_schedule_event(time(), 'daily', 'shop_window_daily');
    $GLOBALS['wpdb']->query("CREATE TABLE {$GLOBALS['wpdb']->prefix}goods (id INT PRIMARY KEY, name TEXT)");
});
add_action('wp_footer', fn () => print('<p>' . get_option('shop_window_word') . ' from the window</p>'));
add_action('init', fn () => register_post_type('goods', ['public' => true, 'has_archive' => true]));
""",
    },
    "backup": {
        "backup/main.php": "<?php\n// Plugin Name: Backup\nadd_action('wp_footer', fn () => print('Backup runs'));\n"
    },
    "bakery": {
        "bakery/style.css": "/* Theme Name: Bakery */",
        "bakery/index.php": "<!doctype html><title><?php bloginfo('name'); ?></title><body>Bakery<?php wp_footer();",
    },
}


def packed(folder: Path, name: str, files: Mapping[str, str]) -> dict[str, Any]:
    """Write an archive; return the settings that name it."""
    archive = folder / f"{name}.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path, text in files.items():
            file.writestr(path, text)
    return {"archive": archive, "sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archives")


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, Any]:
    """The site type of docs/hosting.md, with archives of ours."""
    (example,) = re.findall(r"```toml\n(\[sites\.wordpress-shop].*?)```", DOCUMENT.read_text(), re.DOTALL)
    shop: dict[str, Any] = tomllib.loads(example)["sites"]["wordpress-shop"]
    for kind in ("plugins", "themes"):
        for name, extra in shop["wordpress"][kind].items():
            extra.update(packed(tmp_path, name, FILES[name]))
    return shop


def having(wordpress: WordPress, places: Path, **extras: Any) -> WordPress:
    return replace(wordpress, extras=Extras(WordPressExtras(**extras), places))


Half = tuple[Site, Filled, InSteps]


@pytest.fixture(scope="module")
def half(web_host: LocalServer, wordpress: WordPress) -> Iterator[Half]:
    """A WordPress that has no extras yet, and whoever builds it; failures change nothing that matters here."""
    job = new_job(web_host)
    docroot = Docroot.of(job, web_host)
    docroot.begin()
    maker = InSteps(wordpress.core, Php(wordpress.php), isolated=True, extras=wordpress.extras)
    with docroot.building() as stage:
        site = Site(job, web_host, quietly, docroot, stage)
        yield site, maker.fill(site), maker


def refused(half: Half, extras: Extras) -> Cause:
    """Why extras cannot be added."""
    site, filled, maker = half
    with pytest.raises(Failed) as failure:  # noqa: PT012 - either may say so
        extras.require(maker.core)
        replace(maker, extras=extras).extend(site, filled)
    assert failure.value.cause.kind == CauseKind.CONFIGURATION
    return failure.value.cause


@contextmanager
def querying(server: MariaDatabases, job: Job) -> Iterator[pymysql.cursors.Cursor]:
    with (
        pymysql.connect(unix_socket=str(server.socket), user=server.user, database=f"{job.username}_g1f1") as link,
        link.cursor() as cursor,
    ):
        yield cursor


def options(server: MariaDatabases, job: Job) -> dict[str, str]:
    with querying(server, job) as cursor:
        cursor.execute("SELECT option_name, option_value FROM wp_options")
        return dict(cursor.fetchall())


@pytest.mark.parametrize("copied", [False, True], ids=["step by step", "copied"])
def test_a_site_has_the_extras_of_its_type(
    web_host: LocalServer,
    database_server: MariaDatabases,
    tmp_path: Path,
    shop: dict[str, Any],
    copied: bool,
) -> None:
    shop["wordpress"]["options"]["shop_window_since"] = "2026-11-27 10:00:00"
    own = Installer(wordpress_images=copied, images=tmp_path / "images", archives=tmp_path, wordpress_isolated=True)
    installer = installer_of(Settings(installer=own, sites={"shop": SiteType(**shop)}), "shop")
    job = new_job(web_host)
    with capture_logs() as lines:
        site = installer.install(job, web_host, quietly)
    told = [line["event"] for line in lines if line["event"].startswith("image.")]
    assert told == (["image.ready"] if copied else [])
    page = home_page(web_host, job)
    assert "Bakery" in page
    assert "Moin from the window" in page
    assert "Backup" not in page
    content = web_host.home(job.username) / "www" / "wp-content"
    assert (content / "plugins" / "backup" / "main.php").read_text() == FILES["backup"]["backup/main.php"]
    stored = options(database_server, job)
    assert stored["blogdescription"] == "Brot &amp; mehr"
    assert (stored["posts_per_page"], stored["default_comment_status"], stored["use_smilies"]) == ("20", "closed", "0")
    assert stored["shop_window_since"] == "2026-11-27 10:00:00"
    assert (stored["WPLANG"], stored["timezone_string"]) == ("de_DE", "Europe/Berlin")
    assert "shop_window_daily" in stored["cron"]
    with querying(database_server, job) as cursor:
        cursor.execute("SELECT post_name FROM wp_posts WHERE post_status = 'publish' AND post_type IN ('post', 'page')")
        assert cursor.fetchall() == ()
        cursor.execute("SELECT * FROM wp_comments")
        assert cursor.fetchall() == ()
        cursor.execute("SELECT * FROM wp_goods")
    with browser(web_host.web_address) as visitor:
        assert visitor.get(f"{job.url}goods/").status_code == 200
    assert opens(web_host, site)
    assert leftovers(web_host, job.username) == []


def test_other_extras_make_another_image(
    wordpress: WordPress, web_host: LocalServer, places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def make(*given: Any) -> None:
        made.append(given[-1].name)
        raise Unfit("it is not needed")

    monkeypatch.setattr("services.installer.sites.wordpress.image.shelf.make", make)
    job, plan = new_job(web_host), Plan(0, 0, lambda _: pytest.fail("not built"))
    for word in ("One", "Two", "Two"):
        extras = Extras(WordPressExtras(options={"blogdescription": word}), places)
        maker = InSteps(wordpress.core, Php(wordpress.php), isolated=True, extras=extras)
        with pytest.raises(Unfit, match="not needed"):
            Shelf(tmp_path, maker).image(job, web_host, plan)
    assert made[0] != made[1] == made[2]


def broken(main: str) -> dict[str, str]:
    return {"odd/odd.php": f"<?php\n/*\nPlugin Name: Odd\n{main}"}


WRONG = [
    (broken("*/ this_does_not_exist();"), "extra_failed", r"plugin odd: Uncaught Error: .*this_does_not_exist\(\)"),
    (broken("*/ this is no PHP;"), "extra_failed", "plugin odd: syntax error"),
    (broken("*/ exit(0);"), "extra_failed", "plugin odd: it ended PHP"),
    (
        broken("*/ register_activation_hook(__FILE__, fn () => wp_die('Buy it <b>first</b>'));"),
        "extra_failed",
        "plugin odd: Buy it first",
    ),
    (broken("Requires PHP: 99.0\n*/"), "extra_unfit", "plugin odd: .*The plugin requires PHP 99.0"),
    (broken("Requires at least: 98.0\n*/"), "extra_unfit", "plugin odd: .*The plugin requires WordPress 98.0"),
    ({"odd/readme.txt": "no plugin"}, "extra_unfit", "none of its files has a line `Plugin Name:`"),
    ({"odd.php": "<?php /* Plugin Name: Odd */"}, "extra_unfit", r"one folder, odd; there is odd\.php"),
    ({**broken("*/"), "__MACOSX/x": ""}, "extra_unfit", "one folder, odd; there is __MACOSX, odd"),
    ({**broken("*/"), "odd/../../x.php": ""}, "archive_unsafe", "would be written outside"),
]


def words(cause: Cause) -> str:
    return f"{cause.code}: {cause.detail}"


@pytest.mark.parametrize(("files", "code", "reason"), WRONG)
def test_a_plugin_that_cannot_be_used_is_named_with_its_own_words(
    half: Half, places: Path, tmp_path: Path, files: dict[str, str], code: str, reason: str
) -> None:
    plugins = {"odd": packed(tmp_path, "odd", files)}
    cause = refused(half, Extras(WordPressExtras(plugins=plugins), places))
    assert re.match(f"{code}: .*{reason}", words(cause))
    assert str(half[0].stage) not in cause.detail


@pytest.mark.parametrize(
    ("files", "code", "reason"),
    [
        ({"odd/index.php": ""}, "extra_unfit", "has no odd/style.css"),
        ({"odd/style.css": "/* Theme Name: Odd */"}, "extra_failed", "theme odd: "),
        (
            {"odd/style.css": "/* Theme Name: Odd\nTemplate: oak */", "odd/index.php": ""},
            "theme_missing",
            "theme odd: .*oak",
        ),
        (
            {"odd/style.css": "/* Theme Name: Odd\nRequires PHP: 99.0 */", "odd/index.php": ""},
            "extra_unfit",
            "theme odd: .*PHP",
        ),
    ],
)
def test_a_theme_that_cannot_be_used_is_named(
    half: Half, places: Path, tmp_path: Path, files: dict[str, str], code: str, reason: str
) -> None:
    themes = {"odd": packed(tmp_path, "odd", files)}
    cause = refused(half, Extras(WordPressExtras(themes=themes, theme="odd"), places))
    assert re.match(f"{code}: .*{reason}", words(cause))


@pytest.mark.parametrize(
    ("extras", "reason"),
    [
        ({"theme": "missing"}, "theme_missing: missing; there is twenty"),
        (
            {"options": {"post_per_page": "3"}},
            "option_wrong: .*post_per_page; did you mean posts_per_page",
        ),
        ({"options": {"flavour": "sweet"}}, "option_wrong: unknown option flavour$"),
        ({"options": {"sidebars_widgets": "none"}}, "option_wrong: sidebars_widgets: it is no text"),
        ({"options": {"posts_per_page": "many"}}, "option_wrong: posts_per_page: WordPress keeps .* of 'many'"),
    ],
)
def test_a_theme_or_option_that_does_not_exist_is_named(
    half: Half, places: Path, extras: dict[str, Any], reason: str
) -> None:
    assert re.match(reason, words(refused(half, Extras(WordPressExtras(**extras), places))))


def test_the_doctor_finds_a_theme_that_fails_whether_sites_are_copied_or_not(
    web_host: LocalServer, wordpress: WordPress, places: Path, tmp_path: Path
) -> None:
    odd = packed(tmp_path, "odd", {"odd/style.css": "/* Theme Name: Odd */", "odd/index.php": "<?php nowhere();"})
    installer = having(replace(wordpress, images=tmp_path / "images"), places, themes={"odd": odd}, theme="odd")
    with pytest.raises(Failed, match=r"php_fatal: .*nowhere"):
        installer.rehearse(web_host)


def test_a_plugin_that_fails_leaves_nothing(
    web_host: LocalServer, wordpress: WordPress, places: Path, tmp_path: Path
) -> None:
    odd = packed(tmp_path, "odd", broken("*/ this_does_not_exist();"))
    job = new_job(web_host)
    with pytest.raises(Failed, match="extra_failed"):
        having(wordpress, places, plugins={"odd": odd}).install(job, web_host, quietly)
    assert_untouched(web_host, job)
    assert databases_of(web_host, job) == []


# What is wrong in the settings, or with the archives, is said when the installer starts.


def settings(of: WordPress, places: Path, extras: dict[str, Any]) -> Settings:
    own = Installer(archives=places, wordpress_core=of.core)
    return Settings(installer=own, sites={"shop": SiteType(installer="wordpress", wordpress=WordPressExtras(**extras))})


def said_at_the_start(of: Settings) -> list[str]:
    with capture_logs() as lines:
        installers_of(of)
    return [line["reason"] for line in lines if line["event"] == "site_type.not_configured"]


def test_sound_extras_are_ready_when_the_installer_starts(
    wordpress: WordPress, places: Path, shop: dict[str, Any]
) -> None:
    assert said_at_the_start(settings(wordpress, places, shop["wordpress"])) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "0" * 64}, "archive_changed: .*odd.zip has the checksum"),
        ({"archive": "/nowhere.zip"}, "archive_missing: /nowhere.zip"),
        ({"most_files": 1}, "archive_unsafe: .*more than 1 entries"),
        ({"largest_mib": 1}, "archive_unsafe: .*more than 1048576 bytes"),
    ],
)
def test_an_archive_that_is_not_as_it_should_be_is_found_at_the_start_and_by_the_doctor(
    web_host: LocalServer, wordpress: WordPress, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    odd = packed(tmp_path, "odd", {**broken("*/"), "odd/large.bin": "x" * (1 << 20)}) | change
    made = settings(wordpress, tmp_path / "places", {"plugins": {"odd": odd}})
    (said,) = said_at_the_start(made)
    assert re.match(reason, said)
    with pytest.raises(Failed, match=reason):
        installer_of(made, "shop").check(web_host)


@pytest.mark.parametrize("name", ["siteurl", "admin_email", "active_plugins", "timezone_string", "stylesheet"])
def test_an_option_that_something_else_decides_is_no_setting(name: str) -> None:
    with pytest.raises(ValidationError, match=f"cannot have {name}: .* decides it"):
        WordPressExtras(options={name: "x"})


def test_an_option_may_be_empty(tmp_path: Path) -> None:
    file = tmp_path / "sitecrew.toml"
    file.write_text('[sites.shop.wordpress.options]\nblogdescription = ""\nuse_smilies = true\n')
    made = load(file, environment=False).sites["shop"].wordpress
    assert made.options == {"blogdescription": "", "use_smilies": "1"}


def test_extras_are_for_wordpress_alone() -> None:
    made = Settings(sites={"page": SiteType(installer="static", wordpress=WordPressExtras(default_content=False))})
    with pytest.raises(ConfigurationError, match=r'sites\.page\.wordpress: only allowed with .* = "wordpress"'):
        installer_of(made, "page")
