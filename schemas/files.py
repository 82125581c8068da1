"""Find the contract's files in this package: golden events, and the contract as it was released."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent / "golden"
RELEASED = Path(__file__).parent / "released.json"

_BINARY = ".binary.json"


@dataclass(frozen=True)
class Golden:
    """An example event, kept to prove that it can be read for ever.

    `<routing key>/<name>.json` contains the body of a message in structured mode. For binary mode,
    `<routing key>/<name>.binary.json` contains the message's `content_type`, `headers` and `body`.
    """

    routing_key: str
    name: str
    """The file name without `.json`."""
    content: bytes

    @property
    def file(self) -> str:
        return f"{self.routing_key}/{self.name}.json"

    @property
    def digest(self) -> str:
        return sha256(self.content).hexdigest()

    @property
    def binary(self) -> bool:
        return self.file.endswith(_BINARY)

    @property
    def document(self) -> Any:
        """The parsed JSON of the file."""
        return json.loads(self.content)

    def message(self) -> tuple[bytes, str, dict[str, Any]]:
        """Return body, content type and headers, as the broker would deliver them."""
        if not self.binary:
            return self.content, "application/cloudevents+json", {}
        document = self.document
        return json.dumps(document["body"]).encode(), document["content_type"], document["headers"]


def golden_events(folder: Path = GOLDEN) -> Sequence[Golden]:
    """Read all golden events, sorted by name."""
    return [Golden(path.parent.name, path.stem, path.read_bytes()) for path in sorted(folder.glob("*/*.json"))]
