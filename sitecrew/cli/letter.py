"""`sitecrew letter`: what became of welcome letters, sending one again, and how they look."""

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.mailer.states import State
from sitecrew.cli.help import examples, known, noun

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from foundation.runtime.settings import Settings
    from services.mailer.letters import Welcome
    from services.mailer.mails import Mail

app = noun("sitecrew letter list", "sitecrew letter resend 1042")

_Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


class Form(StrEnum):
    """What of the letter is shown."""

    TEXT = "text"
    HTML = "html"
    EML = "eml"


@app.command(
    "list",
    epilog=examples("sitecrew letter list", "sitecrew letter list --state sent --json"),
)
def list_letters(
    ctx: typer.Context,
    state: Annotated[
        str, typer.Option(metavar="STATE,...", help=f"Of {', '.join(State)}.", show_default=True)
    ] = "waiting,sending,failed",
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many.", min=1)] = 100,
    json: _Json = False,
) -> None:
    """Show letters that wait or have failed, with causes and remedies."""
    from services.mailer import mails
    from sitecrew.cli import screen, session
    from sitecrew.cli.tables import Table

    names = known(ctx, [name.strip() for name in state.split(",")], list(State), "--state")
    with session.reading_letters(session.settings_of(ctx)) as connection:
        found = mails.listing(connection, [State(name) for name in names], limit)
    if json:
        screen.document([_record(mail) for mail in found])
    elif found:
        headers = ("INSTALL", "TO", "STATE", "TRY", "SENT AGAIN")
        Table(headers, [_row(mail) for mail in found], beneath=("CAUSE", "REMEDY")).show()
    else:
        screen.note(f"no letter is {' or '.join(names)}")


@app.command(
    epilog=examples(
        "sitecrew letter resend 1042",
        "sitecrew letter resend 1042-g2 --to new@example.org",
        "sitecrew letter resend --all-failed",
    )
)
def resend(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="INSTALL_ID|ORDER_ID", help="An order's id: its latest install.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where to, if not to the customer.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every letter that has failed.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the outcome.", min=0)] = 60,
    json: _Json = False,
) -> None:
    """Send welcome letters again, those that failed or got lost."""
    from schemas.mails import MailResend
    from services.mailer import mails
    from sitecrew.cli import commands, screen, session
    from sitecrew.cli.order_files import validated

    if bool(ids) == all_failed:
        raise typer.BadParameter("name the installs, or give --all-failed", ctx=ctx)
    if to and len(ids or ()) != 1:
        raise typer.BadParameter("--to goes with one install", ctx=ctx)
    settings = session.settings_of(ctx)
    with session.reading_letters(settings) as connection:
        found = [_found(connection, name) for name in ids or ()]
        found += mails.listing(connection, [State.FAILED], 100_000) if all_failed else ()
    if not found:
        screen.note("no letter has failed")
    fields = [{"install_id": mail.install_id, "recipient": to} for mail in found]
    wanted = [validated(MailResend, named, {"recipient": "--to"}) for named in fields]
    commands.carry_out(settings, wanted, timeout, by="mailer", json=json)


def _found(connection: "Connection", name: str) -> "Mail":
    from foundation.errors import NotFound
    from services.mailer import mails

    mail = mails.latest(connection, name)
    if mail is None:
        raise NotFound(f"there is no letter for {name}: see `sitecrew installs show {name}` for what it waits for")
    return mail


def _row(mail: "Mail") -> tuple[str, ...]:
    cause = mail.cause
    told = (f"{cause.code}: {cause.detail}", cause.remedy) if cause else ("", "")
    recipient = mail.completed.customer.email
    return (mail.install_id, recipient, mail.state, str(mail.attempts_now), str(mail.resends or "-"), *told)


def _record(mail: "Mail") -> dict[str, Any]:
    """As JSON shows it; what is sealed is left out."""
    completed, cause = mail.completed, mail.cause
    return {
        "install_id": mail.install_id,
        "order_id": completed.order_id,
        "recipient": completed.customer.email,
        "state": mail.state,
        "attempt": mail.attempts_now,
        "resends": mail.resends,
        "created_at": mail.created_at,
        "sent_at": mail.sent_at,
        "message_id": mail.message_id,
        "cause": cause.model_dump(mode="json") if cause else None,
    }


@app.command(
    epilog=examples(
        "sitecrew letter preview",
        "sitecrew letter preview --html > letter.html",
        "sitecrew letter preview --eml --site-type static > letter.eml",
    )
)
def preview(
    ctx: typer.Context,
    text: Annotated[bool, typer.Option("--text", help="Subject and plain text (as without an option).")] = False,
    html: Annotated[bool, typer.Option("--html", help="The HTML part.")] = False,
    eml: Annotated[bool, typer.Option("--eml", help="The whole message, as it is sent.")] = False,
    site_type: Annotated[str, typer.Option(metavar="TYPE", help="As for this type of site.")] = "wordpress",
    json: _Json = False,
) -> None:
    """Show the letter to an invented customer, from your templates."""
    from services.mailer.letters import letters_of
    from sitecrew.cli import screen, session

    forms = [form for form, wanted in zip(Form, (text, html, eml), strict=True) if wanted]
    if len(forms) + json > 1:
        raise typer.BadParameter("choose one of --text, --html, --eml and --json", ctx=ctx)
    settings = session.settings_of(ctx)
    own = settings.mailer
    letters = letters_of(own)
    message = letters.render(_sample(settings, site_type), datetime.now(UTC))
    parts = {form: message.get_body((kind,)) for form, kind in ((Form.TEXT, "plain"), (Form.HTML, "html"))}
    contents = {form: str(part.get_content()) if part else "" for form, part in parts.items()}
    if json:
        headers = {name: str(message[name]) for name in ("from", "to", "subject")}
        screen.document({**headers, **contents})
    elif forms == [Form.EML]:
        screen.raw(message.as_string())
    elif forms == [Form.HTML]:
        screen.raw(contents[Form.HTML])
    else:
        screen.raw(f"Subject: {message['subject']}\n\n{contents[Form.TEXT]}")


def _sample(settings: "Settings", site_type: str) -> "Welcome":
    """The sample, with what the settings say of this type of site."""
    from foundation.errors import NotFound
    from services.mailer.letters import sample

    site = settings.sites.get(site_type)
    if site is None:
        raise NotFound(f"there is no site type {site_type}; the settings have {', '.join(settings.sites)}")
    invented = replace(sample(), site_type=site_type)
    if not site.display_control_panel_login:
        invented = replace(invented, control_panel=None)
    if site_type != "wordpress":  # what it is called, and whether it has a login, only its installer knows
        invented = replace(invented, application=site_type, login_url=None, username=None, password=None)
    if site.address == "domain":
        home = f"http://{invented.domain}/"
        login = home + "wp-login.php" if invented.login_url else None
        invented = replace(invented, temporary=False, site_url=home, login_url=login)
    return invented
