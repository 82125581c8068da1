"""/v1/webhooks: where events are posted to."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field

from foundation.errors import NotFound, Refused
from services.api.access.identity import Identity, Scope
from services.api.http.answers import Document
from services.api.http.caller import AtDesk, allowed
from services.api.http.problems import Problem
from services.api.webhooks import actions, deliveries, endpoints
from services.api.webhooks.deliveries import Delivery
from services.api.webhooks.endpoints import Endpoint

router = APIRouter(tags=["webhooks"])
_ADMIN = Depends(allowed(Scope.ADMIN))
Admin = Annotated[Identity, _ADMIN]


class NewWebhook(Document):
    """Where which events are to be posted."""

    url: str = Field(max_length=2000, description="https://; public addresses only")
    types: list[Annotated[str, Field(pattern=r"^[a-z_.*]{1,64}$")]] = Field(
        ["*"], max_length=50, description="types of events, such as install.failed, install.* or *"
    )
    source: str | None = Field(
        None,
        max_length=255,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="only what concerns orders that this source placed",
    )


class Webhook(Document):
    """A receiver of events."""

    id: str
    url: str
    types: list[str]
    source: str | None
    disabled_because: str | None
    """Why nothing is posted there; null if something is."""
    paused_until: datetime | None
    """Until when the receiver asked to be left alone (Retry-After)."""
    old_secret_until: datetime | None
    """Until when events are signed with the previous secret as well."""
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Webhook":
        """Return an endpoint as it is shown."""
        return cls(
            id=endpoint.id,
            url=endpoint.url,
            types=list(endpoint.types),
            source=endpoint.source,
            disabled_because=endpoint.disabled_because,
            paused_until=endpoint.paused_until,
            old_secret_until=endpoint.old_until,
            created_at=endpoint.created_at,
            created_by=endpoint.created_by,
        )


class WebhookWithSecret(Webhook):
    """A receiver of events, with the secret that its events are signed with. It is shown this once."""

    secret: str


class WebhookDelivery(Document):
    """One event for one receiver."""

    id: str
    """Also the header `webhook-id`."""
    type: str
    order_id: str | None
    state: str
    """held (until it is known whose order it is), waiting, delivered, dead"""
    attempts: int
    due_at: datetime | None
    """When it is posted next."""
    status: int | None
    """HTTP status of the last answer."""
    answer: str | None
    """The beginning of the last answer, or why there was none."""
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> "WebhookDelivery":
        """Return a delivery as it is shown."""
        return cls(
            id=delivery.id,
            type=delivery.type,
            order_id=delivery.order_id,
            state=delivery.state,
            attempts=delivery.attempt,
            due_at=delivery.due_at,
            status=delivery.status,
            answer=delivery.answer,
            created_at=delivery.created_at,
            ended_at=delivery.ended_at,
        )


class Webhooks(Document):
    """All webhooks."""

    webhooks: list[Webhook]


class WebhookDeliveries(Document):
    """Deliveries of one webhook."""

    deliveries: list[WebhookDelivery]


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise Problem(404, "not_found", f"{error}.") from None
    except Refused as error:
        raise Problem(409, "refused", f"{error}.") from None


@router.post("/webhooks", status_code=201)
def create_webhook(new: NewWebhook, who: Admin, desk: AtDesk) -> WebhookWithSecret:
    """Have events posted to a URL. The answer has the secret that they are signed with, and nothing else ever shows
    it."""
    with _problems():
        return _with_secret(*actions.create(desk, who, new.url, new.types, new.source))


@router.get("/webhooks", dependencies=[_ADMIN])
def list_webhooks(desk: AtDesk) -> Webhooks:
    """List all webhooks, oldest first."""
    with desk.reading() as connection:
        return Webhooks(webhooks=[Webhook.of(endpoint) for endpoint in endpoints.all_of(connection)])


@router.get("/webhooks/{id}", dependencies=[_ADMIN])
def show_webhook(id: str, desk: AtDesk) -> Webhook:
    """Show one webhook."""
    with _problems(), desk.reading() as connection:
        return Webhook.of(endpoints.get(connection, id))


@router.get("/webhooks/{id}/deliveries", dependencies=[_ADMIN])
def list_webhook_deliveries(id: str, desk: AtDesk) -> WebhookDeliveries:
    """List a webhook's last deliveries, newest first."""
    with _problems(), desk.reading() as connection:
        endpoints.get(connection, id)
        found = deliveries.latest(connection, id)
    return WebhookDeliveries(deliveries=[WebhookDelivery.of(delivery) for delivery in found])


@router.post("/webhooks/{id}/rotate")
def rotate_webhook(id: str, who: Admin, desk: AtDesk) -> WebhookWithSecret:
    """Replace the secret. For a day, events are signed with the old one as well."""
    with _problems():
        return _with_secret(*actions.rotate(desk, who, id))


@router.post("/webhooks/{id}/disable")
def disable_webhook(id: str, who: Admin, desk: AtDesk) -> Webhook:
    """Post nothing there any more; what waits is given up."""
    with _problems():
        return Webhook.of(actions.disable(desk, who, id))


@router.post("/webhooks/{id}/enable")
def enable_webhook(id: str, who: Admin, desk: AtDesk) -> Webhook:
    """Post there again what happens from now on."""
    with _problems():
        return Webhook.of(actions.enable(desk, who, id))


@router.post("/webhooks/{id}/test", status_code=202)
def test_webhook(id: str, who: Admin, desk: AtDesk) -> WebhookDelivery:
    """Post a test event there: `sitecrew.webhook.test.v1`."""
    with _problems():
        return WebhookDelivery.of(actions.send_test(desk, who, id))


@router.post("/webhooks/deliveries/{id}/redeliver", status_code=202)
def redeliver(id: str, who: Admin, desk: AtDesk) -> WebhookDelivery:
    """Post an event again, with the same `webhook-id`."""
    with _problems():
        return WebhookDelivery.of(actions.redeliver(desk, who, id))


def _with_secret(endpoint: Endpoint, secret: str) -> WebhookWithSecret:
    return WebhookWithSecret(**Webhook.of(endpoint).model_dump(), secret=secret)
