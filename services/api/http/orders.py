"""Place orders, and see how far they are."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Request, Response
from pydantic import BeforeValidator
from starlette.concurrency import run_in_threadpool

from schemas import catalogue
from schemas.orders import OrderPlaced, OrderRejected
from schemas.values import filled_in
from services.api.access.identity import Identity
from services.api.asking import Asked, Outcome
from services.api.desk import Desk
from services.api.finding import listing
from services.api.finding.filters import LetterFilter, SiteFilter
from services.api.finding.paging import LIMIT
from services.api.finding.story import StepTaken, Story, stories
from services.api.http.answers import (
    InstallDetails,
    InstallLine,
    Installs,
    LetterLine,
    Letters,
    Order,
    OrderLine,
    Orders,
    Step,
    document,
    order_url,
    page,
)
from services.api.http.caller import AtDesk, Producer, Reader, only_of
from services.api.http.commands import Asks, OneInstall, OneOrder, unknown
from services.api.http.problems import Problem
from services.api.http.queries import After, Limit, letters, sites, with_letters
from services.api.status import links

router = APIRouter(tags=["orders"])

_EXAMPLE: Mapping[str, Any] = {
    "order_id": "order-1042",
    "site_type": "wordpress",
    "domain": "shop.example",
    "customer": {"name": "Jo Miller", "email": "jo@customer.example"},
    "blog_name": "Jo's shop",
    "locale": "de_DE",
}

_REJECTED = catalogue.by_model(OrderRejected).name
_CONFLICTS = {"order_conflict", "domain_conflict"}

NewOrder = Annotated[
    OrderPlaced,
    BeforeValidator(lambda document: filled_in(OrderPlaced, document)),
    Body(openapi_examples={"order": {"summary": "A WordPress site", "value": _EXAMPLE}}),
]


@router.post(
    "/orders",
    status_code=202,
    response_model=Order,
    responses={200: {"model": Order, "description": "Its account exists, or the same was sent before."}},
)
async def place_order(order: NewOrder, who: Producer, asks: Asks) -> Response:
    """Place an order. Once this is answered the order is durable, also while the broker is away.

    The Idempotency-Key becomes the event's id. An order id that was used with other content is refused with 409.
    """

    def place() -> tuple[Asked, bool]:
        with asks.desk.reading() as connection:
            mine = [one for one in Asked.placed(connection, order.order_id) if one.source == who.source]
        same = any(one.is_of(order) for one in mine)
        kept = any(not _is_rejected(one) and one.id != asks.key for one in mine)
        if kept and not same:
            title = f"Order {order.order_id} was placed with other content."
            raise Problem(409, "order_conflict", title, remedy="Give every order an id of its own.")
        asked, new = asks.once(order, who, as_producer=True)
        return asked, new and not same

    asked, new = await run_in_threadpool(place)
    asked = await asks.answered(asked)
    if _is_rejected(asked) and asked.cause:
        status = 409 if asked.cause.code in _CONFLICTS else 422
        raise Problem(status, asked.cause.code, asked.detail or asked.cause.detail, remedy=asked.cause.remedy)
    told = await run_in_threadpool(_order, asks.desk, order.order_id, who)
    told = told.model_copy(update={"customer_status_url": _status_url(asks, order.order_id, who.source)})
    status = 200 if asked.outcome == Outcome.DONE or not new else 202
    return document(asks.request, told, status, {"Location": order_url(order.order_id), **asks.headers})


def _status_url(asks: Asks, order_id: str, source: str) -> str | None:
    own = asks.desk.settings.api
    path = links.path(own, order_id, source)
    return f"{str(own.public_url or asks.request.base_url).rstrip('/')}{path}" if path else None


def _is_rejected(asked: Asked) -> bool:
    """Whether it never became an order; one whose account could not be created did."""
    return asked.outcome == Outcome.REFUSED and asked.answer in {None, _REJECTED}


def _order(desk: Desk, order_id: str, who: Identity) -> Order:
    """Return what is known of an order, at least that it was placed here. Raises Problem 404."""
    with desk.reading() as connection:
        if story := Story.of(connection, order_id, only_of(who)):
            return Order.whole(story)
        placed = Asked.placed(connection, order_id)
    mine = [one for one in placed if one.source == who.source] or (placed if who.sees_all else [])
    if not mine:
        raise unknown("order", order_id)
    return Order.only_asked(order_id, mine[0])


@router.get("/orders/{order_id}", response_model=Order)
def get_order(order_id: OneOrder, request: Request, desk: AtDesk, who: Reader) -> Response:
    """Say how far an order is."""
    return document(request, _order(desk, order_id, who))


@router.get("/orders", response_model=Orders)
def list_orders(
    wanted: Annotated[SiteFilter, Depends(sites)],
    request: Request,
    desk: AtDesk,
    after: After = "",
    limit: Limit = LIMIT,
) -> Response:
    """List orders by their last change, the newest first."""
    with desk.reading() as connection:
        found = listing.orders(connection, wanted, after, limit)
        known = stories(connection, [order.order_id for order in found.rows])
    return page(request, found, Orders, lambda order: OrderLine.told(order, known.get(order.order_id)))


@router.get("/installs", response_model=Installs)
def list_installs(
    wanted: Annotated[SiteFilter, Depends(with_letters)],
    request: Request,
    desk: AtDesk,
    after: After = "",
    limit: Limit = LIMIT,
) -> Response:
    """List installs by their last change, the newest first."""
    with desk.reading() as connection:
        found = listing.installs(connection, wanted, after, limit)
        known = stories(connection, {install.order_id for install in found.rows})
    return page(request, found, Installs, lambda install: InstallLine.told(install, known.get(install.order_id)))


@router.get("/letters", response_model=Letters)
def list_letters(
    wanted: Annotated[LetterFilter, Depends(letters)],
    request: Request,
    desk: AtDesk,
    after: After = "",
    limit: Limit = LIMIT,
) -> Response:
    """List welcome emails by their last change, the newest first."""
    with desk.reading() as connection:
        found = listing.letters(connection, wanted, after, limit)
        known = stories(connection, {letter.order_id for letter in found.rows})
    return page(request, found, Letters, lambda letter: LetterLine.told(letter, known.get(letter.order_id)))


@router.get("/installs/{install_id}", response_model=InstallDetails)
def get_install(install_id: OneInstall, request: Request, desk: AtDesk, who: Reader) -> Response:
    """Say how far an install is, with the steps of its attempts and its letter."""
    with desk.reading() as connection:
        story = Story.of(connection, install_id.rpartition("-g")[0], only_of(who))
        steps = StepTaken.all(connection, install_id)
    found = story.install(install_id) if story else None
    if found is None:
        raise unknown("install", install_id)
    return document(request, InstallDetails.told(found, story, steps=list(map(Step.model_validate, steps))))
