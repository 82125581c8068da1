"""Installs, and the timer."""

import sqlalchemy as sa
from alembic import op

from foundation.store.types import Bytewise, Utc

revision = "installer_0001"
down_revision = None
branch_labels = ("installer",)
depends_on = "foundation_0001"


def upgrade() -> None:
    op.create_table(
        "installs",
        sa.Column("install_id", Bytewise(80), nullable=False),
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("site_type", sa.String(32), nullable=False),
        sa.Column("domain", sa.String(253), nullable=False),
        sa.Column("server", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("attempts_before", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(128)),
        sa.Column("lease_until", Utc),
        sa.Column("due_at", Utc, nullable=False),
        sa.Column("check_at", Utc),
        sa.Column("cause", sa.Text),
        sa.Column("max_attempts", sa.Integer),
        sa.Column("reason", sa.String(200)),
        sa.Column("history", sa.Text, nullable=False),
        sa.Column("staged", sa.Text, nullable=False),
        sa.Column("completed", sa.Text),
        sa.Column("mail_state", sa.String(16), nullable=False),
        sa.Column("mail_cause", sa.Text),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("staged_at", Utc, nullable=False),
        sa.Column("started_at", Utc),
        sa.Column("finished_at", Utc),
        sa.PrimaryKeyConstraint("install_id", name="pk_installs"),
    )
    op.create_index("ix_installs_order_id", "installs", ["order_id"])
    op.create_index("ix_installs_check_at", "installs", ["check_at"])
    op.create_table(
        "timers",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("paused_since", Utc),
        sa.Column("reason", sa.String(200)),
        sa.PrimaryKeyConstraint("name", name="pk_timers"),
    )


def downgrade() -> None:
    op.drop_table("timers")
    op.drop_table("installs")
