"""How far an order is, as its customer may know it: no causes, no user names, nothing of the server."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.api.finding.story import Story
from services.api.projection.views import InstallView, LetterView


class Step(StrEnum):
    """How far one of the three steps is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    TROUBLE = "trouble"
    """We are looking into it."""


_OF_ORDERS = {"accepted": Step.RUNNING, "created": Step.DONE, "failed": Step.TROUBLE}
_OF_INSTALLS = {
    "staged": Step.WAITING,
    "waiting": Step.WAITING,
    "installing": Step.RUNNING,
    "installed": Step.DONE,
    "resolved": Step.DONE,
    "failed": Step.TROUBLE,
}
_OF_LETTERS = {"waiting": Step.RUNNING, "sent": Step.DONE, "failed": Step.TROUBLE}


@dataclass(frozen=True)
class Progress:
    """What a status page shows."""

    domain: str | None = None
    site_type: str | None = None
    locale: str | None = None
    account: Step = Step.RUNNING
    site: Step = Step.WAITING
    letter: Step | None = Step.WAITING
    """None if there will be none."""
    url: str | None = None
    """Where the site answers, once it does."""
    is_cancelled: bool = False
    ended_at: datetime | None = None
    """When the last of it happened, after which nothing is to come."""

    @classmethod
    def of(cls, story: Story) -> "Progress":
        """Return what a customer may know of an order."""
        order, install = story.order, story.newest
        letter = next((one for one in story.letters if install and one.install_id == install.install_id), None)
        state = install.state if install else ""
        cancelled = "cancelled" in (order.state, state)
        site = _OF_INSTALLS.get(state, Step.WAITING)
        no_letter = state == "resolved" or (letter is not None and letter.state == "suppressed")
        return cls(
            domain=order.domain or (install.domain if install else None),
            site_type=order.site_type or (install.site_type if install else None),
            locale=install.locale if install else None,
            account=Step.DONE if install else _OF_ORDERS.get(order.state, Step.RUNNING),
            site=site,
            letter=None if no_letter else _OF_LETTERS.get(letter.state, Step.WAITING) if letter else Step.WAITING,
            url=install.url if install and site == Step.DONE else None,
            is_cancelled=cancelled,
            ended_at=_end(story, install, letter) if cancelled or no_letter or _is_sent(letter) else None,
        )

    def is_over(self, now: datetime, days: float) -> bool:
        """Whether its page has ended."""
        return self.ended_at is not None and now > self.ended_at + timedelta(days=days)


def _is_sent(letter: LetterView | None) -> bool:
    return letter is not None and letter.state == "sent"


def _end(story: Story, install: InstallView | None, letter: LetterView | None) -> datetime | None:
    """Return when the last of it happened."""
    if letter is not None and letter.sent_at:
        return letter.sent_at
    return max((one.updated_at for one in (story.order, install, letter) if one and one.updated_at), default=None)
