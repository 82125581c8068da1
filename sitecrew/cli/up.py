"""`sitecrew up`: everything on one machine."""

from pathlib import Path
from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun

app = noun()


@app.command(
    epilog=examples(
        "sitecrew up",
        "sitecrew up --site static --every '*/10 * * * * *'",
        "sitecrew --config var/up/sitecrew.toml installs watch",
    )
)
def up(
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where all of it lives.")] = Path("var/up"),
    site: Annotated[list[str] | None, typer.Option(metavar="TYPE", help="wordpress or static; repeatable.")] = None,
    settle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="An install is not due before its account is so old.", min=0)
    ] = None,
    every: Annotated[str | None, typer.Option(metavar="CRON", help="When batches start.")] = None,
) -> None:
    """Run broker, database, web server, mail catcher and the services until Ctrl-C."""
    from sitecrew.up import up as run_up

    run_up(directory=directory, sites=tuple(site or ("wordpress", "static")), settle=settle, every=every)
