"""What needs staff: events as it begins and ends, and the command to write an email about it."""

from typing import Annotated

from pydantic import Field

from schemas.envelope import Moment
from schemas.values import Line, Model

_Text = Annotated[str, Field(max_length=1000)]
MOST = 50
"""The most alerts that one email describes."""


class AlertRef(Model):
    """An alert. The same one may be raised again after it has recovered."""

    kind: Line
    """What is wrong: `account`, `install` or `email` (failed for good), `message` (parked, and nobody has acted),
    `timer` (a batch has not begun), or `server` (it fails again and again). New kinds may appear."""
    subject: Line
    """Which of its kind: for failures the cause's code and the server, for messages the reason's code and the queue,
    for a server its name."""
    headline: Line
    """What is wrong, in one line for people: `4 installs on web1 failed: db_down`."""
    since: Moment
    """Since when, RFC 3339."""


class AlertRaised(AlertRef):
    """Something needs staff. Nothing more is said of it until `alert.recovered`, even if it grows."""

    number: Annotated[int, Field(ge=1)]
    """How many it concerned when it was raised."""
    detail: _Text | None = None
    """What happened to the first of them, for people."""
    remedy: _Text | None = None
    """What to do about it."""
    command: Line | None = None
    """The command that shows it, or mends it once its cause is removed."""


class AlertRecovered(AlertRef):
    """Nothing is left of what an alert was raised for."""


class MailAlerts(Model):
    """Command: send staff (`alerts.to`) one email about these alerts. The api sends it to the mailer."""

    raised: Annotated[tuple[AlertRaised, ...], Field(max_length=MOST)] = ()
    """Those that began, or have grown, since the last email."""
    recovered: Annotated[tuple[AlertRecovered, ...], Field(max_length=MOST)] = ()
    """Those of which an earlier email told, and of which nothing is left."""
    more: Annotated[int, Field(ge=0)] = 0
    """How many there are besides."""
    console_url: Annotated[str, Field(max_length=2000)] | None = None
    """Where people see them, if that is configured."""
