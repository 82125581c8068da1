"""The inbox and the outbox that every service has, and what staff have set in it for site types."""

import sqlalchemy as sa
from alembic import op

from foundation.store.types import Bytewise, Utc

revision = "foundation_0001"
down_revision = None
branch_labels = ("foundation",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("consumer", Bytewise(64), nullable=False),
        sa.Column("source", Bytewise(255), nullable=False),
        sa.Column("id", Bytewise(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("received_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("consumer", "id", "source", name="pk_inbox"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"], postgresql_using="brin")
    op.create_table(
        "outbox",
        sa.Column("id", Bytewise(32), nullable=False),
        sa.Column("exchange", sa.String(64), nullable=False),
        sa.Column("routing_key", sa.String(255), nullable=False),
        sa.Column("due_at", Utc),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("type", sa.String(255), nullable=False),
        sa.Column("correlation_id", sa.String(255), nullable=False),
        sa.Column("content_type", sa.String(255), nullable=False),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("claimed_until", Utc, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_claimed_until", "outbox", ["claimed_until"])
    op.create_table(
        "site_type_overrides",
        sa.Column("site_type", sa.String(32), nullable=False),
        sa.Column("stage", sa.Boolean),
        sa.Column("welcome_email", sa.Boolean),
        sa.PrimaryKeyConstraint("site_type", name="pk_site_type_overrides"),
    )


def downgrade() -> None:
    op.drop_table("site_type_overrides")
    op.drop_table("outbox")
    op.drop_table("inbox")
