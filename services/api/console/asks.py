"""Ask the services for something: say what will happen, ask, and show what became of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from sqlalchemy import Connection, select

from foundation.errors import NotFound, Refused
from foundation.handling.unit_of_work import new_id
from foundation.store.in_list import in_list
from foundation.wording import in_words
from schemas.values import Model
from services.api import asking
from services.api.access.identity import Role
from services.api.asking import Outcome, asked
from services.api.console.actions import ACTIONS, INSTALL, LETTER, ORDER, SERVER, TIMER, Action, row_of
from services.api.console.pages import page
from services.api.console.sign_in import inside
from services.api.console.visitor import AtDesk, Posting, Visitor
from services.api.desk import Desk
from services.api.projection.views import INSTALLS, LETTERS, ORDERS
from services.api.projection.workers import Replica, servers_of

router = APIRouter()

MOST = 1000
"""How many can be asked for at once."""
_PATIENCE = 1.5
"""Seconds that a click waits for the answer before the page is shown without it."""
_RECORDS: Mapping[str, Any] = {ORDER: ORDERS, INSTALL: INSTALLS, LETTER: LETTERS}
_DONE: Mapping[str, str] = {
    "install.retry": "staged",
    "install.cancel": "cancelled",
    "install.resolve": "resolved",
    "mail.resend": "on the way",
    "order.reinstall": "staged",
    "order.cancel": "cancelled",
    "order.amend": "corrected",
    "order.retry": "accepted again",
    "mail.preview": "rendered",
    "timer.run_now": "sent to an installer",
    "timer.pause": "paused",
    "timer.resume": "resumed",
    "server.pause": "paused",
    "server.resume": "resumed",
    "site_type.configure": "in force",
}
"""How the outcome of a command is called."""
_FIELDS = ("reason", "note", "recipient", "domain", "name", "email")
_BATCH = re.compile(r"[0-9a-f-]{36}")

Ids = Annotated[list[str], Form(default_factory=list, alias="id", max_length=MOST)]
Text = Annotated[str, Form()]


@router.post("/confirm")
def confirm(
    request: Request,
    desk: AtDesk,
    visitor: Posting,
    ids: Ids,
    action: Text = "",
    back: Text = "/",
) -> Response:
    """Say exactly what will happen, before it does."""
    wanted = _known(action, visitor, ids)
    return _form(request, desk, visitor, wanted, ids, back)


@router.post("/ask")
def ask(
    request: Request,
    desk: AtDesk,
    visitor: Posting,
    ids: Ids,
    action: Text = "",
    back: Text = "/",
    reason: Text = "",
    note: Text = "",
    recipient: Text = "",
    domain: Text = "",
    name: Text = "",
    email: Text = "",
) -> Response:
    """Ask for it, and go back to the page where somebody clicked, which shows the outcome."""
    wanted = _known(action, visitor, ids)
    texts = dict(zip(_FIELDS, (reason, note, recipient, domain, name, email), strict=True))
    given = {field: text.strip() for field, text in texts.items() if field in wanted.fields and text.strip()}
    wrong = {field: "is needed" for field in wanted.needed if field not in given}
    if "domain" in given:
        wrong.update(_other_domain(desk, ids[0], given.pop("domain")))
    if wanted.name == "amend" and not given:
        wrong["email"] = "is not given, and neither is a name: there is nothing to correct"
    try:
        commands = [] if wrong else [wanted.asked(id, given) for id in ids or [""]]
    except ValidationError as error:
        wrong = {str(fault["loc"][-1]): in_words(fault) for fault in error.errors()}
    if wrong:
        return _form(request, desk, visitor, wanted, ids, back, texts, wrong)
    return answered(desk, visitor, commands, inside(back))


def answered(desk: Desk, visitor: Visitor, commands: Sequence[Model], back: str) -> Response:
    """Ask for all of these, wait a moment for the answers, and go back to a page, which shows them."""
    batch = new_id()
    with desk.writing() as uow:
        for number, command in enumerate(commands):
            asking.ask(uow, command, visitor.who, id=f"{batch}.{number}")
    until = monotonic() + _PATIENCE
    while not desk.broker_is_away and (left := until - monotonic()) > 0:
        with desk.reading() as connection:
            if all(row.outcome != Outcome.OPEN for row in _asked(connection, batch)):
                break
        desk.wait_for_news(min(left, 0.5))
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}asked={batch}", 303)


@dataclass(frozen=True)
class Refusal:
    """What a service did not do, and why."""

    name: str
    detail: str
    remedy: str


@dataclass(frozen=True)
class Told:
    """What became of what was asked with one click."""

    summary: str
    tone: str
    open: bool
    refusals: Sequence[Refusal]
    url: str


def outcome(request: Request, desk: Desk) -> Told | None:
    """Return what became of what the page's address names; None if it names nothing."""
    batch = request.query_params.get("asked", "")
    if not _BATCH.fullmatch(batch):
        return None
    with desk.reading() as connection:
        rows = _asked(connection, batch)
    if not rows:
        return None
    counts = {outcome: sum(row.outcome == outcome for row in rows) for outcome in Outcome}
    refusals = [_refusal(row) for row in rows if row.outcome == Outcome.REFUSED]
    parts = [f"{counts[Outcome.DONE]} {_done(rows[0])}"] if counts[Outcome.DONE] else []
    if refusals:
        reasons = {refusal.detail for refusal in refusals}
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        parts.append(f"{len(refusals)} refused{why}")
    if counts[Outcome.OPEN]:
        why = (
            ": the broker does not answer. It is stored, and is carried out once the broker is back"
            if desk.broker_is_away
            else ""
        )
        parts.append(f"{counts[Outcome.OPEN]} not answered yet{why}")
    tone = "bad" if refusals else "" if counts[Outcome.OPEN] else "good"
    url = request.url.path + f"?{request.url.query}"
    return Told(f"{len(rows)} asked: {', '.join(parts)}", tone, bool(counts[Outcome.OPEN]), refusals[:20], url)


