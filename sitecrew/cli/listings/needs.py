"""What needs attention: everything that is not retried automatically, grouped by cause."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from foundation.handling.parking import Parked
from schemas.values import Cause
from services.installer.installs import Install
from services.installer.states import State
from services.mailer.mails import Mail
from services.order_intake.orders import Order
from sitecrew.cli.output.words import count


@dataclass(frozen=True)
class Need:
    """Things of one kind that failed with the same cause."""

    kind: str
    """`service`, `account`, `install`, `email`, `parked message` or `unrouted message`."""
    code: str
    server: str
    """Where it happened; empty if that does not matter."""
    number: int
    remedy: str
    command: str
    """The command that retries all of them once the cause is fixed, or that lists them."""

    def told(self) -> str:
        where = f" ({self.server})" if self.server else ""
        return f"{count(self.number, self.kind)}, {self.code or 'no reason given'}{where}: {self.command}"


def needs(
    orders: Sequence[Order], installs: Sequence[Install], letters: Sequence[Mail], parked: Sequence[Parked]
) -> list[Need]:
    """Group failed orders, failed installs, failed emails, and everything parked."""
    failed = {order.order_id for order in orders}
    others = [one for one in parked if not (one.order_id in failed and one.type.startswith("order.placed"))]
    return [*_accounts(orders), *_installs(installs), *_letters(letters), *_parked(others)]


def unanswering(service: str) -> Need:
    """A service of which no replica answers."""
    remedy = "Start it, or look at its log if it runs: it does not answer, and its work is waiting."
    return Need("service", service, "", 1, remedy, f"sitecrew run {service}")


def _accounts(orders: Sequence[Order]) -> Iterator[Need]:
    for (code, server), remedy, number in _alike((order.cause, order.server) for order in orders):
        ids = [order.order_id for order in orders if order.cause and order.cause.code == code]
        which = f"--order {ids[0]}" if len(ids) == 1 else f"--code {code}"
        yield Need("account", code, server, number, remedy, f"sitecrew parked requeue {which}")


def _installs(installs: Sequence[Install]) -> Iterator[Need]:
    failed = [install for install in installs if install.state == State.FAILED]
    for (code, server), remedy, number in _alike((install.cause, install.server) for install in failed):
        ids = [install.install_id for install in failed if install.cause and install.cause.code == code]
        which = ids[0] if len(ids) == 1 else f"--cause {code} --server {server}"
        yield Need("install", code, server, number, remedy, f"sitecrew install retry {which}")


def _letters(letters: Sequence[Mail]) -> Iterator[Need]:
    for (code, _), remedy, number in _alike((letter.cause, "") for letter in letters):
        ids = [letter.install_id for letter in letters if letter.cause and letter.cause.code == code]
        which = ids[0] if len(ids) == 1 else f"--cause {code}"
        yield Need("email", code, "", number, remedy, f"sitecrew mail resend {which}")


def _parked(parked: Sequence[Parked]) -> Iterator[Need]:
    found = Counter((one.delivery.queue, one.code, one.remedy) for one in parked)
    for (queue, code, remedy), number in found.items():
        kind = "parked message" if queue == "parking" else "unrouted message"
        narrowed = (f" --code {code}" if code else "") + ("" if queue == "parking" else f" --queue {queue}")
        yield Need(kind, code, "", number, remedy, f"sitecrew parked list{narrowed}")


def _alike(failures: Iterable[tuple[Cause | None, str]]) -> Iterator[tuple[tuple[str, str], str, int]]:
    """Causes by code and server, with their remedies and how many there are."""
    numbers: Counter[tuple[str, str]] = Counter()
    remedies: dict[tuple[str, str], str] = {}
    for cause, server in failures:
        alike = (cause.code if cause else "", server)
        numbers[alike] += 1
        remedies[alike] = cause.remedy if cause else ""
    for alike, number in numbers.items():
        yield alike, remedies[alike], number
