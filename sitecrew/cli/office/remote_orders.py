"""Placing orders over the HTTP API, and following them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import monotonic
from urllib.parse import quote

from foundation.errors import SitecrewError
from foundation.handling.unit_of_work import new_id
from schemas import catalogue
from schemas.orders import OrderKnown, OrderPlaced, OrderRejected
from sitecrew.cli.client import session
from sitecrew.cli.client.orders import placing, progress
from sitecrew.cli.client.orders.files import Order
from sitecrew.cli.client.orders.following import Follower
from sitecrew.cli.client.orders.progress import OrderProgress
from sitecrew.cli.office import documents
from sitecrew.cli.office.calls import Calls, Denied, News
from sitecrew.cli.office.documents import Document, cause_of, moment
from sitecrew.cli.output import terminal
from sitecrew.cli.output.words import count

_KEY = re.compile(r"[!-~]{1,200}")
_REJECTED, _KNOWN = (catalogue.by_model(model).name for model in (OrderRejected, OrderKnown))


class Placing:
    """Some orders on their way."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._denied: list[tuple[str, Denied]] = []
        self._commands: dict[str, str] = {}
        """By event, what is to be asked for by which id as long as it is unanswered."""

    def send(self, orders: Sequence[Order], *, wait: bool, timeout: float, json: bool) -> None:
        """Place them, and show their ids; with `wait`, also how far they are. Raises Denied, or SitecrewError for some
        of several, after all others were placed."""
        news = self._calls.news(monotonic() + timeout) if wait else iter(())
        next(news, None)  # from now on, nothing is missed
        with terminal.working(f"placing {count(len(orders), 'order')}"):
            started = [self._place(order) for order in orders]
        taken = [each for each in started if not each.ended]
        for each in taken if not json else ():
            terminal.out(each.order_id)
        reached = self._follow(started, news, json=json) if wait else taken
        if json:
            terminal.document([each.record() for each in reached])
        if self._denied and not wait:
            self._complain(len(orders))
        placing.conclude(reached, timeout, wait=wait)

    def _complain(self, number: int) -> None:
        order_id, denied = self._denied[0]
        if number == 1:
            raise denied
        raise SitecrewError(f"{len(self._denied)} of {number} orders were not accepted; {order_id}: {denied}")

    def _place(self, order: Order) -> OrderProgress:
        event, data = order.event, order.event.data
        started = OrderProgress.of(event)
        try:
            if isinstance(data, OrderPlaced):
                key = event.id if _KEY.fullmatch(event.id) else new_id()
                self._calls.post("/orders", data.model_dump(mode="json", exclude_none=True), key=key)
                self._commands[event.id] = key
            else:
                path = f"/orders/{quote(data.order_id, safe='')}/reinstall"
                body = {"blog_name": data.blog_name} if data.blog_name else {}
                self._commands[event.id] = self._calls.post(path, body, key=event.id)["id"]
        except Denied as denied:
            if denied.status not in {404, 409, 413, 422}:
                raise
            self._denied.append((data.order_id, denied))
            return started.refused(denied.cause) if started.reinstall else started.failed("rejected", denied.cause)
        return started

    def _follow(
        self, started: Sequence[OrderProgress], news: Iterator[News | None], *, json: bool
    ) -> Sequence[OrderProgress]:
        follower = Follower([replace(each, ended=False) for each in started], json=json)
        for each in started:
            if each.ended:
                follower.move(each.event_id, each, _REJECTED)
        with placing.interruptible(follower), terminal.working(follower.summary()) as say:
            self._look(follower, follower.waiting(), "")
            for one in news if follower.waiting() else ():
                kind = catalogue.PREFIX + str(one.line["kind"]) if one else ""
                self._look(follower, follower.waiting(one.line.get("order_id") or "-" if one else ""), kind)
                if not follower.waiting():
                    break
                say(follower.summary())
        return follower.progress

    def _look(self, follower: Follower, those: Sequence[OrderProgress], kind: str) -> None:
        for each in those:
            follower.move(each.event_id, self._after(each), kind)

    def _after(self, before: OrderProgress) -> OrderProgress:
        """Return how far an order is now."""
        known = False
        if id := self._commands.get(before.event_id):
            asked = self._calls.get(f"/commands/{quote(id, safe='')}")
            if asked["outcome"] != "open":
                del self._commands[before.event_id]
            elif before.reinstall:
                return before
            cause = cause_of(asked)
            if asked["outcome"] == "refused" and cause and (before.reinstall or asked.get("answer") == _REJECTED):
                return before.refused(cause) if before.reinstall else before.failed("rejected", cause)
            known = asked.get("answer") == _KNOWN
        told = self._calls.get(f"/orders/{quote(before.order_id, safe='')}")
        if before.event_id in self._commands and told["state"] != "accepted":
            return before  # it may have been placed before
        placed_at = moment(told.get("placed_at"))
        if known and placed_at:
            newest = told["installs"][0]["install_id"] if told["installs"] else None
            return before.known(placed_at, told["state"], told.get("install_state"), newest)
        return after(before, told)


