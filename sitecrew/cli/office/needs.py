"""What needs attention: everything that is not retried automatically, grouped by cause, with the command that mends
it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from foundation.handling.parking import Parked
from schemas.values import Cause
from services.installer.installs import Install
from services.installer.states import State
from services.mailer.mails import Mail
from services.order_intake.orders import Order
from sitecrew.cli.office.seen import Need


class Failure(NamedTuple):
    """One thing that failed."""

    kind: str
    id: str
    code: str
    server: str
    remedy: str


def need(kind: str, code: str, server: str, number: int, remedy: str, first: str) -> Need:
    """Return the need of a group whose first member has the id `first`."""
    return Need(kind, code, server, number, remedy, _command(kind, code, server, first if number == 1 else ""))


def needs(
    orders: Sequence[Order], installs: Sequence[Install], letters: Sequence[Mail], parked: Sequence[Parked]
) -> list[Need]:
    """Group failed orders, failed installs, failed emails, and everything parked."""
    failures = [
        *(_failure("account", order.order_id, order.server, order.cause) for order in orders),
        *(
            _failure("install", install.install_id, install.server, install.cause)
            for install in installs
            if install.state == State.FAILED
        ),
        *(_failure("email", letter.install_id, "", letter.cause) for letter in letters),
        *(Failure(_KINDS[one.delivery.queue], one.name, one.code, "", one.remedy) for one in parked),
    ]
    return list(_grouped(failures))


def unanswering(service: str) -> Need:
    """A service of which no replica answers."""
    remedy = "Start it, or look at its log if it runs: it does not answer, and its work is waiting."
    return Need("service", service, "", 1, remedy, f"sitecrew run {service}")


_KINDS = {"parking": "parked message", "unrouted": "unrouted message"}


def _failure(kind: str, id: str, server: str, cause: Cause | None) -> Failure:
    return Failure(kind, id, cause.code if cause else "", server, cause.remedy if cause else "")


def _grouped(failures: Iterable[Failure]) -> Iterable[Need]:
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.kind, failure.code, failure.server), []).append(failure)
    for (kind, code, server), those in groups.items():
        yield need(kind, code, server, len(those), those[-1].remedy, those[0].id)


def _command(kind: str, code: str, server: str, id: str) -> str:
    match kind:
        case "account":
            return f"sitecrew order retry {id or f'--cause {code} --server {server}'}"
        case "install":
            return f"sitecrew install retry {id or f'--cause {code} --server {server}'}"
        case "email":
            return f"sitecrew mail resend {id or f'--cause {code}'}"
        case _:
            narrowed = (f" --code {code}" if code else "") + (" --queue unrouted" if kind == "unrouted message" else "")
            return f"sitecrew parked list{narrowed}"
