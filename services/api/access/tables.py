"""Members of staff, their sessions, and API tokens. Of passwords and tokens, only hashes are kept."""

from sqlalchemy import Boolean, Column, Integer, String, Table, Text

from foundation.store import Utc
from foundation.store.types import Word, metadata
from services.api.access.identity import Role

staff = Table(
    "staff",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("role", Word(Role), nullable=False),
    Column("password", Text, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("changed_at", Utc, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(64), nullable=False, index=True),
    Column("created_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("source", String(255), nullable=False),
    Column("scopes", String(200), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("used_at", Utc),
    Column("disabled", Boolean, nullable=False),
)

failures = Table(
    "failed_logins",
    metadata,
    Column("key", String(300), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("until", Utc, nullable=False),
)
"""How often a login failed of late, by name and by address, and until when no further one is tried."""
