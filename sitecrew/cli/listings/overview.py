"""`sitecrew status`: from the databases, the broker and the services themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy import Connection

from foundation.broker.topology import PARKING, UNROUTED
from foundation.config.settings import Settings
from foundation.errors import BrokerUnreachable
from foundation.handling import parking
from foundation.handling.parking import Parked
from schemas.services import ServiceDescribed
from services.installer import installs
from services.installer import listing as install_listing
from services.installer.states import State
from services.mailer import listing as mail_listing
from services.mailer.mails import Mail
from services.mailer.states import State as MailState
from services.order_intake import listing as order_listing
from services.order_intake.orders import Order, counts
from services.order_intake.states import OrderState
from sitecrew.cli.client import session
from sitecrew.cli.client.describing import describe
from sitecrew.cli.listings.needs import Need, needs, unanswering
from sitecrew.cli.listings.records import Records
from sitecrew.cli.listings.ticking import waiting_for
from sitecrew.cli.output import terminal, times
from sitecrew.cli.output.tables import pairs, sentence
from sitecrew.cli.run import COMMANDED, Service

_MANY = 10_000


@dataclass(frozen=True)
class OnBroker:
    """What the broker holds and who answers on it; empty if the broker is unreachable."""

    services: Mapping[str, ServiceDescribed]
    parked: Sequence[Parked]
    unreachable: BrokerUnreachable | None = None


def show(settings: Settings, timeout: float, *, json: bool) -> None:
    """Show everything. Raises BrokerUnreachable after showing the rest, StoreUnreachable if no database can be read
    either."""
    records = Records(settings)
    orders, order_counts = records.orders(_orders, ([], {}))
    found, install_counts = records.installs(_installs, ([], {}))
    letters, letter_counts = records.letters(_letters, ([], {}))
    seen = _on_broker(settings, timeout)
    if seen.unreachable:
        records.require_one()
    counts = {"orders": order_counts, "installs": install_counts, "mails": letter_counts}
    silent = [] if seen.unreachable or not timeout else [name for name in COMMANDED if name not in seen.services]
    needed = [*(unanswering(name) for name in silent), *needs(orders, found, letters, seen.parked)]
    if json:
        terminal.document(_document(counts, seen, needed))
    else:
        _tell(counts, seen, needed, session.now())
    records.tell()
    if seen.unreachable:
        raise seen.unreachable


def _orders(connection: Connection) -> tuple[Sequence[Order], Mapping[Any, int]]:
    wanted = order_listing.Wanted(states=[OrderState.FAILED])
    return order_listing.listing(connection, wanted, _MANY), counts(connection)


def _installs(connection: Connection) -> tuple[Sequence[installs.Install], Mapping[Any, int]]:
    wanted = install_listing.Wanted(states=[State.FAILED])
    return install_listing.listing(connection, wanted, _MANY), installs.counts(connection)


def _letters(connection: Connection) -> tuple[Sequence[Mail], Mapping[Any, int]]:
    failed = mail_listing.listing(connection, [MailState.FAILED], _MANY)
    return mail_listing.newest(connection, failed), mail_listing.counts(connection)


def _on_broker(settings: Settings, timeout: float) -> OnBroker:
    try:
        with session.ready_broker(settings) as broker:
            deliveries = [one for queue in (PARKING, UNROUTED) for one in broker.browse(queue, _MANY)]
            return OnBroker(describe(broker, timeout), [parking.read(delivery, broker.user) for delivery in deliveries])
    except BrokerUnreachable as error:
        return OnBroker({}, [], error)


def _document(counts: Mapping[str, Mapping[Any, int]], seen: OnBroker, needed: Sequence[Need]) -> dict[str, Any]:
    installer = seen.services.get(Service.INSTALLER)
    services = {name: seen.services.get(name) for name in COMMANDED}
    return {
        "services": {name: told.model_dump(mode="json") if told else None for name, told in services.items()},
        "next_batch_at": installer.next_tick if installer else None,
        "paused_since": installer.paused_since if installer else None,
        **{name: {str(state): number for state, number in sums.items()} for name, sums in counts.items()},
        "parked": len(seen.parked),
        "needs": [asdict(need) for need in needed],
    }


def _tell(counts: Mapping[str, Mapping[Any, int]], seen: OnBroker, needed: Sequence[Need], now: datetime) -> None:
    installer = seen.services.get(Service.INSTALLER)
    pairs(
        [
            *((str(name), _service(seen, name, now)) for name in COMMANDED),
            *((name, _sums(sums)) for name, sums in counts.items()),
            ("parked", "" if seen.unreachable else str(len(seen.parked))),
            ("next batch", waiting_for(installer, now)),
        ]
    )
    if not needed:
        terminal.note("nothing needs attention" + (", as far as can be seen" if seen.unreachable else ""))
        return
    terminal.out("\nneeds attention:", style="bold")
    for need in needed:
        sentence(f"  {need.told()}", 6)
        if need.remedy and terminal.on_terminal():
            sentence(f"    {need.remedy}", 4, style="dim")


def _service(seen: OnBroker, name: str, now: datetime) -> str:
    told = seen.services.get(name)
    if told is None:
        return "unknown: the broker is unreachable" if seen.unreachable else "does not answer"
    other = f" (this command is {version('sitecrew')})" if told.version != version("sitecrew") else ""
    return f"running since {times.both(told.started_at, now)}, {told.instance}, {told.version}{other}"


def _sums(sums: Mapping[Any, int]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sums.items() if number) or ("none" if sums else "unknown")
