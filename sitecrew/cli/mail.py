"""`sitecrew mail`: which welcome emails were sent or failed, resending them, and how they look."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from services.mailer.states import State
from sitecrew.cli.help import examples, known, noun
from sitecrew.cli.listings import filters
from sitecrew.cli.listings.filters import NONE, DryRun, Filters, Json, Limit, Since, Yes

if TYPE_CHECKING:
    from sitecrew.cli.office.interface import Office
    from sitecrew.cli.office.seen import MailSeen

app = noun("sitecrew mail list", "sitecrew mail show 1042", "sitecrew mail resend 1042")

_Order = Annotated[str | None, typer.Option(metavar="ORDER", help="All emails of this order.")]
_Address = Annotated[str | None, typer.Option("--recipient", metavar="ADDRESS", help="All emails to this address.")]

_Cause = Annotated[
    str,
    typer.Option(
        metavar="CODE,...",
        help="Only with one of these causes, such as smtp_auth.",
        autocompletion=filters.causes("services.mailer.causes"),
    ),
]


class Form(StrEnum):
    """Which part of the email is shown."""

    TEXT = "text"
    HTML = "html"
    EML = "eml"


@app.command(
    "list",
    epilog=examples(
        "sitecrew mail list",
        "sitecrew mail list --state failed --cause smtp_auth --since 2h",
        "sitecrew mail list --order 1042 --json",
    ),
)
@filters.filtered(cause=_Cause, since=Since)
def list_mails(
    ctx: typer.Context,
    state: Annotated[
        str,
        typer.Option(
            metavar="STATE,...",
            help=f"Any of {', '.join(State)}.  [default: waiting,sending,failed]",
            autocompletion=filters.states(State),
        ),
    ] = "",
    order: _Order = None,
    recipient: _Address = None,
    narrowed: Filters = NONE,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List waiting and failed emails, with causes and remedies."""
    from sitecrew.cli.client import session
    from sitecrew.cli.listings import mail_rows
    from sitecrew.cli.office.interface import MailQuestion
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal

    default = ",".join(State) if order or recipient else "waiting,sending,failed"
    names = known(ctx, [name.strip() for name in (state or default).split(",")], list(State), "--state")
    states = [State(name) for name in names]
    question = MailQuestion(states, limit, order or "", recipient or "", narrowed.causes, narrowed.since)
    found = office_of(ctx).mails(question)
    if json:
        terminal.document([mail.record() for mail in found])
    elif found:
        mail_rows.table(found, session.now()).show()
    else:
        terminal.note("no such email" if order or recipient else f"no email is {' or '.join(names)}")
    if len(found) == limit:
        terminal.note(f"only the newest {limit} are shown; raise --limit for more")


@app.command(epilog=examples("sitecrew mail show 1042", "sitecrew mail show 1042-g2 --json"))
def show(
    ctx: typer.Context,
    mail: Annotated[
        str, typer.Argument(metavar="INSTALL|ORDER", help="An install id; or an order id: its latest install.")
    ],
    json: Json = False,
) -> None:
    """Show everything about one email; `preview` shows its content."""
    from sitecrew.cli.client import session
    from sitecrew.cli.listings import mail_rows
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal
    from sitecrew.cli.output.tables import pairs

    found = office_of(ctx).mail(mail)
    if json:
        terminal.document(found.record())
    else:
        pairs(mail_rows.page(found, session.now()))


