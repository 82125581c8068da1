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
        sa.Column("ending", sa.Text),
        sa.Column("history", sa.Text, nullable=False),
        sa.Column("staged", sa.Text, nullable=False),
        sa.Column("completed", sa.Text),
        sa.Column("mail_state", sa.String(16), nullable=False),
        sa.Column("mail_cause", sa.Text),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("staged_at", Utc, nullable=False),
        sa.Column("in_line_since", Utc, nullable=False),
        sa.Column("started_at", Utc),
        sa.Column("finished_at", Utc),
        sa.Column("replaced", sa.Integer),
        sa.Column("waiting_for", sa.String(16)),
        sa.Column("waiting_since", Utc),
        sa.Column("waiting_until", Utc),
        sa.Column("woken_at", Utc),
        sa.PrimaryKeyConstraint("install_id", name="pk_installs"),
    )
    op.create_index("ix_installs_order_id", "installs", ["order_id"])
    op.create_index("ix_installs_check_at", "installs", ["check_at"])
    for name, columns, where in (
        ("running", ["server"], "lease_owner IS NOT NULL"),
        ("waiting", ["server", "in_line_since"], "waiting_for IS NOT NULL"),
    ):
        only = {"sqlite_where": sa.text(where), "postgresql_where": sa.text(where)}
        op.create_index(f"ix_installs_{name}", "installs", columns, **only)
    op.create_table(
        "timers",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("paused_since", Utc),
        sa.Column("reason", sa.String(200)),
        sa.PrimaryKeyConstraint("name", name="pk_timers"),
    )

    op.create_table(
        "server_standings",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_order", sa.String(64)),
        sa.Column("openings", sa.Integer, nullable=False),
        sa.Column("since", Utc),
        sa.Column("until", Utc),
        sa.Column("cause", sa.Text),
        sa.Column("reason", sa.String(200)),
        sa.Column("paused_by", sa.String(200)),
        sa.PrimaryKeyConstraint("name", name="pk_server_standings"),
    )


def downgrade() -> None:
    op.drop_table("server_standings")
    op.drop_table("timers")
    op.drop_table("installs")
