"""A database that is filled for a benchmark has in it what is asked for."""

import random
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from bench.browsing import deep
from bench.filling import Filling
from foundation.store import Store
from services.api.finding import listing
from services.api.finding.filters import ActivityFilter, SiteFilter
from services.api.projection.activity import activity
from services.api.service import MIGRATIONS

ORDERS = 600


def test_orders_are_found_by_what_is_searched_for_and_listings_have_pages_in_their_middle(tmp_path: Path) -> None:
    store, filling = (
        Store(f"sqlite:///{tmp_path}/api.db"),
        Filling(ORDERS, 10 * ORDERS, datetime(2026, 1, 1, tzinfo=UTC)),
    )
    store.migrate([MIGRATIONS])
    filling.fill(store)
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(activity)).scalar_one() == 10 * ORDERS
        order = filling.order(123)
        words = (order.order_id, order.domain, order.username, order.customer_email, filling.name(123)[3:])
        for search in words:
            found = listing.installs(connection, SiteFilter(search=str(search))).rows
            assert order.order_id in {row.order_id for row in found}, search
        chance = random.Random(2)
        assert listing.installs(connection, SiteFilter(), deep(filling, chance, "{}-g1")).rows
        assert listing.activity(connection, ActivityFilter(actor="eve"), deep(filling, chance, None)).rows
    store.close()
