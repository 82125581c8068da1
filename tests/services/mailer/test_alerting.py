"""Email to staff, as a mail server receives it."""

from pathlib import Path

from foundation.config.settings import Settings
from schemas.alerts import AlertRaised, AlertRecovered, MailAlerts
from services.mailer.alerting import letter_of
from services.mailer.smtp import Smtp
from sitecrew.stack.servers.mailbox import Mailbox
from tests.support.house import START

RAISED = AlertRaised(
    kind="install",
    subject="db_down on web1",
    headline="4 installs on web1 failed: db_down",
    since=START,
    number=4,
    detail="the database server does not answer",
    remedy="Start the database server.",
    command="sitecrew install retry --cause db_down --server web1",
)
OVER = AlertRecovered(kind="email", subject="smtp_tls", headline="1 email failed: smtp_tls", since=START)


def test_staff_read_what_happened_what_to_do_and_what_is_over(tmp_path: Path) -> None:
    told = MailAlerts(raised=(RAISED,), recovered=(OVER,), more=2, console_url="https://crew.example/")
    settings = Settings(
        alerts={"to": ["ann@hosting.example", "bo@hosting.example"]}, mailer={"sender": "Üs <us@hosting.example>"}
    )
    with Mailbox(tmp_path / "mail") as mailbox:
        smtp = Smtp(mailbox.host, mailbox.port, "none", timeout=60.0, helo="sitecrew.example")
        smtp.send(letter_of(told, settings, "id-1", START))
        smtp.close_idle()
        (kept,) = mailbox.wait_for(1)
    received = kept.message()
    assert received["To"] == "ann@hosting.example, bo@hosting.example"
    assert received["From"] == "Üs <us@hosting.example>"
    assert received["Subject"] == "Sitecrew: 4 installs on web1 failed: db_down, and 3 more"
    assert received["Message-ID"] == "<alerts.id-1@hosting.example>"
    assert received.get_content().splitlines() == [
        "NEEDS YOU",
        "",
        "* 4 installs on web1 failed: db_down, since 2026-01-01 12:00 UTC",
        "  What happened: the database server does not answer",
        "  What to do: Start the database server.",
        "  Command: sitecrew install retry --cause db_down --server web1",
        "",
        "RECOVERED",
        "",
        "* 1 email failed: smtp_tls, since 2026-01-01 12:00 UTC",
        "",
        "And 2 more, which the console shows.",
        "",
        "The console: https://crew.example/",
        "",
        "Sitecrew tells once of what begins or grows, and once when it is over: at",
        "most one email each 15 minutes. `sitecrew status` says how it is now.",
    ]


def test_an_email_that_only_tells_of_an_end_says_so_in_its_subject() -> None:
    settings = Settings(alerts={"to": ["ann@hosting.example"]})
    letter = letter_of(MailAlerts(recovered=(OVER,)), settings, "id-1", START)
    assert letter.message()["Subject"] == "Sitecrew: recovered: 1 email failed: smtp_tls"
