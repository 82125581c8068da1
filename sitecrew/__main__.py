"""The `sitecrew` command."""

import sys
from io import TextIOWrapper

from sitecrew.cli.root import app


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a customer's name is no reason to fail where it can't be shown
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="sitecrew")


if __name__ == "__main__":
    main()
