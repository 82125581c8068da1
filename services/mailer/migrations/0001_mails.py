"""Mails, the addresses they went to, and corrected customers."""

import sqlalchemy as sa
from alembic import op

from foundation.store.types import Bytewise, Utc

revision = "mailer_0001"
down_revision = None
branch_labels = ("mailer",)
depends_on = "foundation_0001"


def upgrade() -> None:
    op.create_table(
        "mails",
        sa.Column("install_id", Bytewise(80), nullable=False),
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
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
        sa.Column("resends", sa.Integer, nullable=False),
        sa.Column("copy", sa.Integer, nullable=False),
        sa.Column("reason", sa.String(200)),
        sa.Column("message_id", sa.String(400)),
        sa.Column("completed", sa.Text, nullable=False),
        sa.Column("trace", sa.Text, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("sent_at", Utc),
        sa.PrimaryKeyConstraint("install_id", name="pk_mails"),
    )
    op.create_index("ix_mails_order_id", "mails", ["order_id"])
    op.create_index("ix_mails_state", "mails", ["state"])
    op.create_index("ix_mails_check_at", "mails", ["check_at"])
    op.create_table(
        "recipients",
        sa.Column("address", Bytewise(320), nullable=False),
        sa.Column("sent", sa.Text, nullable=False),
        sa.Column("last_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_recipients"),
    )
    op.create_index("ix_recipients_last_at", "recipients", ["last_at"])
    op.create_table(
        "customers",
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("amended_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_customers"),
    )


def downgrade() -> None:
    op.drop_table("customers")
    op.drop_table("recipients")
    op.drop_table("mails")
