"""Generate the pages of docs/ that are made from the code: all cause codes, log events and findings of the audit."""

import ast
import importlib
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import foundation
import services
from foundation.causes import Causes, Meaning
from schemas.logs import EVENTS
from sitecrew.audit.violations import GROUPS

ROOT = Path(__file__).parents[2]
FLOORS = ("foundation", "services")
LEVELS = {"exception": "error"}

_CAUSES = """\
# Causes

Every failure has a `cause` in events, rows, log lines and `--json`: a stable `code`, its `kind`, what happened this
time (`detail`), and what to do about it (`remedy`). Any release may add codes; programs should look at the kind.

| kind | what it needs |
|---|---|
| `transient` | time: Sitecrew retries after growing pauses, as long as attempts are left |
| `capacity` | room: an order waits about a day, a held-back email as long as it takes; installs retry |
| `conflict` | another name, or a decision |
| `configuration` | a corrected setting |
| `permanent` | somebody who looks into it |

Causes marked `(server)` lie in a hosting server as a whole: after some of them in a row it is left alone for a while
([lifecycle.md](lifecycle.md#servers-that-fail)).

Whether work is retried follows from its state: failed work waits for staff (`sitecrew status`).

`script/reference` generates this page from the tables in the code.
"""

_LOG = """\
# Log events

Every line that the services log, by its stable name, `event`.
[operate.md](operate.md#logs-into-loki-and-elasticsearch) says how to collect them; `schemas/export/log.schema.json` is
the JSON Schema of a line, with the fields that all lines have.

`script/reference` generates this page from the code and from `schemas/logs.py`.

| event | level | means | fields of its own |
|---|---|---|---|
"""


_AUDIT = """\
# Audit

`sitecrew audit` reads the services' databases, the broker and, with `--servers`, the hosting servers, changes nothing,
and checks whether all that they say fits together.
[operate.md](operate.md#the-audit) says how to run it. What it reports neither may ever be so, nor mends itself: what is
merely on its way, or will be taken up by a [recovery sweep](recovery.md#recovery-sweeps), is none of it.

`script/reference` generates this page from `sitecrew/audit/violations.py`.
"""


def pages() -> dict[Path, str]:
    """Return what each page must contain."""
    return {
        ROOT / "docs/audit.md": audit(),
        ROOT / "docs/causes.md": causes(),
        ROOT / "docs/log-events.md": log_events(),
    }


def audit() -> str:
    sections = []
    for name, codes in GROUPS.items():
        filled = {code: told.remedy.format(subject="ID", order="ORDER") for code, told in codes.items()}
        rows = "".join(f"| `{code}` | {told.means} | {filled[code]} |\n" for code, told in codes.items())
        sections.append(f"\n## {name}\n\n| code | means | what to do |\n|---|---|---|\n{rows}")
    return _AUDIT + "".join(sections)


def causes() -> str:
    sections = []
    for module, table in tables():
        rows = "".join(f"| `{code}` | {_kind(table[code])} | {table[code].remedy} |\n" for code in sorted(table.own))
        title = (module.__doc__ or module.__name__).partition("\n")[0].rstrip(".").partition(":")[0]
        sections.append(f"\n## {title}\n\n| code | kind | what to do |\n|---|---|---|\n{rows}")
    return _CAUSES + "".join(sections)


def _kind(meaning: Meaning) -> str:
    return f"{meaning.kind} (server)" if meaning.blames_server else str(meaning.kind)


def tables() -> list[tuple[ModuleType, Causes]]:
    """Return every table of causes, with the module that defines it."""
    found = {}
    for module in modules():
        for value in vars(module).values():
            if isinstance(value, Causes) and id(value) not in found:
                found[id(value)] = (module, value)
    return list(found.values())


def modules() -> Iterator[ModuleType]:
    for floor in (foundation, services):
        for info in sorted(pkgutil.walk_packages(floor.__path__, f"{floor.__name__}."), key=lambda info: info.name):
            if not info.name.endswith("__main__") and ".migrations" not in info.name:
                yield importlib.import_module(info.name)


def log_events() -> str:
    levels: dict[str, set[str]] = defaultdict(set)
    fields: dict[str, set[str]] = defaultdict(set)
    for call in log_calls():
        name = ast.literal_eval(call.args[0])
        method = ast.unparse(call.func).rpartition(".")[2]
        levels[name].add(LEVELS.get(method, method))
        fields[name] |= {keyword.arg for keyword in call.keywords if keyword.arg}
    rows = []
    for name, meaning in sorted(EVENTS.items()):
        own = ", ".join(f"`{field}`" for field in sorted(fields[name]))
        rows.append(f"| `{name}` | {', '.join(sorted(levels[name])) or 'warning'} | {meaning} | {own} |\n")
    return _LOG + "".join(rows)


def log_calls() -> Iterator[ast.Call]:
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("_log."):
                    yield node


def main(arguments: list[str]) -> int:
    """Write the pages; with `--check`, name those that differ."""
    differing = [path for path, text in pages().items() if not path.is_file() or path.read_text() != text]
    for path in differing:
        if "--check" not in arguments:
            path.write_text(pages()[path])
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 1 if differing and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
