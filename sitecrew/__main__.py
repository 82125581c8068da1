"""The `sitecrew` command."""

import signal
import sys
from io import TextIOWrapper


def main() -> None:
    # PID 1 of a container ignores signals that it has no handler for. A service installs its own when it runs.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    from sitecrew.cli.root import app  # noqa: PLC0415 - which takes its time

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that this terminal cannot show must not fail the command
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="sitecrew")


if __name__ == "__main__":
    main()