def after(before: OrderProgress, told: Document) -> OrderProgress:
    """Return the progress of an order as its document has it."""
    cause, installs = cause_of(told), told["installs"]
    if told["state"] == "cancelled" and not before.reinstall:
        return replace(before, state="cancelled", ended=True, message=told.get("reason") or "")
    if told["state"] in {"failed", "rejected"} and cause:
        return before.failed("account failed" if told["state"] == "failed" else "rejected", cause)
    if told["state"] == "accepted":
        message = _waits(told) if cause else f"{told.get('username')} on {told.get('server')}"
        return replace(before, state="accepted", cause=cause, message=message)
    if told["state"] != "created":
        return before
    if not installs:
        return replace(before, state="account created", message=f"{told.get('username')} on {told.get('server')}")
    return _of_install(before, installs[0], told.get("letter") or {})


def _of_install(before: OrderProgress, told: Document, letter: Document) -> OrderProgress:
    cause = cause_of(told)
    seen = replace(before, install_id=told["install_id"], cause=cause)
    match told["state"]:
        case "staged":
            due_at, now = moment(told.get("due_at")), moment(told.get("updated_at"))
            number, limit = told.get("attempt") or 1, told.get("max_attempts")
            due = progress.due(due_at, now or due_at, number, limit, cause) if due_at else ""
            return replace(seen, state="staged", due_at=due_at, message=due)
        case "waiting" if cause:
            return replace(seen, state="waiting", message=f"{cause.code}: {cause.detail}")
        case "installing":
            message = progress.attempt(told.get("attempt") or 1, told.get("max_attempts"))
            return replace(seen, state="installing", message=message)
        case "failed" if cause:
            return seen.failed("failed", cause, documents.next_of(told))
        case "installed":
            message = progress.answers(
                told["application"], told["application_version"], told["url"], told.get("seconds") or 0
            )
            done = replace(seen, state="installed", url=told["url"], message=message)
            return _of_letter(done, letter) if letter.get("install_id") == told["install_id"] else done
        case state:
            return replace(seen, state=state, ended=True, message=told.get("reason") or "")


def _of_letter(done: OrderProgress, letter: Document) -> OrderProgress:
    cause = cause_of(letter)
    match letter["state"]:
        case "sent":
            return replace(done, state="mailed", ended=True, message=f"to {letter.get('recipient')}")
        case "failed" if cause:
            return done.failed("mail failed", cause, documents.mail_of(letter).next)
        case "suppressed":
            return replace(done, ended=True, message=f"no email: {letter.get('reason')}")
        case "waiting" if cause:
            return replace(done, cause=cause, message=_waits(letter))
        case _:
            return done


def _waits(told: Document) -> str:
    """When something is tried again, and why."""
    due_at, now = moment(told.get("due_at")), moment(told.get("updated_at")) or session.now()
    number, limit = told.get("attempt") or 1, told.get("max_attempts")
    return progress.due_again(due_at or now, now, number, limit, cause_of(told))
