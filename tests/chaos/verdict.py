"""Whether nothing was lost and nothing was done twice: the audit, and what no database knows."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from foundation.broker.topology import PARKING
from foundation.config.settings import load
from schemas.catalogue import by_model
from schemas.orders import OrderCancelled, OrderReinstallRequested
from sitecrew.audit.whole import WholeAudit
from tests.chaos.customers import order_id
from tests.chaos.faults import BY_KIND
from tests.chaos.faults.messages import HUGE
from tests.chaos.system import System, message_id
from tests.chaos.timeline import Entry, Timeline

_BEFORE, _AFTER = 5.0, 12.0
"""Seconds before and after the first of two letters, in which the trouble was for which there is a second."""
_IN_VAIN = tuple(by_model(model).name for model in (OrderCancelled, OrderReinstallRequested))
"""Rejected where there is nothing to cancel, or nothing to install."""


@dataclass
class Verdict:
    """What was found. `violations` is empty if all is well."""

    violations: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    doubled: dict[str, str] = field(default_factory=dict)
    """Letters that came twice, and the faults that explain it."""


def judge(system: System, timeline: Timeline) -> Verdict:
    """Look at everything, once it is at rest."""
    verdict = Verdict()
    verdict.violations += audited(system)
    orders = _rows(system, "order-intake", "SELECT order_id, state, username, has_site FROM orders")
    installs = _rows(system, "installer", "SELECT install_id, order_id, generation, state FROM installs")
    mails = dict(_rows(system, "mailer", "SELECT install_id, state FROM mails"))
    placed = {order_id(number) for number in range(system.options.orders)}
    verdict.violations += [f"order lost: {order}" for order in sorted(placed - {row[0] for row in orders})]
    verdict.violations += [f"order out of nowhere: {row[0]}" for row in orders if row[0] not in placed]
    verdict.violations += _on_disk(system, orders, installs)
    newest = _newest(installs)
    replaced = {row[0] for row in installs if newest.get(row[1]) != row[0]}
    verdict.violations += _letters(system, timeline, mails, replaced, verdict.doubled)
    verdict.violations += _parked(system)
    verdict.violations += timeline.surprises
    for replica in system.replicas.values():
        # One that is stopped before it listens for the signal ends by it.
        wrong = [code for code in replica.endings if code not in (0, -15)]
        verdict.violations += [f"{replica.name} ended with {code} after SIGTERM" for code in wrong]
    verdict.counts = {
        "orders": len(orders),
        "cancelled": sum(row[1] == "cancelled" for row in orders),
        "accounts": len(_accounts(system)),
        "sites": sum(bool(row[3]) for row in orders),
        "installs": len(installs),
        "installed": sum(row[3] == "installed" for row in installs),
        "letters sent": sum(state == "sent" for state in mails.values()),
        "letters received": len(system.mailbox.messages()),
        "letters doubled": len(verdict.doubled),
    }
    return verdict


def audited(system: System) -> Iterator[str]:
    """What the audit of the whole finds."""
    audit = WholeAudit(load(system.config, environment=False), system.broker, timedelta(seconds=1))
    for violation in audit.run():
        yield f"audit: {violation.code}: {violation.subject}: {violation.detail}"
    for unchecked in audit.unchecked:
        yield f"audit: could not check {unchecked.what}: {unchecked.error}"


def _rows(system: System, service: str, query: str) -> list[Any]:
    with system.store(service) as store, store.reading() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def _accounts(system: System) -> dict[str, Path]:
    """The homes on the hosting server, by username."""
    homes = (system.disks["sites"].place / "accounts").glob("*/private/account.json")
    return {path.parents[1].name: path.parents[1] for path in homes}


def _newest(installs: list[Any]) -> dict[str, str]:
    """The newest install of each order that has a site."""
    done = sorted((row for row in installs if row[3] == "installed"), key=lambda row: row[2])
    return {order: install for install, order, *_ in done}


def _on_disk(system: System, orders: list[Any], installs: list[Any]) -> Iterator[str]:
    """One account an order, which bears its name; and in it the newest site."""
    accounts = _accounts(system)
    owners = defaultdict(list)
    for username, home in accounts.items():
        owners[json.loads((home / "private" / "account.json").read_text())["marker"]].append(username)
    newest = _newest(installs)
    for order, state, username, _ in orders:
        found = owners.pop(order, [])
        if found != [username] and (found or state == "created"):
            yield f"accounts of {order} ({state}): {found} on the server, {username!r} in the row"
        site = accounts[username] / "private" / "site.json" if username in accounts else None
        there = json.loads(site.read_text())["install_id"] if site and site.exists() else None
        if there != newest.get(order):
            yield f"site of {order}: {there} on the server, {newest.get(order)} in the rows"
    yield from (f"account of nobody: {names} for {order}" for order, names in owners.items())


def _letters(
    system: System,
    timeline: Timeline,
    mails: dict[str, str],
    replaced: set[str],
    doubled: dict[str, str],
) -> Iterator[str]:
    """One letter an install; a second one where the line broke between the server's answer and the mailer's record."""
    arrived: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for letter in system.mailbox.messages():
        id = message_id(letter.path.read_bytes())
        install = id.removeprefix("<welcome.").partition("@")[0].partition(".")[0]
        arrived[install].append((letter.path.stat().st_mtime - timeline.began_at, id))
    for install, state in mails.items():
        letters = sorted(arrived.pop(install, []))
        if state == "sent" and not letters:
            yield f"letter lost: {install}"
        elif state == "failed" and install not in replaced:
            yield f"letter failed: {install}"
        elif len(letters) > (state == "sent"):
            first, last = letters[0][0], letters[-1][0]
            ids = {id for _, id in letters}
            known = {"unanswered by the mail server"} if ids & system.unanswered else set()
            why = sorted(known or {one.kind for one in timeline.entries if _may_double(one, first)})
            if state not in ("sent", "suppressed") or not why or len(ids) > 1:
                yield f"{len(letters)} letters for {install} ({state}), {first:.1f} to {last:.1f} s: {sorted(ids)}"
            doubled[install] = ", ".join(why)
    yield from (f"letter out of nowhere: {install}" for install in arrived)


def _may_double(entry: Entry, first: float) -> bool:
    others = ("order-intake", "installer", "api")
    overlaps = entry.at <= first + _AFTER and (entry.until or first) >= first - _BEFORE
    return BY_KIND[entry.kind].doubles and overlaps and not entry.target.startswith(others)


def _parked(system: System) -> Iterator[str]:
    """Only what we broke may be parked, and what was asked for in vain."""
    for delivery in system.broker.browse(PARKING, 100_000):
        in_vain = delivery.type in _IN_VAIN and "reason-code" in delivery.headers
        if delivery.body not in system.broken and len(delivery.body) < HUGE and not in_vain:
            said = delivery.body[:200].decode(errors="replace")
            yield f"parked: {delivery.type} {delivery.message_id}: {delivery.headers.get('reason')}: {said}"
