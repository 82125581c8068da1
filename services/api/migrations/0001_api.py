"""What the events have told; what was asked; staff, sessions and tokens; webhooks."""

import sqlalchemy as sa
from alembic import op

from foundation.store.types import Bytewise, Utc

revision = "api_0001"
down_revision = None
branch_labels = ("api",)
depends_on = "foundation_0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SEARCHED = "lower(coalesce(domain, '') || ' ' || coalesce(customer_email, ''))"


def upgrade() -> None:
    op.create_table(
        "order_views",
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer),
        sa.Column("max_attempts", sa.Integer),
        sa.Column("due_at", Utc),
        sa.Column("cause", sa.Text),
        sa.Column("cause_code", sa.String(64)),
        sa.Column("reason", sa.String(200)),
        sa.Column("site_type", sa.String(32)),
        sa.Column("domain", Bytewise(253)),
        sa.Column("title", sa.String(200)),
        sa.Column("server", sa.String(200)),
        sa.Column("username", Bytewise(64)),
        sa.Column("address", sa.String(64)),
        sa.Column("control_panel_url", sa.Text),
        sa.Column("customer_name", sa.String(200)),
        sa.Column("customer_email", Bytewise(320)),
        sa.Column("placed_by", sa.String(255)),
        sa.Column("placed_at", Utc),
        sa.Column("priority", sa.String(8)),
        sa.Column("searched", Bytewise(600), sa.Computed(_SEARCHED, persisted=True)),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("order_id", name="pk_order_views"),
    )
    op.create_index("ix_order_views_customer_email", "order_views", ["customer_email"])
    op.create_index("ix_order_views_domain", "order_views", ["domain"])
    op.create_index("ix_order_views_placed_by_updated_at", "order_views", ["placed_by", "updated_at"])
    op.create_index("ix_order_views_searched", "order_views", ["searched"])
    op.create_index("ix_order_views_username", "order_views", ["username"])
    op.create_index("ix_order_views_cause_code", "order_views", ["cause_code", "updated_at"])
    op.create_index(
        "ix_order_views_state_updated_at", "order_views", ["state", "updated_at", "order_id", "site_type", "server"]
    )
    op.create_index("ix_order_views_updated_at", "order_views", ["updated_at", "order_id", "site_type", "server"])
    op.create_table(
        "install_views",
        sa.Column("install_id", Bytewise(80), nullable=False),
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer),
        sa.Column("max_attempts", sa.Integer),
        sa.Column("due_at", Utc),
        sa.Column("cause", sa.Text),
        sa.Column("cause_code", sa.String(64)),
        sa.Column("reason", sa.String(200)),
        sa.Column("site_type", sa.String(32)),
        sa.Column("url", sa.Text),
        sa.Column("title", sa.String(200)),
        sa.Column("locale", sa.String(32)),
        sa.Column("server", sa.String(200)),
        sa.Column("username", sa.String(64)),
        sa.Column("domain", sa.String(253)),
        sa.Column("waiting_for", sa.String(16)),
        sa.Column("waiting_until", Utc),
        sa.Column("worker", sa.String(200)),
        sa.Column("started_at", Utc),
        sa.Column("finished_at", Utc),
        sa.Column("seconds", sa.Float),
        sa.Column("application", sa.String(200)),
        sa.Column("application_version", sa.String(200)),
        sa.Column("login_url", sa.Text),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("install_id", name="pk_install_views"),
    )
    op.create_index("ix_install_views_order_id", "install_views", ["order_id"])
    op.create_index("ix_install_views_cause_code", "install_views", ["cause_code", "updated_at"])
    op.create_index(
        "ix_install_views_state_updated_at",
        "install_views",
        ["state", "updated_at", "install_id", "site_type", "server"],
    )
    op.create_index("ix_install_views_updated_at", "install_views", ["updated_at", "install_id", "site_type", "server"])
    op.create_table(
        "letter_views",
        sa.Column("install_id", Bytewise(80), nullable=False),
        sa.Column("order_id", Bytewise(64), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer),
        sa.Column("max_attempts", sa.Integer),
        sa.Column("due_at", Utc),
        sa.Column("cause", sa.Text),
        sa.Column("cause_code", sa.String(64)),
        sa.Column("reason", sa.String(200)),
        sa.Column("recipient", sa.String(320)),
        sa.Column("message_id", sa.String(400)),
        sa.Column("resends", sa.Integer),
        sa.Column("sent_at", Utc),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("updated_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("install_id", name="pk_letter_views"),
    )
    op.create_index("ix_letter_views_order_id", "letter_views", ["order_id"])
    op.create_index("ix_letter_views_cause_code", "letter_views", ["cause_code", "updated_at"])
    op.create_index("ix_letter_views_state_updated_at", "letter_views", ["state", "updated_at", "install_id"])
    op.create_index("ix_letter_views_updated_at", "letter_views", ["updated_at", "install_id"])
    op.create_table(
        "activity",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=True),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(64)),
        sa.Column("install_id", sa.String(80)),
        sa.Column("actor_type", sa.String(64)),
        sa.Column("actor", sa.String(255)),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("detail", sa.String(400), nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("trace_id", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="pk_activity"),
        sa.UniqueConstraint("key", name="uq_activity_key"),
    )
    op.create_index("ix_activity_actor_at", "activity", ["actor", "at", "id", "kind"])
    op.create_index("ix_activity_at_id", "activity", ["at", "id"])
    op.create_index("ix_activity_kind_at", "activity", ["kind", "at", "id", "actor"])
    op.create_index("ix_activity_order_id_at", "activity", ["order_id", "at", "id"])
    op.create_index("ix_activity_trace_id", "activity", ["trace_id"])
    op.create_table(
        "steps",
        sa.Column("id", _NUMBER, nullable=False, autoincrement=True),
        sa.Column("install_id", sa.String(80), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("step", sa.String(200), nullable=False),
        sa.Column("begun_at", Utc, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.PrimaryKeyConstraint("id", name="pk_steps"),
    )
    op.create_index("ix_steps_begun_at", "steps", ["begun_at"])
    op.create_index("ix_steps_install_id_id", "steps", ["install_id", "id"])
    op.create_table(
        "awaited",
        sa.Column("service", sa.String(64), nullable=False),
        sa.Column("since", Utc, nullable=False),
        sa.PrimaryKeyConstraint("service", name="pk_awaited"),
    )
    op.create_table(
        "numbers",
        sa.Column("of", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("of", "state", name="pk_numbers"),
    )
    op.create_table(
        "lag",
        sa.Column("queue", sa.String(200), nullable=False),
        sa.Column("behind_since", Utc),
        sa.PrimaryKeyConstraint("queue", name="pk_lag"),
    )
    op.create_table(
        "workers",
        sa.Column("instance", sa.String(200), nullable=False),
        sa.Column("service", sa.String(200), nullable=False),
        sa.Column("seen_at", Utc, nullable=False),
        sa.Column("heartbeat", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("instance", "service", name="pk_workers"),
    )
    op.create_table(
        "parked_messages",
        sa.Column("queue", sa.String(16), nullable=False),
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_at", Utc, nullable=False),
        sa.Column("parked_at", Utc, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("parked_from", sa.String(200), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("field", sa.String(200), nullable=False),
        sa.Column("sender", sa.String(255), nullable=False),
        sa.Column("type", sa.String(200), nullable=False),
        sa.Column("order_id", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("can_go_back", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("queue", "id", name="pk_parked_messages"),
    )
    op.create_index("ix_parked_messages_order_id", "parked_messages", ["order_id"])
    op.create_index("ix_parked_messages_state_parked_at", "parked_messages", ["state", "parked_at"])
    op.create_table(
        "previews",
        sa.Column("install_id", sa.String(80), nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("install_id", name="pk_previews"),
    )
    op.create_table(
        "switches",
        sa.Column("service", sa.String(200), nullable=False),
        sa.Column("site_type", sa.String(32), nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("service", "site_type", name="pk_switches"),
    )
    op.create_table(
        "asked",
        sa.Column("id", sa.String(255), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(64)),
        sa.Column("install_id", sa.String(80)),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("asked_at", Utc, nullable=False),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("answer", sa.String(64)),
        sa.Column("detail", sa.Text),
        sa.Column("cause", sa.Text),
        sa.Column("answered_at", Utc),
        sa.PrimaryKeyConstraint("id", "source", name="pk_asked"),
    )
    op.create_index("ix_asked_asked_at", "asked", ["asked_at"])
    op.create_index("ix_asked_order_id", "asked", ["order_id"])
    op.create_index("ix_asked_outcome_asked_at", "asked", ["outcome", "asked_at"])
    op.create_index("ix_asked_trace_id", "asked", ["trace_id"])
    op.create_table(
        "staff",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("changed_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_staff"),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("seen_at", Utc, nullable=False),
        sa.Column("expires_at", Utc, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
    )
    op.create_index("ix_sessions_expires_at", "sessions", ["expires_at"])
    op.create_index("ix_sessions_name", "sessions", ["name"])
    op.create_table(
        "tokens",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("scopes", sa.String(200), nullable=False),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("used_at", Utc),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_tokens"),
        sa.UniqueConstraint("name", name="uq_tokens_name"),
    )
    op.create_table(
        "failed_logins",
        sa.Column("key", sa.String(300), nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("until", Utc, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_failed_logins"),
    )
    op.create_table(
        "alerts",
        sa.Column("kind", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("told", sa.Integer, nullable=False),
        sa.Column("told_at", Utc),
        sa.Column("changed_at", Utc, nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name="pk_alerts"),
    )
    _create_webhooks()


def _create_webhooks() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("types", sa.Text, nullable=False),
        sa.Column("source", sa.String(255)),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_until", Utc),
        sa.Column("disabled_because", sa.String(200)),
        sa.Column("paused_until", Utc),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_endpoints"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("endpoint_id", sa.String(36), nullable=False),
        sa.Column("key", sa.String(32), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("order_id", sa.String(64)),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("due_at", Utc),
        sa.Column("give_up_at", Utc, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("answer", sa.Text),
        sa.Column("created_at", Utc, nullable=False),
        sa.Column("ended_at", Utc),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    op.create_index("ix_webhook_deliveries_endpoint_id_due_at", "webhook_deliveries", ["endpoint_id", "due_at"])
    op.create_index("ix_webhook_deliveries_ended_at", "webhook_deliveries", ["ended_at"])
    op.create_index("ix_webhook_deliveries_state", "webhook_deliveries", ["state"])
    op.create_index("ix_webhook_deliveries_endpoint_id_created_at", "webhook_deliveries", ["endpoint_id", "created_at"])
    op.create_index("uq_webhook_deliveries_endpoint_id_key", "webhook_deliveries", ["endpoint_id", "key"], unique=True)


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
    op.drop_table("alerts")
    op.drop_table("failed_logins")
    op.drop_table("tokens")
    op.drop_table("sessions")
    op.drop_table("staff")
    op.drop_table("asked")
    op.drop_table("switches")
    op.drop_table("parked_messages")
    op.drop_table("workers")
    op.drop_table("lag")
    op.drop_table("numbers")
    op.drop_table("awaited")
    op.drop_table("steps")
    op.drop_table("activity")
    op.drop_table("letter_views")
    op.drop_table("install_views")
    op.drop_table("order_views")
