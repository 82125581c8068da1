"""A service for whoever works on it: stopped and started again when a file changes."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from foundation.config.sources import settings_file
from foundation.service.signals import stop_on_signals

_ROOT = Path(__file__).parents[3]
_WATCHED = ("schemas", "foundation", "services", "sitecrew")
_LOOK_SECONDS = 0.5


def run_again_and_again(config: Path | None) -> int:
    """Run this command line without `--reload`, from the beginning whenever a source or the settings file has changed,
    until a signal. A service that ends by itself waits for the next change. Returns the last exit code."""
    stop = stop_on_signals()
    arguments = [sys.executable, "-m", "sitecrew", *(word for word in sys.argv[1:] if word != "--reload")]
    code = 0
    while not stop.is_set():
        before = _changed_at(config)
        # Apart from our terminal's Ctrl-C, which we hand on: else it would come twice, and the second one kills.
        with subprocess.Popen(arguments, start_new_session=True) as service:  # noqa: S603 - ourselves
            while not stop.wait(_LOOK_SECONDS) and _changed_at(config) == before:
                if service.poll() not in (None, code):
                    _tell(f"it ended with exit code {service.returncode}; it starts again when a file changes")
                    code = service.returncode or 0
            if service.poll() is None:
                service.terminate()
            code = service.wait()
        if not stop.is_set():
            _tell("a file has changed: starting again")
    return code


def _changed_at(config: Path | None) -> Mapping[Path, int]:
    files = [
        path for folder in _WATCHED for path in (_ROOT / folder).rglob("*") if path.suffix in {".py", ".j2", ".toml"}
    ]
    files += filter(None, [settings_file(config)])
    return {path: path.stat().st_mtime_ns for path in files if path.exists()}


def _tell(text: str) -> None:
    sys.stderr.write(f"reload: {text}\n")
