"""The office of those who have an address and a token: it works over the HTTP API, without settings, databases or
broker."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import typer

from foundation.errors import NotFound, Refused
from foundation.handling.unit_of_work import new_id
from schemas.installs import InstallCancel, InstallResolve, InstallRetry, TimerPause, TimerResume
from schemas.mails import MailResend
from schemas.orders import OrderAmend, OrderCancel, OrderReinstall, OrderRetry
from schemas.servers import ServerPause, ServerResume
from schemas.services import ServerStatus, SiteTypeConfigure, SiteTypeConfigured
from schemas.values import Model
from services.api.finding.paging import Position
from services.installer.states import State
from services.mailer.states import State as MailState
from services.order_intake.states import OrderState
from sitecrew.cli.client import commands
from sitecrew.cli.client.commands import Answer, about
from sitecrew.cli.client.orders.files import Order
from sitecrew.cli.listings import activity_rows
from sitecrew.cli.listings.filters import Filters
from sitecrew.cli.office import documents
from sitecrew.cli.office.calls import Calls, Denied
from sitecrew.cli.office.documents import Document, moment
from sitecrew.cli.office.interface import ActivityQuestion, InstallQuestion, MailQuestion
from sitecrew.cli.office.needs import need, unanswering
from sitecrew.cli.office.places import Place
from sitecrew.cli.office.remote_orders import Placing
from sitecrew.cli.office.remote_parked import OverApi
from sitecrew.cli.office.seen import (
    AlertSeen,
    Counts,
    InstallSeen,
    LineSeen,
    MailSeen,
    OrderSeen,
    Overview,
    ServerSeen,
    SiteTypeSeen,
    Story,
    TimerSeen,
)
from sitecrew.cli.output import terminal
from sitecrew.cli.output.words import count
from sitecrew.cli.run import COMMANDED

_MANY = 100_000
_LOOK = 0.5
"""Seconds between looks for an answer."""
_LONGEST = 25.0
"""Seconds that one request waits for an answer."""
_WATCHED = ("order.", "account.", "install.", "mail.", "command.refused")


class Remote:
    """Works over HTTP."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    # Orders

    def orders(
        self, states: Sequence[OrderState], narrowed: Filters, limit: int, after: str
    ) -> tuple[Sequence[OrderSeen], Counts]:
        cursor = self._behind("/orders", after, "order_id") if after else ""
        found = self._calls.items("/orders", limit, **_query(narrowed), state=states, after=cursor)
        return [documents.order_of(told) for told in found], self._counts("orders")

    def story(self, order_id: str) -> Story:
        told = self._order(order_id)
        if told is None:
            raise NotFound(f"there is no order {order_id}; see `sitecrew order list`, or `sitecrew parked list`")
        lines = self.activity(ActivityQuestion(_MANY, order_id))[::-1]
        found = [documents.install_of(one, lines) for one in self._calls.items("/installs", _MANY, order_id=order_id)]
        letters = [documents.mail_of(one) for one in self._calls.items("/letters", _MANY, order_id=order_id)]
        by_age = self._with_batch(sorted(found, key=lambda install: install.generation))
        return Story(documents.order_of(told), by_age, {mail.install_id: mail for mail in letters}, lines)

    def _order(self, order_id: str) -> Document | None:
        """Return an order's document; None if there is none, or the id could be none."""
        found: Document | None = _if_there(lambda: self._calls.get(f"/orders/{_part(order_id)}"))
        return found

    def _behind(self, path: str, id: str, name: str) -> str:
        """Return the cursor behind one item of a list."""
        told = _if_there(lambda: self._calls.get(f"{path}/{_part(id)}"))
        at = moment(told.get("updated_at")) if told else None
        if told is None or at is None:
            raise NotFound(f"there is no {name.removesuffix('_id')} {id} to continue after")
        return Position(at, told[name]).cursor()

    def _counts(self, of: str) -> Counts:
        """Return how many there are in each state; nothing if the token may not see that."""
        try:
            counts: Counts = self._calls.get("/status")[of]
        except Denied as denied:
            if denied.status != 403:
                raise
            return {}
        return _all_states(of, counts)

    # Installs

    def installs(self, question: InstallQuestion) -> tuple[Sequence[InstallSeen], Counts]:
        """Those that have waited longest come first, or the newest, by their last change."""
        query = {**_query(question.narrowed), "order_id": question.order_id}
        query["sort"] = "newest" if question.newest_first else "oldest"
        cursor = self._behind("/installs", question.after, "install_id") if question.after else ""
        found = self._calls.items("/installs", question.limit, **query, state=question.states, after=cursor)
        seen = [documents.install_of(told) for told in found]
        if question.failed_letters and not question.after:
            causes = query.pop("cause")
            unmailed = self._calls.items("/installs", _MANY, **query, state="installed", letter_state="failed")
            those = map(documents.install_of, unmailed)
            seen += [one for one in those if not causes or (one.mail_cause and one.mail_cause.code in causes)]
        return self._with_batch(seen[: question.limit]), self._counts("installs")

    def _with_batch(self, seen: Sequence[InstallSeen]) -> list[InstallSeen]:
        """Return installs with the next batch as the installer has it, where that takes them."""
        if not any(install.begins_at for install in seen):
            return list(seen)
        try:
            tick = moment(self._calls.get("/timer").get("next_tick"))
        except Denied as denied:
            if denied.status != 403:
                raise
            tick = None
        return [
            replace(install, begins_at=tick) if tick and install.begins_at and install.begins_at <= tick else install
            for install in seen
        ]

    def installs_named(self, names: Sequence[str]) -> list[InstallSeen]:
        return [self._named(name) for name in names]

    def _named(self, name: str) -> InstallSeen:
        told = self._install(name) if re.fullmatch(r".+-g[0-9]+", name) else None
        order = None if told else self._order(name)
        if order and not order["installs"]:
            raise NotFound(documents.order_of(order).without_install())
        if told is None:
            newest = [order["installs"][0]["install_id"]] if order else self._of_customer(name)
            if len(newest) > 1:
                raise Refused(f"{name} matches several: {', '.join(newest)}; name one")
            told = self._install(newest[0]) if newest else None
        if told is None:
            raise NotFound(f"there is no install or order {name}; see `sitecrew install list --state all`")
        lines = self.activity(ActivityQuestion(_MANY, told["order_id"]))[::-1]
        return self._with_batch([documents.install_of(told, lines)])[0]

    def _install(self, id: str) -> Document | None:
        found: Document | None = _if_there(lambda: self._calls.get(f"/installs/{_part(id)}"))
        return found

    def _of_customer(self, name: str) -> list[str]:
        """Return the newest install of each order with this domain or email address."""
        field = "customer" if "@" in name else "domain"
        key = "customer_email" if field == "customer" else "domain"
        found = self._calls.items("/orders", _MANY, **{field: name})
        exact = [one for one in found if (one.get(key) or "").lower() == name.lower() and one.get("generation")]
        return [f"{one['order_id']}-g{one['generation']}" for one in exact]

    # Emails

    def mails(self, question: MailQuestion) -> Sequence[MailSeen]:
        query = {"order_id": question.order_id, "cause": question.causes, "since": question.since}
        states = [state for state in question.states if state != MailState.SENDING]  # told of as waiting
        found = self._calls.items("/letters", question.limit, **query, state=states, search=question.recipient)
        seen = map(documents.mail_of, found)
        return [mail for mail in seen if question.recipient.lower() in {"", mail.recipient.lower()}]

    def failed_mails(self, narrowed: Filters) -> Sequence[MailSeen]:
        query = {"cause": narrowed.causes, "since": narrowed.since, "state": MailState.FAILED}
        found = self._calls.items("/letters", _MANY, **query)
        return [documents.mail_of(told) for told in found if not told["is_outdated"]]

    def mail(self, name: str) -> MailSeen:
        is_install = re.fullmatch(r"(.+)-g[0-9]+", name)
        found = self._calls.items("/letters", _MANY, order_id=is_install[1] if is_install else name)
        of_install = [told for told in found if told["install_id"] == name]
        newest = of_install or sorted(found, key=lambda told: -told["generation"])
        if not newest or (is_install and not of_install):
            raise NotFound(f"there is no email for {name}; `sitecrew install show {name}` shows what it waits for")
        return documents.mail_of(newest[0])

    # What there is and runs

    def overview(self, timeout: float) -> Overview:
        told = self._calls.get("/status")
        replicas = sorted(told["services"], key=lambda one: str(one["started_at"]))
        alive = {one["service"]: documents.service_of(one) for one in replicas if not one["is_lost"]}
        names = [*COMMANDED, *(name for name in alive if name not in COMMANDED)]
        groups = [
            need(
                one["kind"],
                one.get("code") or "",
                one.get("server") or "",
                one["number"],
                one.get("remedy") or "",
                one["first"][0],
            )
            for one in told["needs"]
        ]
        return Overview(
            services={name: alive.get(name) for name in names},
            counts={
                "orders": _all_states("orders", told["orders"]),
                "installs": _all_states("installs", told["installs"]),
                "mails": _all_states("letters", told["letters"]),
            },
            parked=told["parked"],
            needs=[*(unanswering(name) for name in COMMANDED if name not in alive), *groups],
            alerts=[
                AlertSeen(one["state"], one["headline"], datetime.fromisoformat(one["since"]), one.get("command"))
                for one in self._calls.get("/alerts")["items"]
            ],
            next_batch_at=moment(told.get("next_batch_at")),
            paused_since=moment(told.get("paused_since")),
        )

    def timer(self, ticks: int, timeout: float) -> TimerSeen:
        told = self._calls.get("/timer", ticks=ticks)
        return TimerSeen(
            every=told["every"],
            timezone=told["timezone"],
            source=told.get("installer") or "",
            whose="the settings of the api",
            ticks=[datetime.fromisoformat(tick) for tick in told["ticks"]],
            next_tick=moment(told.get("next_tick")),
            paused_since=moment(told.get("paused_since")),
        )

    def servers(self) -> Sequence[ServerSeen]:
        plain = ("name", "driver", "address", "web_address")
        return [
            ServerSeen(
                **{name: told[name] for name in plain},
                is_default=told["default"],
                has_databases=told["databases"],
                status=ServerStatus.model_validate(told["status"]) if told.get("status") else None,
                record={name: told[name] for name in plain if name != "name"},
            )
            for told in self._calls.get("/servers")["items"]
        ]

    def site_types(self) -> Sequence[SiteTypeSeen]:
        plain = ("name", "sold", "installer", "settle_seconds", "address", "stage", "welcome_email")
        return [
            SiteTypeSeen(
                **{name: told[name] for name in plain},
                overrides=told["switched"][-1]["overrides"] if told["switched"] else (),
                record={name: told[name] for name in plain if name != "name"},
            )
            for told in self._calls.get("/site-types")["items"]
        ]

    def configure(self, wanted: SiteTypeConfigure, timeout: float) -> Sequence[SiteTypeConfigured]:
        [answer] = self.ask([wanted], timeout)
        if answer.outcome == "refused":
            raise NotFound(answer.message)
        until = monotonic() + timeout
        while True:
            types = {told["name"]: told for told in self._calls.get("/site-types")["items"]}
            switched = types.get(wanted.site_type, {"switched": ()})["switched"]
            told = [SiteTypeConfigured(site_type=wanted.site_type, **one) for one in switched]
            done = {one.service: one for one in told if _is_so(one, wanted)}
            if set(COMMANDED) <= set(done) or monotonic() >= until:
                return [done[name] for name in COMMANDED if name in done]
            sleep(_LOOK)

    # What happened

    def activity(self, question: ActivityQuestion) -> Sequence[LineSeen]:
        query = {"order_id": question.order_id, "actor": question.actor, "since": question.since}
        return [
            documents.line_of(told)
            for told in self._calls.items("/activity", question.limit, **query, kind=question.kinds)
        ]

    def follow(self, question: ActivityQuestion) -> Iterator[LineSeen]:
        for news in self._calls.news(math.inf):
            if news and (line := documents.line_of(news.line)).fits(question):
                yield line

    def watch(self, *, json: bool) -> None:
        lines = self.follow(ActivityQuestion(_MANY))
        activity_rows.follow((line for line in lines if line.kind.startswith(_WATCHED)), json=json)

    @contextmanager
    def parked(self, queue: str) -> Iterator[Place]:
        yield OverApi.open(self._calls, queue)

    # What is asked for

    def ask(self, wanted: Sequence[Any], timeout: float | None) -> list[Answer]:
        wait = min(timeout or 0, _LONGEST) if len(wanted) == 1 else 0
        asked = [(command, self._asked(command, wait)) for command in wanted]
        if timeout is None:
            return [
                told if isinstance(told, Answer) else Answer(about(command), told["id"], "published", "no answer yet")
                for command, told in asked
            ]
        until = monotonic() + timeout
        answers: list[Answer] = []
        try:
            with terminal.working("waiting for an answer") as show:
                for command, told in asked:
                    answers.append(told if isinstance(told, Answer) else self._answer(command, told, until))
                    show(f"{len(answers)} of {len(asked)} answered")
        except KeyboardInterrupt:
            terminal.note(f"{count(len(asked), 'command')} already sent; follow with `sitecrew activity --follow`")
            raise typer.Exit(130) from None
        return answers

    def _asked(self, command: Model, wait: float) -> "Document | Answer":
        """Return the document of a command; the answer, if it is refused at once."""
        path, body = _ROUTES[type(command)](command)
        id = new_id()
        try:
            told: Document = self._calls.post(path, {k: v for k, v in body.items() if v}, key=id, wait=wait)
        except Denied as denied:
            if denied.status not in {404, 409}:
                raise
            return Answer(about(command), id, "refused", commands.refusal(denied.cause), denied.cause)
        return told

    def _answer(self, command: Model, told: Document, until: float) -> Answer:
        while True:
            if answer := self._told(command, told):
                return answer
            if monotonic() >= until:
                return Answer(about(command), told["id"], "unanswered", "no answer yet")
            sleep(_LOOK)
            told = self._calls.get(f"/commands/{_part(told['id'])}")

    def _told(self, command: Model, told: Document) -> Answer | None:
        """Return the outcome of a command; None as long as there is none."""
        id, cause = told["id"], documents.cause_of(told)
        if told["outcome"] == "open":
            return None
        if told["outcome"] == "refused":
            said = commands.refusal(cause) if cause else told.get("detail") or "refused"
            return Answer(about(command), id, "refused", said, cause)
        if isinstance(command, MailResend):
            return self._sent(command, id)
        outcome, say = _DONE[type(command)]
        return Answer(about(command), id, outcome, say(self, command, told))

    def _sent(self, command: MailResend, id: str) -> Answer | None:
        """Return whether a letter was sent or failed; None as long as it waits."""
        letter = (self._install(command.install_id) or {}).get("letter") or {}
        cause = documents.cause_of(letter)
        if letter.get("state") == "sent":
            return Answer(about(command), id, "sent", f"to {letter['recipient']}")
        if letter.get("state") == "failed" and cause:
            return Answer(about(command), id, "failed", commands.failure(cause), cause)
        return None

    def run_now(self) -> str:
        told = self._calls.post("/timer/run", key=new_id())
        return str(told["id"])

    def warn_of_unknown(self, orders: Sequence[Order]) -> None:
        """Order intake knows, and the API passes on what it says."""

    def send(self, orders: Sequence[Order], *, wait: bool, timeout: float, json: bool) -> None:
        Placing(self._calls).send(orders, wait=wait, timeout=timeout, json=json)

    # What outcomes say

    def due(self, command: Any, told: Document) -> str:
        """When an install is due: the one that was asked about, or the newest of the order."""
        of_order = not hasattr(command, "install_id")
        order = self._order(command.order_id) if of_order else None
        id = order["installs"][0]["install_id"] if order else command.install_id
        due_at = moment((self._install(id) or {}).get("due_at"))
        now = moment(told.get("answered_at"))
        return commands.due(due_at, now or due_at, id if of_order else "") if due_at else id

    def order(self, command: Any) -> Document | None:
        """The order that a command is about."""
        return self._order(command.order_id)

    def customer(self, command: OrderAmend) -> str:
        told = self._order(command.order_id) or {}
        customer = documents.customer_of(told.get("customer_name"), told.get("customer_email"))
        return commands.corrected(customer) if customer else ""


