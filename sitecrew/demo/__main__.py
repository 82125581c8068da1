"""The door to the demonstration, `python -m sitecrew.demo`: says what is missing before it loads what needs it."""

import sys

from foundation.errors import ConfigurationError
from sitecrew.cli.output import terminal
from sitecrew.cli.up import require_demo


def main() -> int:
    """Returns the exit code."""
    try:
        require_demo()
    except ConfigurationError as error:
        terminal.error(str(error))
        return error.exit_code
    from sitecrew.demo.demonstration import main as demonstrate  # noqa: PLC0415 - it needs the extra

    return demonstrate()


if __name__ == "__main__":
    sys.exit(main())
