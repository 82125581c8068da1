"""The store: one database a service, SQLite by default and PostgreSQL by URL.

Everything that depends on the kind of database stays in this folder; services use SQLAlchemy Core.
"""

from foundation.store.engine import Store
from foundation.store.types import PydanticJson, Utc

__all__ = ["PydanticJson", "Store", "Utc"]
