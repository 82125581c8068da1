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
        Path | None, typer.Option(metavar="FILE", help="A new file for the private key, readable only by you.")
    ] = None,
    public_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A new file for the public key.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Generate a key pair, which seals passwords on their way to the mailer."""
    from foundation.config.keys import generate_keys
    from foundation.errors import Refused
    from sitecrew.cli.output import terminal

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
            public_file.unlink()  # useless and misleading without the private key
        raise
    if json:
        terminal.document({"public": public, "private_file": str(private_file)})
    else:
        terminal.out(public)
    terminal.note(f"Set SITECREW_KEYS__PRIVATE_FILE={private_file} for the mailer, and this keys.public everywhere.")


@app.command(
    epilog=examples("sitecrew keys rotate --private-file mailer.key --previous-file previous.keys"),
)
def rotate(
    ctx: typer.Context,
    private_file: Annotated[Path, typer.Option(metavar="FILE", help="The mailer's private key; is replaced.")],
    previous_file: Annotated[Path, typer.Option(metavar="FILE", help="The replaced key is prepended here.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Generate a new key pair, and keep the earlier key for what is sealed to it."""
    from foundation.config.keys import generate_keys, public_of
    from sitecrew.cli.output import terminal

    if private_file == previous_file:
        raise typer.BadParameter("--previous-file must differ from --private-file", ctx=ctx)
    key = _read_key(private_file)
    replaced = public_of(key)
    earlier = previous_file.read_text().split() if previous_file.exists() else []
    public, private = generate_keys()
    _replace(previous_file, [key, *(other for other in earlier if other != key)])
    _replace(private_file, [private])
    if json:
        terminal.document({"public": public, "replaces": replaced})
    else:
        terminal.out(public)
    terminal.note(
        f"Next: restart the mailer with SITECREW_KEYS__PREVIOUS_FILE={previous_file}; only then set this keys.public"
        " everywhere, and restart order intake and the installers"
    )


def _read_key(path: Path) -> str:
    from foundation.errors import Refused

    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "it is not text")
        raise Refused(f"cannot read {path}: {reason}. `sitecrew keys generate` makes a first pair") from None


def _replace(path: Path, keys: list[str]) -> None:
    """Replace the file atomically, synced to disk before anything else happens."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{key}\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    if path.exists():  # the new file keeps the owner, such as the mailer's user
        there = path.stat()
        os.chown(draft, there.st_uid, there.st_gid)
    draft.replace(path)


def _print_both(public: str, private: str, *, json: bool) -> None:
    from sitecrew.cli.output import terminal

    terminal.warn("this prints the private key. Store it where only the mailer can read it; --private-file does that.")
    if json:
        terminal.document({"public": public, "private": private})
    else:
        terminal.out(f'[keys]\npublic = "{public}"\nprivate = "{private}"')


def _write_new(path: Path, key: str, mode: int) -> None:
    from foundation.errors import Refused

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise Refused(f"{path} already exists, and what was sealed to its key needs it; choose another name") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{key}\n")
