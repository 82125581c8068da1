"""The store: one database per service, SQLite by default, PostgreSQL by URL.

Everything that depends on the kind of database stays in this package; services use SQLAlchemy Core.
"""

from foundation.store.engine import Store
from foundation.store.types import PydanticJson, Utc

__all__ = ["PydanticJson", "Store", "Utc"]
