"""`sitecrew run --reload`: restarts a service when a file changes, for development."""

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
    """Run this command line without `--reload`, and restart it whenever a source file or the settings file changes,
    until a signal. A service that exits by itself is restarted at the next change. Returns the last exit code."""
    stop = stop_on_signals()
    arguments = [sys.executable, "-m", "sitecrew", *(word for word in sys.argv[1:] if word != "--reload")]
    code = 0
    while not stop.is_set():
        before = _changed_at(config)
        # A session of its own keeps our terminal's Ctrl-C away, which we pass on: received twice, it kills.
        with subprocess.Popen(arguments, start_new_session=True) as service:  # noqa: S603 - ourselves
            while not stop.wait(_LOOK_SECONDS) and _changed_at(config) == before:
                if service.poll() not in (None, code):
                    _tell(f"the service exited with {service.returncode}; it restarts when a file changes")
                    code = service.returncode or 0
            if service.poll() is None:
                service.terminate()
            code = service.wait()
        if not stop.is_set():
            _tell("a file changed: restarting")
    return code


def _changed_at(config: Path | None) -> Mapping[Path, int]:
    files = [
        path for folder in _WATCHED for path in (_ROOT / folder).rglob("*") if path.suffix in {".py", ".j2", ".toml"}
    ]
    files += filter(None, [settings_file(config)])
    return {path: path.stat().st_mtime_ns for path in files if path.exists()}


def _tell(text: str) -> None:
    sys.stderr.write(f"reload: {text}\n")