_STATES: Mapping[str, Iterable[str]] = {"orders": OrderState, "installs": State, "letters": MailState}


def _given(command: ServerPause) -> Mapping[str, Any]:
    return command.model_dump(mode="json", exclude_none=True, exclude={"server"})


def _paused(_office: Remote, command: TimerPause | ServerPause, told: Document) -> str:
    since = moment(told.get("answered_at") or told["asked_at"])
    return commands.paused(since, since, command.reason) if since else ""


_ROUTES: Mapping[type[Model], Callable[[Any], tuple[str, Mapping[str, Any]]]] = {
    InstallCancel: lambda it: (f"/installs/{it.install_id}/cancel", {"reason": it.reason}),
    InstallRetry: lambda it: (f"/installs/{it.install_id}/retry", {}),
    InstallResolve: lambda it: (f"/installs/{it.install_id}/resolve", {"note": it.note}),
    MailResend: lambda it: (f"/installs/{it.install_id}/resend-letter", {"recipient": it.recipient}),
    OrderCancel: lambda it: (f"/orders/{it.order_id}/cancel", {"reason": it.reason}),
    OrderReinstall: lambda it: (f"/orders/{it.order_id}/reinstall", {"blog_name": it.blog_name}),
    OrderRetry: lambda it: (f"/orders/{it.order_id}/retry", {}),
    OrderAmend: lambda it: (f"/orders/{it.order_id}/amend", {"name": it.name, "email": it.email}),
    TimerPause: lambda it: ("/timer/pause", {"reason": it.reason}),
    TimerResume: lambda _: ("/timer/resume", {}),
    ServerPause: lambda it: (f"/servers/{it.server}/pause", _given(it)),
    ServerResume: lambda it: (f"/servers/{it.server}/resume", {}),
    SiteTypeConfigure: lambda it: (
        f"/site-types/{it.site_type}",
        {"stage": it.stage, "welcome_email": it.welcome_email},
    ),
}
"""Where each command is posted, and with what."""

