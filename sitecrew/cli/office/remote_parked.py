"""A queue of parked messages, over the HTTP API."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from foundation.broker import Confirmation, Delivery
from foundation.broker.codec import Malformed
from foundation.handling.parking import Parked
from schemas.catalogue import PREFIX
from sitecrew.cli.office.calls import Calls, Denied

_MOST = 10_000


@dataclass(frozen=True)
class OverApi:
    """What the API has seen being parked, and nobody has acted on."""

    calls: Calls = field(repr=False)
    queue: str
    found: Sequence[Parked]

    @classmethod
    def open(cls, calls: Calls, queue: str) -> "OverApi":
        told = calls.get("/parked", queue=queue, limit=_MOST)
        return cls(calls, queue, [_parked(one) for one in told["items"]])

    def browse(self) -> list[Parked]:
        return list(self.found)

    def requeue(self, chosen: Sequence[Parked]) -> Iterator[tuple[Parked, Confirmation]]:
        done = self._do("requeue", chosen)
        for parked in chosen:
            yield parked, Confirmation.CONFIRMED if parked.name in done else Confirmation.REFUSED

    def purge(self, chosen: Sequence[Parked]) -> list[str]:
        return self._do("discard", chosen)

    def original(self, parked: Parked) -> bytes:
        told = self.calls.post("/parked/body", {"queue": self.queue, "id": parked.name})
        return str(told["body"]).encode()

    def correct(self, parked: Parked, body: bytes) -> Confirmation:
        text = body.decode(errors="replace")
        try:
            self.calls.post("/parked/correct", {"queue": self.queue, "id": parked.name, "body": text})
        except Denied as denied:
            if denied.errors:
                malformed = Malformed(denied.code, *denied.errors[0])
                malformed.errors = tuple(denied.errors)
                raise malformed from None
            raise
        return Confirmation.CONFIRMED

    def _do(self, verb: str, chosen: Sequence[Parked]) -> list[str]:
        done: list[str] = []
        for start in range(0, len(chosen), 500):
            ids = [parked.name for parked in chosen[start : start + 500]]
            done += self.calls.post(f"/parked/{verb}", {"queue": self.queue, "ids": ids})["ids"]
        return done


def _parked(told: Mapping[str, Any]) -> Parked:
    """Return a message of which the API tells; its body has its secrets masked, and none of its headers."""
    body = told["body"].encode()
    delivery = Delivery(told["queue"], body, "", told["id"], told["type"] and PREFIX + told["type"], {}, 0, 0, 0)
    named = ("code", "reason", "remedy", "field", "order_id", "times")
    return Parked(
        delivery=delivery,
        at=datetime.fromisoformat(told["parked_at"]),
        by="",
        came_from=told["parked_from"],
        sent_by=told["sender"],
        **{name: told[name] for name in named},
    )
