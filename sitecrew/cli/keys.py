"""`sitecrew keys`: the mailer's key pair."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun

app = noun("sitecrew keys generate --private-file mailer.key")


@app.command(
    epilog=examples(
        "sitecrew keys generate --private-file mailer.key",
        "sitecrew keys generate --private-file mailer.key --public-file mailer.pub",
    )
)
def generate(
    ctx: typer.Context,
    private_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A new file for the private key, readable by you alone.")
    ] = None,
    public_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A new file for the public key.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Make a new key pair: seals passwords on their way to the mailer."""
    from foundation.errors import Refused
    from foundation.runtime.sealing import generate_keys
    from sitecrew.cli import screen

    if public_file and not private_file:
        raise typer.BadParameter("--public-file needs --private-file", ctx=ctx)
    public, private = generate_keys()
    if private_file is None:
        _print_both(public, private, json=json)
        return
    if public_file:
        _write_new(public_file, public, 0o644)
    try:
        _write_new(private_file, private, 0o600)
    except (OSError, Refused):
        if public_file:
            public_file.unlink()  # without its partner it could only mislead
        raise
    if json:
        screen.document({"public": public, "private_file": str(private_file)})
    else:
        screen.out(public)
    screen.note(f"Give the mailer SITECREW_KEYS__PRIVATE_FILE={private_file}, and everyone this keys.public.")


def _print_both(public: str, private: str, *, json: bool) -> None:
    from sitecrew.cli import screen

    screen.warn("this shows the private key. Keep it where only the mailer reads it; --private-file does that.")
    if json:
        screen.document({"public": public, "private": private})
    else:
        screen.out(f'[keys]\npublic = "{public}"\nprivate = "{private}"')


def _write_new(path: Path, key: str, mode: int) -> None:
    from foundation.errors import Refused

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Refused(f"{path} exists, and what is sealed to its key needs it: choose another name") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key}\n")
