"""How the api starts."""

from pathlib import Path
from unittest.mock import patch

import pytest

from foundation.broker.delay import Ladder
from foundation.config.queues import with_api
from foundation.config.settings import Settings
from foundation.errors import StoreUnreachable
from foundation.handling.unit_of_work import Database
from foundation.service.lanes import Parts
from foundation.store import Store
from foundation.testing.memory import MemoryBroker
from services.api.service import MIGRATIONS, ApiService, load
from tests.support.house import START


def test_its_store_may_go_away_while_it_is_made(tmp_path: Path) -> None:
    broker, store = MemoryBroker(with_api(Ladder()), lambda: START), Store(f"sqlite:///{tmp_path}/api.db")
    store.migrate([MIGRATIONS])
    parts = Parts(store, broker, Database(store, "api", lambda: START, lambda *_: None, load), lambda: START)
    with patch.object(store, "reading", side_effect=StoreUnreachable("gone again")), pytest.raises(StoreUnreachable):
        ApiService(Settings(), parts)
    ApiService(Settings(), parts)
    store.close()
