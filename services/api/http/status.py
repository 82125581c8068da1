"""GET /v1/status, /v1/timer, /v1/servers and /v1/site-types: what needs somebody, what runs, and how."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby, islice
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Connection, select

from schemas.services import ServerStatus
from services.api.access.identity import Scope
from services.api.finding import needs as finding
from services.api.http.answers import Document
from services.api.http.caller import AtDesk, allowed
from services.api.parked.messages import ParkedMessage
from services.api.projection.numbers import counts as counted
from services.api.projection.switches import switches
from services.api.projection.workers import Replica, servers_of, timer_of

router = APIRouter(tags=["status"], dependencies=[Depends(allowed(Scope.INSTALLS_WRITE))])

_PARKED = 10_000
"""Up to so many parked messages are looked at."""
_SHOWN = 5
"""How many of a group of parked messages are named with it."""
_KINDS = {"order": ("account", "order_id"), "install": ("install", "install_id"), "letter": ("email", "install_id")}
"""How people call what failed, and where its id is."""


class ServiceReplica(Document):
    """One process of a service, as its last heartbeat described it."""

    service: str
    instance: str
    version: str
    started_at: datetime
    working_on: list[str]
    """The orders or installs that it works on."""
    seen_at: datetime
    is_lost: bool
    """Whether it has been silent for so long that it counts as lost."""

    @classmethod
    def of(cls, replica: Replica, now: datetime) -> "ServiceReplica":
        said = replica.told
        return cls(
            service=said.service,
            instance=said.instance,
            version=said.version,
            started_at=said.started_at,
            working_on=list(said.working_on),
            seen_at=replica.seen_at,
            is_lost=replica.is_lost(now),
        )


class Need(Document):
    """Things that failed in the same way, and wait for somebody."""

    kind: str
    """`account`, `install`, `email`, `parked message` or `unrouted message`."""
    code: str | None = None
    """The cause's code."""
    server: str | None = None
    number: int
    since: datetime
    """When the first of them failed."""
    remedy: str | None = None
    first: list[str]
    """The ids of those that failed first, five at most. The id of an account is its order's."""


class Status(Document):
    """The state of everything."""

    services: list[ServiceReplica]
    next_batch_at: datetime | None = None
    paused_since: datetime | None = None
    orders: dict[str, int]
    installs: dict[str, int]
    letters: dict[str, int]
    parked: int
    needs: list[Need]


class Timer(Document):
    """When batches begin."""

    every: str
    """A cron expression, from the settings of the api."""
    timezone: str
    ticks: list[datetime]
    """The next ticks by this expression."""
    installer: str | None = None
    """The installer that begins the next batch; missing if none is alive."""
    next_tick: datetime | None = None
    paused_since: datetime | None = None


class Server(Document):
    """A hosting server, from the settings of the api, and how it stands."""

    name: str
    default: bool
    """Whether it gets the orders that name none."""
    driver: str
    address: str
    web_address: str
    databases: bool
    """Whether it has a database server."""
    status: ServerStatus | None = None
    """As the installer says; missing if none is alive."""


class Servers(Document):
    """All hosting servers."""

    items: list[Server]


class SiteTypeSwitches(Document):
    """How a service said that it handles installs of a site type since staff switched something."""

    service: str
    stage: bool
    welcome_email: bool
    overrides: list[str]
    """Which of them staff have set."""


class SiteType(Document):
    """A site type, from the settings of the api, and what staff have switched since."""

    name: str
    sold: bool
    installer: str
    settle_seconds: float
    address: str
    stage: bool
    welcome_email: bool
    switched: list[SiteTypeSwitches]


class SiteTypes(Document):
    """All site types."""

    items: list[SiteType]


@router.get("/status")
def get_status(desk: AtDesk) -> Status:
    """Say what needs somebody, grouped by cause, and what there is and runs."""
    now = desk.now()
    with desk.reading() as connection:
        replicas, counts = Replica.all(connection), counted(connection)
        waiting = ParkedMessage.waiting(connection, _PARKED)
        needs = [*_failed(connection), *_parked(waiting)]
    timer = timer_of(replicas, now)
    return Status(
        services=[ServiceReplica.of(replica, now) for replica in replicas],
        next_batch_at=timer.next_tick,
        paused_since=timer.paused_since,
        orders=counts["order"],
        installs=counts["install"],
        letters=counts["letter"],
        parked=len(waiting),
        needs=needs,
    )


def _failed(connection: Connection) -> Iterator[Need]:
    for need in finding.needs(connection):
        kind, id = _KINDS[need.of]
        yield Need(
            kind=kind,
            code=need.code,
            server=need.server,
            number=need.count,
            since=need.since,
            remedy=need.cause.remedy if need.cause else None,
            first=[getattr(one, id) for one in need.first],
        )


def _parked(waiting: Sequence[ParkedMessage]) -> Iterator[Need]:
    def alike(one: ParkedMessage) -> tuple[str, str]:
        return one.queue, one.code

    for (queue, code), group in groupby(sorted(waiting, key=alike), alike):
        those = list(group)
        yield Need(
            kind="parked message" if queue == "parking" else "unrouted message",
            code=code or None,
            number=len(those),
            since=those[0].parked_at,
            remedy=those[0].remedy or None,
            first=[one.id for one in those[:_SHOWN]],
        )


@router.get("/timer")
def get_timer(desk: AtDesk, ticks: Annotated[int, Query(ge=1, le=1000)] = 5) -> Timer:
    """Say when the next batches begin, and whether they do."""
    own, now = desk.settings.timer, desk.now()
    with desk.reading() as connection:
        replicas = Replica.all(connection)
    told = timer_of(replicas, now)
    ticking = (one.told.instance for one in replicas if one.told.next_tick == told.next_tick and told.next_tick)
    return Timer(
        every=own.every,
        timezone=own.timezone,
        ticks=list(islice(own.ticks(now), ticks)),
        installer=next(ticking, None),
        next_tick=told.next_tick,
        paused_since=told.paused_since,
    )


@router.get("/servers")
def list_servers(desk: AtDesk) -> Servers:
    """List the hosting servers, and how they stand as the installer says."""
    now = desk.now()
    with desk.reading() as connection:
        told = {status.name: status for status in servers_of(Replica.all(connection), now)}
    return Servers(
        items=[
            Server(
                name=name,
                default=name == desk.settings.default_server,
                driver=server.driver,
                address=server.address,
                web_address=server.web_address,
                databases=server.databases is not None,
                status=told.get(name),
            )
            for name, server in desk.settings.servers.items()
        ]
    )


@router.get("/site-types")
def list_site_types(desk: AtDesk) -> SiteTypes:
    """List the site types, and what staff have switched."""
    with desk.reading() as connection:
        told = [row.told for row in connection.execute(select(switches.c.told).order_by(switches.c.service))]
    items = []
    for name, site in desk.settings.sites.items():
        switched = [SiteTypeSwitches.model_validate(one) for one in told if one.site_type == name]
        newest = switched[-1] if switched else site
        items.append(
            SiteType(
                name=name,
                sold=site.sold,
                installer=site.installer or name,
                settle_seconds=site.settle_seconds,
                address=site.address,
                stage=newest.stage,
                welcome_email=newest.welcome_email,
                switched=switched,
            )
        )
    return SiteTypes(items=items)
