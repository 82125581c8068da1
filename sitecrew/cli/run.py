"""`sitecrew run`: one service in this process."""

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from sitecrew.cli.help import examples, noun

app = noun()


class Service(StrEnum):
    """The services."""

    ORDER_INTAKE = "order-intake"
    INSTALLER = "installer"
    MAILER = "mailer"
    API = "api"


CONCURRENCY = {
    Service.ORDER_INTAKE: "order_intake.threads",
    Service.INSTALLER: "installer.concurrency",
    Service.MAILER: "mailer.threads",
}
"""Each service's setting for how much it does at a time."""
COMMANDED = tuple(CONCURRENCY)
"""The services that hear commands, and must run; the api is optional, and hears none."""


@app.command(
    epilog=examples(
        "sitecrew run installer",
        "sitecrew run mailer --concurrency 8 --log-level debug",
        "sitecrew run order-intake --reload",
    )
)
def run(
    ctx: typer.Context,
    service: Annotated[Service, typer.Argument(help="order-intake, installer, mailer or api.")],
    concurrency: Annotated[
        int | None, typer.Option(metavar="N", help="Accounts, installs or emails at a time, in this process.")
    ] = None,
    listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Health and metrics; `off` for none.")] = None,
    log_level: Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="For development: restart when a file changes.")] = False,
) -> None:
    """Run a service until SIGTERM or Ctrl-C, which lets it finish what it has begun. Options take precedence over
    settings."""
    from foundation.config.settings import load
    from sitecrew.cli.office.opening import require_direct

    require_direct(ctx)
    if concurrency is not None and service not in CONCURRENCY:
        raise typer.BadParameter(f"{service} has no such setting", param_hint="--concurrency")
    given = {
        CONCURRENCY.get(service, ""): ("--concurrency", concurrency),
        f"{service.replace('-', '_')}.listen": ("--listen", listen),
        "log.level": ("--log-level", log_level),
    }
    settings = load(ctx.obj, flags={name: flag for name, flag in given.items() if flag[1] is not None})
    if reload:
        from sitecrew.cli.client.reload import run_again_and_again

        raise typer.Exit(run_again_and_again(ctx.obj))
    # Only the requested service is imported: each needs libraries that the others do not.
    module = import_module(f"services.{service.replace('-', '_')}.__main__")
    raise typer.Exit(module.main(settings))
