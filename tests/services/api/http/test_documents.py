"""The curl examples of docs/api.md and docs/webhooks.md, run as they are written, answer as the documents show."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from services.api.access.identity import Scope
from tests.support.api import HouseWithApi
from tests.support.brokers import until
from tests.support.house import PATIENCE

DOCS = Path(__file__).parents[4] / "docs"
_EXAMPLE = re.compile(r"^```sh\n(.*?)^```\n(?:\n```(json|text)\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
TOLD = frozenset({"order_id", "install_id", "generation", "domain", "state", "install_state", "type", "kind"})
TOLD |= {"outcome", "code", "status", "title", "field", "message", "url", "types", "source", "disabled_because"}
"""What is compared with the document word by word; of everything else only the kind of value."""
MADE = re.compile(r"whsec_|[0-9a-f]{8}-[0-9a-f]{4}-")
"""Values that are others each time."""


class Example(NamedTuple):
    command: str
    shown: Any
    """What the document shows as the answer; None if it shows none."""
    is_stream: bool
    section: str


def examples(document: str) -> list[Example]:
    text = (DOCS / document).read_text()
    found = []
    for match in _EXAMPLE.finditer(text):
        section = re.findall(r"^## (.*)$", text[: match.start()], re.MULTILINE)
        kind, shown = match[2], match[3]
        if kind == "text":
            shown = re.findall(r"^data: (.*)$", shown, re.MULTILINE)[0]
        found.append(Example(match[1], shown and json.loads(shown), kind == "text", section[-1] if section else ""))
    return found


def run(example: Example, environment: dict[str, str]) -> Any:
    """Run an example with a shell; return its answer, or the first event of a stream."""
    command = ["bash", "-euo", "pipefail", "-c", example.command]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        try:
            if not example.is_stream:
                answer = shell.stdout.read()
                assert shell.wait(PATIENCE) == 0
                return json.loads(answer)
            return json.loads(next(line for line in shell.stdout if line.startswith("data: "))[6:])
        finally:
            shell.kill()


def alike(shown: Any, came: Any, name: str = "") -> bool:
    """Whether an answer has what is shown and nothing else. Of a list, each item shown is like one that came."""
    if isinstance(shown, dict):
        if not isinstance(came, dict) or shown.keys() != came.keys():
            return False
        return all(alike(value, came[key], key) for key, value in shown.items())
    if isinstance(shown, list):
        return isinstance(came, list) and all(any(alike(one, other, name) for other in came) for one in shown)
    if name in TOLD and not (isinstance(shown, str) and MADE.search(shown)):
        return bool(shown == came)
    return type(shown) is type(came)


@pytest.fixture
def house(tmp_path: Path) -> HouseWithApi:
    return HouseWithApi(tmp_path, api={"address": "127.0.0.1:0", "secret_key": "a long random text"})


@pytest.fixture
def address(house: HouseWithApi) -> Iterator[str]:
    with house.served() as address:
        yield address


@pytest.mark.parametrize(
    ("document", "number", "scopes"),
    [("api.md", 10, (Scope.ORDERS_WRITE, Scope.INSTALLS_WRITE)), ("webhooks.md", 1, (Scope.ADMIN,))],
)
def test_the_examples_of_a_document_answer_as_it_shows(
    house: HouseWithApi, address: str, document: str, number: int, scopes: tuple[Scope, ...]
) -> None:
    environment = {"API": address, "TOKEN": house.token("/shop", *scopes)}
    found = examples(document)
    assert len(found) >= number

    def goes_on() -> bool:
        house.settle()
        return answer.done()

    with ThreadPoolExecutor(1) as threads:
        for example in found:
            if example.section == "Ask for something":
                house.advance_until(lambda: house.mailed(1042))
            answer = threads.submit(run, example, environment)
            until(goes_on, PATIENCE)
            came = answer.result()
            assert example.shown is not None, f"the document shows no answer to {example.command}: {json.dumps(came)}"
            assert alike(example.shown, came), f"{example.command} is answered with {json.dumps(came, indent=2)}"
