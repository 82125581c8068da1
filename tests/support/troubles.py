"""What can need somebody, all of it at once."""

from foundation.broker import Message
from foundation.broker.topology import ORDERS
from schemas.values import CauseKind
from tests.support.house import House, failure


def trouble_of_every_kind(house: House) -> None:
    """One order whose account failed, two failed installs, a failed email, and a parked message, a minute apart."""
    house.server.failures.append(failure("server_root_missing", CauseKind.CONFIGURATION))
    house.order(1)
    house.settle()
    for number in (2, 3):
        house.order(number)
        house.settle()
        house.installer.failures.append(failure("disk_full", CauseKind.CONFIGURATION))
        house.tick()
        house.pass_time(60)
    house.order(4)
    house.settle()
    house.smtp.failures.append(failure("recipient_refused", CauseKind.PERMANENT))
    house.tick()
    assert house.broker.publisher().publish([Message(ORDERS, "order.placed.v1", b"{", "broken")]) == ["confirmed"]
    house.pass_time(60)
    house.settle()
