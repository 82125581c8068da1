"""Orders and their accounts."""

import sqlalchemy as sa
from alembic import op

from foundation.store.types import Bytewise, Utc

revision = "order_intake_0001"
down_revision = None
branch_labels = ("order_intake",)
depends_on = "foundation_0001"


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("producer", sa.String(255), nullable=False),
        sa.Column("turn_at", Utc, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("site_type", sa.String(32), nullable=False),
        sa.Column("domain", sa.String(253), nullable=False),
        sa.Column("domain_path", Bytewise(254), nullable=False),
        sa.Column("holds_domain", sa.Boolean, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("locale", sa.String(32)),
        sa.Column("timezone", sa.String(64)),
        sa.Column("permalinks", sa.String(200)),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("username", sa.String(16), nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("tries_before", sa.Integer, nullable=False),
        sa.Column("idle_claims", sa.Integer, nullable=False),
        sa.Column("waits", sa.Integer, nullable=False),
        sa.Column("lease_until", Utc, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("install_state", sa.String(16), nullable=False),
        sa.Column("cancelled_installs", sa.Text, nullable=False),
        sa.Column("has_site", sa.Boolean, nullable=False),
        sa.Column("cancel_reason", sa.String(200)),
        sa.Column("announcements", sa.Integer, nullable=False),
        sa.Column("announce_at", Utc),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
        sa.UniqueConstraint("server", "username", name="uq_orders_server_username"),
    )
    op.create_index("ix_orders_state", "orders", ["state"])
    op.create_index("ix_orders_announce_at", "orders", ["announce_at"])
    op.create_index("ix_orders_domain_path", "orders", ["domain_path"])
    op.create_index("ix_orders_domain", "orders", ["domain"])
    op.create_index("ix_orders_producer_turn_at", "orders", ["producer", "turn_at"])
    op.create_table(
        "reinstalls",
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("order_id", "generation", name="pk_reinstalls"),
    )


def downgrade() -> None:
    op.drop_table("reinstalls")
    op.drop_table("orders")
