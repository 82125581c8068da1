"""What an admin may do with webhooks, by the console or the API. Everything is noted in the activity log."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from sqlalchemy import Connection

from foundation.handling.unit_of_work import new_id
from services.api.access.identity import Identity
from services.api.desk import Desk
from services.api.projection.activity import Line
from services.api.webhooks import deliveries, endpoints
from services.api.webhooks.deliveries import Delivery
from services.api.webhooks.endpoints import Endpoint


def create(desk: Desk, who: Identity, url: str, types: Iterable[str], source: str | None) -> tuple[Endpoint, str]:
    """Create a webhook; return it and its secret, which nobody can read again. Raises Refused."""
    with desk.writing() as uow:
        made = endpoints.create(uow.connection, desk.settings.api, url, types, source, who.name, uow.now)
        _note(desk, uow.connection, who, "webhook.created", made[0])
    return made


def rotate(desk: Desk, who: Identity, id: str) -> tuple[Endpoint, str]:
    """Replace a webhook's secret; return it and the new secret. Events are signed with both for a day. Raises NotFound,
    Refused."""
    with desk.writing() as uow:
        secret = endpoints.rotate(uow.connection, desk.settings.api, id, uow.now)
        endpoint = endpoints.get(uow.connection, id)
        _note(desk, uow.connection, who, "webhook.rotated", endpoint)
    return endpoint, secret


def disable(desk: Desk, who: Identity, id: str) -> Endpoint:
    """Post nothing there any more. Raises NotFound."""
    with desk.writing() as uow:
        endpoints.disable(uow.connection, id, f"disabled by {who.name}", uow.now)
        endpoint = endpoints.get(uow.connection, id)
        _note(desk, uow.connection, who, "webhook.disabled", endpoint)
    return endpoint


def enable(desk: Desk, who: Identity, id: str) -> Endpoint:
    """Post there again what happens from now on. Raises NotFound."""
    with desk.writing() as uow:
        endpoints.enable(uow.connection, id)
        endpoint = endpoints.get(uow.connection, id)
        _note(desk, uow.connection, who, "webhook.enabled", endpoint)
    return endpoint


def send_test(desk: Desk, who: Identity, id: str) -> Delivery:
    """Post a test event there. Raises NotFound, Refused."""
    with desk.writing() as uow:
        delivery = deliveries.send_test(uow.connection, id, uow.now)
        _note(desk, uow.connection, who, "webhook.tested", endpoints.get(uow.connection, id))
    return delivery


def redeliver(desk: Desk, who: Identity, id: str) -> Delivery:
    """Post a delivery again. Raises NotFound, Refused."""
    with desk.writing() as uow:
        delivery = deliveries.redeliver(uow.connection, id, uow.now)
        _note(desk, uow.connection, who, "webhook.redelivered", endpoints.get(uow.connection, delivery.endpoint_id))
    return delivery


def _note(desk: Desk, connection: Connection, who: Identity, kind: str, endpoint: Endpoint) -> None:
    key = new_id().replace("-", "")
    place = urlsplit(endpoint.url)  # whatever follows may be a secret
    detail = f"{place.scheme}://{place.netloc} ({endpoint.id})"[:400]
    desk.note(connection, Line(key, desk.now(), kind, actor_type=who.authtype, actor=who.name, detail=detail))
