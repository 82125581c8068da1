"""The `sitecrew` command."""

from sitecrew.cli.root import app


def main() -> None:
    app(prog_name="sitecrew")


if __name__ == "__main__":
    main()
