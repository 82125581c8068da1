"""Events as they happen, for people and for programs: what `install watch` shows."""

import math
from contextlib import suppress
from functools import partial
from typing import Any

from rich.text import Text

from foundation.broker import Broker
from foundation.broker.payloads import masked
from foundation.broker.topology import EVENTS
from schemas.envelope import Event
from schemas.installs import InstallProgress
from sitecrew.cli.client import sending
from sitecrew.cli.client.orders.progress import message_of
from sitecrew.cli.output import terminal

PATTERNS = ("order.#", "account.#", "install.#", "mail.#", "command.refused.#")
_STYLES = {"failed": "red", "rejected": "red", "refused": "red", "completed": "green", "sent": "green"}


def show(broker: Broker, *, json: bool) -> None:
    """Show events until Ctrl-C."""
    watching = broker.watch(EVENTS, *PATTERNS)
    terminal.note("watching; stop with Ctrl-C")
    with suppress(KeyboardInterrupt):
        for event in sending.incoming(watching, math.inf, away=partial(_tell_of_gap, broker, [], [0])):
            if json:
                terminal.line(masked(event.model_dump(mode="json", exclude_none=True)))
            else:
                terminal.out(_line(event))


def _tell_of_gap(broker: Broker, lost: list[str], reconnections: list[int]) -> None:
    """Warn once when the connection is lost, and once when it is back, however soon: events in between are missed."""
    gone = broker.disconnected()
    if gone and not lost:
        terminal.warn("lost the connection to the broker; reconnecting")
    elif not gone and (lost or broker.reconnections > reconnections[0]):
        terminal.warn("reconnected to the broker; events in between were missed, see `sitecrew status`")
        reconnections[0] = broker.reconnections
    lost[:] = gone


def _message(event: Event[Any]) -> str:
    if isinstance(event.data, InstallProgress):
        seconds = event.data.seconds
        return event.data.step if seconds is None else f"{event.data.step}, done in {seconds:g}s"
    return message_of(event)


def _line(event: Event[Any]) -> Text:
    family, verb = event.type.split(".")[1:3]
    data = event.data
    name = getattr(data, "install_id", None) or getattr(data, "order_id", None) or event.subject or "-"
    when = event.time.astimezone().strftime("%H:%M:%S") if event.time else "--:--:--"
    return Text.assemble(
        (when, "dim"),
        f"  {family:7} ",
        (f"{verb:9}", _STYLES.get(verb, "")),
        f"  {terminal.printable(name)}  ",
        (terminal.printable(_message(event)), "dim"),
    )
