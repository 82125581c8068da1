"""The `sitecrew` command."""

import signal
import sys
from io import TextIOWrapper


def main() -> None:
    # The first process of a container ignores a signal that it has no handler for. A service takes over when it runs.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    from sitecrew.cli.root import app  # noqa: PLC0415 - which takes its time

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a customer's name is no reason to fail where it can't be shown
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="sitecrew")


if __name__ == "__main__":
    main()
