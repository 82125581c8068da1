"""The rules that keep the architecture: which package may import which, and what only one package may use."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from foundation.config import settings

ROOT = Path(__file__).parents[2]
FLOORS = ("schemas", "foundation", "services", "sitecrew")
"""From the bottom up; imports only ever point down."""

SERVICES = ("order_intake", "installer", "mailer", "api")

BELOW: dict[str, set[str]] = {
    "broker": set(),
    "store": set(),
    "hosting": set(),
    "telemetry": set(),
    "testing": {"broker"},
    "config": {"broker", "hosting"},
    "handling": {"broker", "config", "store", "telemetry"},
    "service": {"broker", "config", "handling", "store", "telemetry"},
}
"""The packages of the foundation, and which others each may import. All may import the modules next to them."""


def modules() -> list[Path]:
    return sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))


@cache
def imports(path: Path) -> frozenset[str]:
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def those_importing(room: str) -> set[str]:
    return {name_of(path) for path in modules() if any(within(name, room) for name in imports(path))}


@pytest.mark.parametrize("lower", range(len(FLOORS)))
def test_imports_point_down(lower: int) -> None:
    above = FLOORS[lower + 1 :]
    wrong = {user for floor in above for user in those_importing(floor) if within(user, FLOORS[lower])}
    assert wrong == set()


@pytest.mark.parametrize("service", SERVICES)
def test_services_never_import_each_other(service: str) -> None:
    others = {user for user in those_importing(f"services.{service}") if within(user, "services")}
    assert {user for user in others if not within(user, f"services.{service}")} == set()


def test_the_rooms_of_the_foundation_know_those_below_them_only() -> None:
    rooms = {path.name for path in (ROOT / "foundation").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(BELOW)
    for room, below in BELOW.items():
        known = {
            other
            for other in rooms
            for user in those_importing(f"foundation.{other}")
            if within(user, f"foundation.{room}")
        }
        assert known - {room} <= below, f"foundation.{room} may know {below}"


def names_a_service(text: str) -> bool:
    return not {"intake", "installer", "mailer"}.isdisjoint(re.split(r"[^a-z]+", text.lower()))


def test_only_the_configuration_names_a_service() -> None:
    """In the foundation's code: names and strings, but not docstrings."""
    found = []
    for path in (ROOT / "foundation").rglob("*.py"):
        if within(name_of(path), "foundation.config"):
            continue
        tree = ast.parse(path.read_text())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if id(node) not in prose:
                said = (getattr(node, name, None) for name in ("id", "attr", "arg", "name", "value"))
                found += [(name_of(path), text) for text in said if isinstance(text, str) and names_a_service(text)]
    assert found == []


@pytest.mark.parametrize(
    ("library", "room"),
    [
        ("pika", "foundation.broker.rabbit"),
        ("smtplib", "services.mailer.smtp"),
        ("pymysql", "foundation.hosting.database_connection"),
    ],
)
def test_only_one_room_knows(library: str, room: str) -> None:
    users = those_importing(library)
    assert users
    assert {user for user in users if not within(user, room)} == set()


def test_the_schemas_need_pydantic_what_it_needs_itself_and_the_standard_library_only() -> None:
    used = {name.partition(".")[0] for path in (ROOT / "schemas").rglob("*.py") for name in imports(path)}
    assert used - sys.stdlib_module_names <= {"pydantic", "schemas", "idna"}


def test_structlog_is_configured_in_one_place() -> None:
    assert [name_of(path) for path in modules() if "structlog.configure(" in path.read_text()] == [
        "foundation.telemetry.logs"
    ]


def test_the_environment_is_read_in_one_place() -> None:
    # The child processes of a stack get an environment that is built from scratch.
    readers = [name_of(path) for path in modules() if "os.environ" in path.read_text() or "getenv" in path.read_text()]
    assert readers == ["foundation.config.sources"]


def test_importing_any_module_opens_nothing() -> None:
    """Importing creates no connection, thread or file: calls at module level are few and harmless."""
    harmful = {"connect", "open", "Thread", "Popen", "create_engine", "start"}
    found = []
    for path in modules():
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.If):
                continue
            calls = (node.func for node in ast.walk(statement) if isinstance(node, ast.Call))
            names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
            found += [(name_of(path), name) for name in names & harmful]
    assert found == []


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    lacking, stale = settings.known().keys() - documented, documented - settings.known().keys()
    assert not lacking, (
        f"undocumented settings, add each to the table in docs/settings.md: {', '.join(sorted(lacking))}"
    )
    assert not stale, f"not settings any more, remove these rows from docs/settings.md: {', '.join(sorted(stale))}"


def test_every_setting_is_described_as_it_is_documented() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| .*?\| (.+) \|$", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    documented = {name: re.sub(r"\[([^]]+)\]\([^)]+\)|`", r"\1", meaning) for name, meaning in rows}
    assert {name: info.description for name, info in settings.known().items()} == documented


@pytest.mark.parametrize("folder", ["tests/node", "tests/console", "script/asyncapi"])
def test_the_lock_of_the_node_packages_names_no_registry_and_every_hash(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    del packages[""]  # the folder itself
    assert packages
    assert [name for name, package in packages.items() if "resolved" in package or "integrity" not in package] == []


@pytest.mark.parametrize(
    ("folder", "package"), [("tests/node", "@asyncapi/parser"), ("script/asyncapi", "@asyncapi/react-component")]
)
def test_a_package_of_which_we_use_a_build_with_everything_in_it_is_locked_without_dependencies(
    folder: str, package: str
) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    assert lock["packages"][f"node_modules/{package}"].keys().isdisjoint({"dependencies", "peerDependencies"}), (
        f"every fresh machine would unpack thousands of files that nothing loads: remove `dependencies` and "
        f"`peerDependencies` of {package} from {folder}/package-lock.json, and the packages that only these name"
    )


def test_every_decision_has_a_number_of_its_own() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    headings = [path.read_text().splitlines()[0].partition(".")[0] for path in decisions]
    assert headings == [f"# {number}" for number in range(1, len(decisions) + 1)]
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