def _asked(connection: Connection, batch: str) -> Sequence[Any]:
    """Return the rows of what was asked with one click, in its order."""
    found = select(asked).where(asked.c.id >= f"{batch}.", asked.c.id < f"{batch}/")
    return sorted(connection.execute(found).all(), key=lambda row: int(row.id.rpartition(".")[2]))


def _done(row: Any) -> str:
    return _DONE.get(row.type.removeprefix("sitecrew.").removesuffix(".v1"), "done")


def _refusal(row: Any) -> Refusal:
    cause = row.cause
    name = row.install_id or row.order_id or "timer"
    return Refusal(name, row.detail or (cause.detail if cause else "refused"), cause.remedy if cause else "")


def _known(name: str, visitor: Visitor, ids: Sequence[str]) -> Action:
    """Return an action that the visitor may ask for. Raises NotFound, Forbidden, Refused."""
    action = ACTIONS.get(name)
    if action is None:
        raise NotFound("there is no such action")
    visitor.require(Role.OPERATOR if len(ids) > 1 else action.role, f"{action.label} for {len(ids)}")
    if action.alone and len(ids) != 1:
        raise Refused("this is done one at a time")
    if action.of != TIMER and not ids:
        raise Refused("nothing was selected")
    return action


def _form(
    request: Request,
    desk: Desk,
    visitor: Visitor,
    action: Action,
    ids: Sequence[str],
    back: str,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    rows = [] if action.of == TIMER else _rows(desk, action.of, ids)
    fits = [row for row in rows if not action.states or row[1] in action.states]
    values: dict[str, Any] = {"action": action, "rows": fits, "left_out": [row for row in rows if row not in fits]}
    status = 422 if wrong else 200
    return page(
        request,
        "confirm",
        visitor,
        status=status,
        **values,
        ids=ids if action.of == TIMER else [row[0] for row in fits],
        back=inside(back),
        given={**dict.fromkeys(_FIELDS, ""), **(given or {})},
        wrong=wrong or {},
    )


def _rows(desk: Desk, of: str, ids: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return what is known of these, in their order. Raises NotFound if nothing is."""
    if of == SERVER:
        with desk.reading() as connection:
            servers = servers_of(Replica.all(connection), desk.now())
        return [row_of(of, it) for it in servers if it.name in ids] or [(id, "closed", id) for id in ids]
    records = _RECORDS[of]
    with desk.reading() as connection:
        key = in_list(records.table.c[records.key], connection.dialect.name)
        found = records.read(connection.execute(records.select().where(key), {"wanted": sorted(set(ids))}))
    rows = {row[0]: row for row in (row_of(of, view) for view in found)}
    if not rows:
        raise NotFound(f"there is no such {of}")
    return [rows[id] for id in dict.fromkeys(ids) if id in rows]


def _other_domain(desk: Desk, order_id: str, typed: str) -> dict[str, str]:
    with desk.reading() as connection:
        order = ORDERS.get(connection, order_id)
    if order is None:
        raise NotFound(f"there is no order {order_id}")
    return {} if order.domain == typed.lower() else {"domain": f"must be {order.domain}: type it exactly"}
