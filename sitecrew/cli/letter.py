"""`sitecrew letter`: the welcome letter, from an invented install."""

from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from foundation.errors import NotFound
from foundation.runtime.settings import Settings
from services.mailer.letters import Letters, Welcome, sample
from sitecrew.cli import screen, session
from sitecrew.cli.help import examples, noun

app = noun()


class Form(StrEnum):
    """What of the letter is shown."""

    TEXT = "text"
    HTML = "html"
    EML = "eml"


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
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show the letter to an invented customer, from your templates."""
    forms = [form for form, wanted in zip(Form, (text, html, eml), strict=True) if wanted]
    if len(forms) + json > 1:
        raise typer.BadParameter("choose one of --text, --html, --eml and --json", ctx=ctx)
    settings = session.settings_of(ctx)
    own = settings.mailer
    letters = Letters(own.templates, own.sender, own.brand, own.support)
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


def _sample(settings: Settings, site_type: str) -> Welcome:
    """The sample, with what the settings say of this type of site."""
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