@app.command(
    epilog=examples(
        "sitecrew mail resend 1042",
        "sitecrew mail resend 1042-g2 --to new@example.org --keep",
        "sitecrew mail resend --all-failed --dry-run",
        "sitecrew mail resend --cause smtp_auth --since 2h",
    )
)
@filters.filtered(cause=_Cause, since=Since)
def resend(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="INSTALL|ORDER...", help="Install ids; or order ids: their latest installs."),
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Send it here instead of to the customer's address.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="With --to: also make that the customer's address from now on.")
    ] = False,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every failed email.")] = False,
    narrowed: Filters = NONE,
    dry_run: DryRun = False,
    yes: Yes = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for the outcome.", min=0)] = 60,
    json: Json = False,
) -> None:
    """Resend welcome emails that failed or got lost."""
    from schemas.mails import MailResend
    from sitecrew.cli.client import commands
    from sitecrew.cli.client.orders.files import validated
    from sitecrew.cli.listings import mail_rows
    from sitecrew.cli.office.opening import office_of
    from sitecrew.cli.output import terminal

    if bool(ids) == (all_failed or narrowed.given):
        raise typer.BadParameter("name the installs, or give --all-failed, --cause or --since", ctx=ctx)
    if (to and len(ids or ()) != 1) or (keep and not to):
        raise typer.BadParameter("--to takes exactly one install, and --keep needs --to", ctx=ctx)
    office = office_of(ctx)
    found = mail_rows.chosen(office, ids or (), narrowed)
    if not found:
        terminal.note("no email has failed" if all_failed else "no matching email has failed")
    wanted = [
        validated(MailResend, {"install_id": mail.install_id, "recipient": to}, {"recipient": "--to"}) for mail in found
    ]
    if dry_run:
        mail_rows.show_choice(found, to, json=json)
        return
    if to:
        _require_consent(ctx, found[0], to, yes=yes)
    if to and keep:
        _amend(office, found[0], to, timeout, json=json)
    commands.carry_out(office, wanted, timeout, by="mailer", json=json)


def _require_consent(ctx: typer.Context, mail: "MailSeen", to: str, *, yes: bool) -> None:
    """An email holds passwords: confirm before it goes to somebody other than the customer."""
    from sitecrew.cli import everywhere

    if to.lower() != mail.recipient.lower() and not yes and everywhere.may_ask(ctx):
        whose = f"{mail.customer.name if mail.customer else ''} <{mail.recipient}> for {mail.domain}"
        typer.confirm(f"Send the passwords of {whose} to {to}?", abort=True, err=True)


def _amend(office: "Office", mail: "MailSeen", to: str, timeout: float, *, json: bool) -> None:
    """Have order intake store the address. With `json` this prints nothing: the one document is about the email."""
    from schemas.orders import OrderAmend
    from sitecrew.cli.client import commands

    amended = OrderAmend(order_id=mail.order_id, email=to)
    commands.carry_out(office, [amended], timeout, by="order-intake", json=json, silently=json)


@app.command(
    epilog=examples(
        "sitecrew mail preview --locale de",
        "sitecrew mail preview --install 1042",
        "sitecrew mail preview --html > email.html",
        "sitecrew mail preview --eml --site-type static > email.eml",
    )
)
def preview(
    ctx: typer.Context,
    text: Annotated[bool, typer.Option("--text", help="Subject and plain text (the default).")] = False,
    html: Annotated[bool, typer.Option("--html", help="The HTML part.")] = False,
    eml: Annotated[bool, typer.Option("--eml", help="The whole message, as sent.")] = False,
    install: Annotated[
        str | None, typer.Option(metavar="INSTALL|ORDER", help="The email for this install, passwords masked.")
    ] = None,
    site_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="For this site type.", autocompletion=filters.SITE_TYPES),
    ] = None,
    locale: Annotated[str | None, typer.Option(metavar="LOCALE", help="In this language, such as de or de_AT.")] = None,
    json: Json = False,
) -> None:
    """Render the email from your templates, for an invented customer or a real one."""
    from services.mailer.letter.rendering import letters_of
    from sitecrew.cli.client import session
    from sitecrew.cli.listings import mail_preview
    from sitecrew.cli.output import terminal

    forms = [form for form, wanted in zip(Form, (text, html, eml), strict=True) if wanted]
    if len(forms) + json > 1:
        raise typer.BadParameter("choose one of --text, --html, --eml and --json", ctx=ctx)
    if install and site_type:
        raise typer.BadParameter("--install already determines the site type; drop --site-type", ctx=ctx)
    settings = session.settings_of(ctx)
    welcome = mail_preview.of(settings, install, site_type or "wordpress", locale)
    letter = letters_of(settings.mailer).render(welcome, session.now())
    message = letter.message()
    parts = {form: message.get_body((kind,)) for form, kind in ((Form.TEXT, "plain"), (Form.HTML, "html"))}
    contents = {form: str(part.get_content()) if part else "" for form, part in parts.items()}
    if json:
        headers = {name: str(message[name]) for name in ("from", "to", "subject")}
        terminal.document({**headers, **contents})
    elif forms == [Form.EML]:
        terminal.raw(letter.content.decode().replace("\r\n", "\n"))
    elif forms == [Form.HTML]:
        terminal.raw(contents[Form.HTML])
    else:
        terminal.raw(f"Subject: {message['subject']}\n\n{contents[Form.TEXT]}")
