"""Messages that could not be handled."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from foundation.broker.codec import Malformed
from foundation.errors import NotFound, Refused
from services.api.console.asks import Ids
from services.api.console.pages import page
from services.api.console.visitor import AtDesk, Operating, Viewing
from services.api.parked import acting
from services.api.parked.messages import ParkedMessage

router = APIRouter()

_SHOWN = 200
_EFFECTS = {
    "requeue": "put each message back into the queue that it came from. What cannot be handled comes back here.",
    "discard": "delete each message for good. Whatever it asked for does not happen.",
}

Text = Annotated[str, Form()]


@router.get("/parked")
def parked(request: Request, desk: AtDesk, visitor: Viewing, requeued: int = -1, discarded: int = -1) -> Response:
    """List what waits, the oldest first."""
    with desk.reading() as connection:
        waiting = ParkedMessage.waiting(connection, _SHOWN)
    told = {"back in their queues": requeued, "discarded": discarded}
    done = [f"{count} {name}" for name, count in told.items() if count >= 0]
    return page(request, "parked", visitor, waiting=waiting, done=", ".join(done), shown=_SHOWN)


@router.get("/parked/message")
def message(request: Request, desk: AtDesk, visitor: Viewing, queue: str = "", id: str = "") -> Response:
    """Show one message, with secrets masked; who may correct it gets its whole body to edit by a form."""
    return page(request, "parked_message", visitor, message=_known(desk, queue, id), body="", wrong="")


@router.post("/parked/edit")
def edit(request: Request, desk: AtDesk, visitor: Operating, queue: Text = "", id: Text = "") -> Response:
    """Show the whole body, to be corrected."""
    known = _known(desk, queue, id)
    body = acting.body(desk, queue, id).decode(errors="replace")
    return page(request, "parked_message", visitor, message=known, body=body, wrong="")


@router.post("/parked/correct")
def correct(
    request: Request, desk: AtDesk, visitor: Operating, queue: Text = "", id: Text = "", body: Text = ""
) -> Response:
    """Requeue a message with another body."""
    known = _known(desk, queue, id)
    try:
        acting.correct(desk, queue, id, body.replace("\r\n", "\n").encode(), visitor.who)
    except Malformed as error:
        return page(request, "parked_message", visitor, status=422, message=known, body=body, wrong=f"{error}.")
    return RedirectResponse("/parked?requeued=1", 303)


@router.post("/parked/confirm")
def confirm(request: Request, desk: AtDesk, visitor: Operating, ids: Ids, action: Text = "") -> Response:
    """Say exactly what will happen, before it does."""
    if action not in _EFFECTS or not ids:
        raise Refused("nothing was selected")
    messages = [_known(desk, *_named(name)) for name in ids]
    fits = [one for one in messages if action == "discard" or one.can_go_back]
    return page(
        request,
        "parked_confirm",
        visitor,
        action=action,
        effect=_EFFECTS[action],
        messages=fits,
        left_out=len(messages) - len(fits),
    )


@router.post("/parked/act")
def act(desk: AtDesk, visitor: Operating, ids: Ids, action: Text = "") -> Response:
    """Requeue or discard messages."""
    if action not in _EFFECTS:
        raise Refused("there is no such action")
    do = acting.requeue if action == "requeue" else acting.discard
    done = 0
    for queue in dict.fromkeys(_named(name)[0] for name in ids):
        theirs = [id for of, id in map(_named, ids) if of == queue]
        done += len(do(desk, queue, theirs, visitor.who))
    return RedirectResponse(f"/parked?{'requeued' if action == 'requeue' else 'discarded'}={done}", 303)


def _named(name: str) -> tuple[str, str]:
    queue, _, id = name.partition("|")
    return queue, id


def _known(desk: AtDesk, queue: str, id: str) -> ParkedMessage:
    with desk.reading() as connection:
        found = ParkedMessage.find(connection, queue, id)
    if found is None:
        raise NotFound("there is no such parked message")
    return found
