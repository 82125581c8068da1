"""Settings as people may see them: secrets redacted."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Secret, SecretStr


def flat(section: BaseModel, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield every setting by its dotted name, with secrets redacted."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        named = isinstance(value, Mapping)
        parts = {f"{name}.{key}": one for key, one in value.items()} if named else {name: value}
        for path, part in parts.items():
            if isinstance(part, BaseModel):
                yield from flat(part, f"{prefix}{path}.")
            else:
                yield f"{prefix}{path}", _shown(part)


def _shown(value: Any) -> Any:
    """A value with secrets redacted. An SQLite URL is shown: it holds no password."""
    if isinstance(value, Secret):
        return "[redacted]"
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return secret if not secret or secret.startswith("sqlite:") else "[redacted]"
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    return str(value) if isinstance(value, Path) else value
