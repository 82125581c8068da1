"""Fixtures for tests that install real sites. Declare `pytest_plugins = ("tests.support.web_host",)` to have them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.hosting.databases import MariaDatabases
from foundation.hosting.local import LocalServer
from services.installer.sites.wordpress import WordPress
from tests.support.daemons import mariadb, php_web, require, require_recipe, scratch
from tests.support.installing import local_server


@pytest.fixture(scope="session")
def database_server() -> Iterator[MariaDatabases]:
    """One database server, shared by all tests of a process that don't stop it."""
    with mariadb() as (databases, _):
        yield databases


@pytest.fixture(scope="session")
def web_host(database_server: MariaDatabases) -> Iterator[LocalServer]:
    """One hosting server, shared by all tests of a process; each creates its own account."""
    with scratch() as root, php_web(root) as address:
        yield local_server(root, address, database_server)


@pytest.fixture(scope="session")
def dokuwiki() -> Path:
    """DokuWiki's recipe, with the archive. Without them the test is skipped; in CI it fails."""
    require("php")
    return require_recipe()


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which archives are unpacked, shared by all tests of a process."""
    return tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="session")
def wordpress() -> WordPress:
    """The installer, for machines without internet access. Without WordPress the test is skipped; in CI it fails."""
    require("php")
    installer = WordPress(isolated=True)
    if not installer.core.is_dir():
        pytest.fail("no WordPress") if "CI" in os.environ else pytest.skip("no WordPress")
    return installer