_DONE: Mapping[type[Model], tuple[str, Callable[[Remote, Any, Document], str]]] = {
    InstallCancel: ("cancelled", lambda _, it, __: it.reason),
    InstallRetry: ("staged", Remote.due),
    InstallResolve: ("resolved", lambda _, it, __: it.note),
    OrderCancel: ("withdrawn", lambda _, it, __: it.reason),
    OrderReinstall: ("staged", Remote.due),
    OrderRetry: ("accepted", lambda office, it, _: commands.retried((office.order(it) or {}).get("server") or "")),
    OrderAmend: ("amended", lambda office, it, _: office.customer(it)),
    TimerPause: ("paused", _paused),
    TimerResume: ("resumed", lambda *_: commands.RESUMED),
    ServerPause: ("paused", _paused),
    ServerResume: ("resumed", lambda *_: commands.SERVER_RESUMED),
    SiteTypeConfigure: ("configured", lambda *_: ""),
}
"""What each command's outcome is called once it is done, and what there is to say about it."""


def _all_states(of: str, counts: Counts) -> Counts:
    """Return how many there are in each state, in the order in which things go through them."""
    return {str(state): counts.get(state, 0) for state in _STATES[of]}


def _is_so(told: SiteTypeConfigured, wanted: SiteTypeConfigure) -> bool:
    """Whether a service handles a site type as was asked for."""
    for name in ("stage", "welcome_email"):
        switch = getattr(wanted, name)
        if switch and (name in told.overrides) != (switch != "default"):
            return False
        if switch in {"on", "off"} and getattr(told, name) != (switch == "on"):
            return False
    return True


def _query(narrowed: Filters) -> dict[str, Any]:
    fields = narrowed.fields()
    return {"cause": fields.pop("causes"), **fields}


def _part(id: str) -> str:
    return quote(id, safe="")


def _if_there(find: Callable[[], Any]) -> Any:
    """Return what is found; None if there is no such thing, or its name could be none."""
    try:
        return find()
    except Denied as denied:
        if denied.status in {404, 422}:
            return None
        raise
