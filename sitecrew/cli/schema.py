"""`sitecrew schema`: the contract as JSON Schema, AsyncAPI and OpenAPI, and what of it was released."""

from pathlib import Path
from typing import Annotated

import typer

from foundation.version import version
from sitecrew.cli.help import examples, noun

app = noun("sitecrew schema export /tmp/schemas", "sitecrew schema check")

_Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The schemas' directory.", show_default=True)]
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command(epilog=examples("sitecrew schema export", "sitecrew schema export /tmp/schemas"))
def export(directory: _Directory = Path("schemas/export"), json: _Json = False) -> None:
    """Write JSON Schemas of every type and of log lines, AsyncAPI, and OpenAPI."""
    from sitecrew.cli import contract
    from sitecrew.cli.output import terminal

    directory.mkdir(parents=True, exist_ok=True)
    files = {directory / name: content for name, content in contract.contents().items()}
    for path, content in files.items():
        path.write_text(content)
    if json:
        terminal.document(list(map(str, files)))
    terminal.note(
        f"wrote {contract.types()} schemas, {contract.ASYNCAPI}, {contract.OPENAPI} and {contract.LOG} to {directory}"
    )


@app.command(epilog=examples("sitecrew schema check"))
def check(directory: _Directory = Path("schemas/export"), json: _Json = False) -> None:
    """Check that files, models and release agree; exit code 1 if not."""
    from sitecrew.cli import contract
    from sitecrew.cli.output import terminal

    found, broken = contract.differences(directory), contract.unkept()
    if json:
        terminal.document({"differences": found, "broken": broken})
    for line in () if json else [*found, *broken]:
        terminal.out(line)
    if found:
        terminal.error(
            f"{directory} differs from the models", f"run `sitecrew schema export {directory}` and commit the result"
        )
    if broken:
        terminal.error("the contract breaks the last release", "see above; docs/contract.md says what may change")
    if found or broken:
        raise typer.Exit(1)
    terminal.note(f"{contract.types()} schemas match the models, and keep what was released")


@app.command(epilog=examples("sitecrew schema release"))
def release(json: _Json = False) -> None:
    """Release the current contract, if it keeps what was released before."""
    from schemas.files import RELEASED
    from sitecrew.cli import contract
    from sitecrew.cli.output import terminal

    broken = contract.release()
    if json:
        terminal.document({"broken": broken})
    for line in () if json else broken:
        terminal.out(line)
    if broken:
        terminal.error("nothing was released: this would break the last release", "see docs/contract.md")
        raise typer.Exit(1)
    terminal.note(f"wrote the contract of {version()} to {RELEASED}; commit it")
