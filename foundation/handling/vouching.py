"""Who asked for something, as far as somebody vouches for it."""

from collections.abc import Collection
from typing import Any

from foundation.broker.sender import Sender
from schemas.envelope import Event

_UNVERIFIED = " (unverified)"


def vouched(event: Event[Any], sender: Sender, vouching: Collection[str]) -> Event[Any]:
    """Return the event as it is passed on. Whom a producer names as having asked (`authid`) counts if its broker user
    is one of `vouching`; otherwise it is the producer itself that asked or, if the broker vouches for no user, what it
    says is marked as unverified."""
    if not event.authid or not sender.is_producer or sender.user_id in vouching:
        return event
    if sender.user_id:
        return event.model_copy(update={"authtype": "service_account", "authid": f"producer/{sender.user_id}"[:255]})
    said = event.authid.removesuffix(_UNVERIFIED)[: 255 - len(_UNVERIFIED)]  # it comes again after a retry
    return event.model_copy(update={"authid": f"{said}{_UNVERIFIED}"})
