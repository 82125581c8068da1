"""The contract's files beside this package: golden events, and the contract as it was released."""

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
    """An event as it once was sent, kept to be read for ever.

    `<routing key>/<name>.json` holds one in structured mode: it is the message's body. One in binary
    mode, `<routing key>/<name>.binary.json`, holds `content_type`, `headers` and `body` of the message.
    """

    routing_key: str
    name: str
    """The file's name, without its ending."""
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
        """The file's JSON."""
        return json.loads(self.content)

    def message(self) -> tuple[bytes, str, dict[str, Any]]:
        """Body, content type and headers, as the broker would hand them out."""
        if not self.binary:
            return self.content, "application/cloudevents+json", {}
        document = self.document
        return json.dumps(document["body"]).encode(), document["content_type"], document["headers"]


def golden_events(folder: Path = GOLDEN) -> Sequence[Golden]:
    """All of them, in the order of their names."""
    return [Golden(path.parent.name, path.stem, path.read_bytes()) for path in sorted(folder.glob("*/*.json"))]
