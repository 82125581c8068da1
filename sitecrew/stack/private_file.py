"""Files that nobody else on the machine can read."""

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file of its own, also in place of one that others could read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
