"""What commands may ask of an office."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from schemas.services import SiteTypeConfigure, SiteTypeConfigured
from services.installer.states import State
from services.mailer.states import State as MailState
from services.order_intake.states import OrderState
from sitecrew.cli.client.commands import Answer
from sitecrew.cli.client.orders.files import Order
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.office.places import Place
from sitecrew.cli.office.seen import (
    Counts,
    InstallSeen,
    LineSeen,
    MailSeen,
    OrderSeen,
    Overview,
    ServerSeen,
    SiteTypeSeen,
    Story,
    TimerSeen,
)


@dataclass(frozen=True)
class InstallQuestion:
    """Which installs."""

    states: Sequence[State]
    narrowed: Filters
    failed_letters: bool = False
    """Besides those in `states`, installed ones whose letter has failed."""
    order_id: str = ""
    limit: int = 100_000
    after: str = ""

    @property
    def newest_first(self) -> bool:
        """Finished installs, which only accumulate, are listed newest first; pending ones by when they are due."""
        return bool({State.INSTALLED, State.RESOLVED, State.CANCELLED} & set(self.states))


@dataclass(frozen=True)
class MailQuestion:
    """Which emails."""

    states: Sequence[MailState]
    limit: int
    order_id: str = ""
    recipient: str = ""
    causes: Sequence[str] = ()
    since: datetime | None = None


@dataclass(frozen=True)
class ActivityQuestion:
    """Which lines of the activity log."""

    limit: int
    order_id: str = ""
    actor: str = ""
    kinds: Sequence[str] = ()
    since: datetime | None = None


class Office(Protocol):
    """Shows what there is, and has done what is asked. Direct, over databases and broker; or over HTTP.

    Raises NotFound for what does not exist, Refused for what is not possible now, and BrokerUnreachable,
    StoreUnreachable or ApiUnreachable.
    """

    def orders(
        self, states: Sequence[OrderState], narrowed: Filters, limit: int, after: str
    ) -> tuple[Sequence[OrderSeen], Counts]:
        """Return orders, the newest first, those behind the order `after`; and how many there are in each state."""

    def story(self, order_id: str) -> Story:
        """Return all that is known of an order."""

    def installs(self, question: InstallQuestion) -> tuple[Sequence[InstallSeen], Counts]:
        """Return installs, and how many there are in each state."""

    def installs_named(self, names: Sequence[str]) -> list[InstallSeen]:
        """Return the installs with these ids, or the latest of these orders, domains or email addresses. Raises
        NotFound, with the reason if an order has no install yet, and Refused if a name matches several orders."""

    def mails(self, question: MailQuestion) -> Sequence[MailSeen]:
        """Return emails, the newest first."""

    def failed_mails(self, narrowed: Filters) -> Sequence[MailSeen]:
        """Return failed emails, without those whose order has a newer one."""

    def mail(self, name: str) -> MailSeen:
        """Return the email of an install, or of an order's latest install."""

    def overview(self, timeout: float) -> Overview:
        """Return the state of everything; services may take `timeout` seconds to answer."""

    def timer(self, ticks: int, timeout: float) -> TimerSeen:
        """Return when the next batches begin."""

    def servers(self) -> Sequence[ServerSeen]:
        """Return all hosting servers."""

    def site_types(self) -> Sequence[SiteTypeSeen]:
        """Return all site types."""

    def configure(self, wanted: SiteTypeConfigure, timeout: float) -> Sequence[SiteTypeConfigured]:
        """Have a site type handled in another way; return how each service does that answers within `timeout`
        seconds."""

    def activity(self, question: ActivityQuestion) -> Sequence[LineSeen]:
        """Return lines of the activity log, the newest first."""

    def follow(self, question: ActivityQuestion) -> Iterator[LineSeen]:
        """Yield lines of the activity log as they are written."""

    def watch(self, *, json: bool) -> None:
        """Show what happens to orders, installs and emails, until Ctrl-C."""

    def parked(self, queue: str) -> AbstractContextManager[Place]:
        """Open a queue of parked messages."""

    def ask(self, wanted: Sequence[Any], timeout: float | None) -> list[Answer]:
        """Have commands carried out, and wait up to `timeout` seconds for all answers; None: do not wait."""

    def run_now(self) -> str:
        """Have a batch begun; return the command's id."""

    def warn_of_unknown(self, orders: Sequence[Order]) -> None:
        """Warn about site types and servers that seem to be unknown."""

    def send(self, orders: Sequence[Order], *, wait: bool, timeout: float, json: bool) -> None:
        """Place orders, or ask for re-installs, and show their ids; with `wait`, also how far they are, until all have
        ended."""
