"""A mail server with its moods."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from aiosmtpd.smtp import Envelope

from sitecrew.stack.servers.mailbox import CUT, HANG, Stage
from tests.chaos.fault import Fault, Options
from tests.chaos.system import System, message_id


@contextmanager
def _answers(answer: str, system: System, target: str) -> Iterator[None]:
    stage: Stage = target.rpartition(" ")[2]  # type: ignore[assignment]

    def behave(now: Stage, envelope: Envelope) -> str | None:
        if now != stage:
            return None
        if stage == "stored":
            system.unanswered.add(message_id(envelope.original_content or b""))
        return answer

    system.mailbox.behave = behave
    yield
    system.mailbox.behave = None


def _at(*stages: Stage) -> Callable[[Options], tuple[str, ...]]:
    return lambda _options: tuple(f"SMTP at {stage}" for stage in stages)


def _fault(kind: str, answer: str, *stages: Stage, doubles: bool = False) -> Fault:
    return Fault(kind, "mail", (2, 12), _at(*stages), partial(_answers, answer), doubles=doubles)


FAULTS = (
    _fault("mail server closing", "421 4.3.2 closing", "ehlo", "mail", "rcpt"),
    _fault("mail server busy", "450 4.7.1 come back later", "mail", "rcpt", "data"),
    _fault("mail server refuses", "550 5.7.1 not wanted", "mail", "rcpt", "data"),
    _fault("mail server hangs", HANG, "ehlo", "rcpt", "data"),
    _fault("mail server cuts", CUT, "mail", "rcpt", "data"),
    _fault("mail cut after DATA", CUT, "stored", doubles=True),
    _fault("mail hangs after DATA", HANG, "stored", doubles=True),
)
