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
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("event_id", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("user_id", sa.String(255), nullable=False),
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
        sa.Column("priority", sa.String(8)),
        sa.Column("server", sa.String(200), nullable=False),
        sa.Column("username", Bytewise(16), nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("waits", sa.Integer, nullable=False),
        sa.Column("waiting_since", Utc),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("install_state", sa.String(16), nullable=False),
        sa.Column("cancelled_installs", sa.Text, nullable=False),
        sa.Column("has_site", sa.Boolean, nullable=False),
        sa.Column("cancel_reason", sa.String(200)),
        sa.Column("announcements", sa.Integer, nullable=False),
        sa.Column("reinstalls", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("attempts_before", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(128)),
        sa.Column("lease_until", Utc),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("check_at", Utc),
        sa.Column("cause", sa.Text),
        sa.PrimaryKeyConstraint("order_id", name="pk_orders"),
        sa.UniqueConstraint("username", "server", name="uq_orders_username_server"),
    )
    op.create_index("ix_orders_state", "orders", ["state"])
    op.create_index("ix_orders_check_at", "orders", ["check_at"])
    op.create_index("ix_orders_domain_path", "orders", ["domain_path"])
    op.create_index("ix_orders_user_id_turn_at", "orders", ["user_id", "turn_at"])
    waits = sa.text("waiting_since IS NOT NULL")
    op.create_index("ix_orders_waiting", "orders", ["server", "turn_at"], sqlite_where=waits, postgresql_where=waits)
    op.create_table(
        "server_news",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("told_at", Utc, nullable=False),
        sa.Column("until", Utc),
        sa.Column("cause", sa.Text),
        sa.PrimaryKeyConstraint("name", name="pk_server_news"),
    )


def downgrade() -> None:
    op.drop_table("server_news")
    op.drop_table("orders")
