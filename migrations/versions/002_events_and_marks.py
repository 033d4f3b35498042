"""The inbox of events, the outbox of marks, what the other side holds, and the rate limits."""

import sqlalchemy as sa
from alembic import op

revision = "002"
down_revision = "001"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # ordered by code point, as in SQLite


def upgrade() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("id", Id, nullable=False),
        sa.Column("source", Words, nullable=False),
        sa.Column("event_id", Words, nullable=False),
        sa.Column("type", Words, nullable=False),
        sa.Column("status", Words, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("waiting_for", Words, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.BigInteger(), nullable=True),
        sa.Column("error", Words, nullable=True),
        sa.CheckConstraint(
            "status IN ('applied', 'ignored', 'stale', 'waiting', 'failed')", name=op.f("ck_webhook_events_status")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_events"),
        sa.UniqueConstraint("source", "event_id", name="uq_webhook_events_source_event_id"),
    )
    op.create_index(
        "ix_webhook_events_failed",
        "webhook_events",
        ["available_at"],
        unique=False,
        sqlite_where=sa.text("status = 'failed'"),
        postgresql_where=sa.text("status = 'failed'"),
    )
    op.create_index(
        "ix_webhook_events_source_waiting_for",
        "webhook_events",
        ["source", "waiting_for"],
        unique=False,
        sqlite_where=sa.text("waiting_for IS NOT NULL"),
        postgresql_where=sa.text("waiting_for IS NOT NULL"),
    )
    op.create_table(
        "sync_actions",
        sa.Column("id", Id, nullable=False),
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("sink", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("status", Words, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", Words, nullable=True),
        sa.Column("payload", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", Words, nullable=True),
        sa.Column("marked_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('due', 'leased', 'settled', 'dead')", name=op.f("ck_sync_actions_status")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_sync_actions_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sync_actions"),
        sa.UniqueConstraint("workspace_id", "sink", "key", name="uq_sync_actions_workspace_id_sink_key"),
    )
    op.create_index(
        "ix_sync_actions_open",
        "sync_actions",
        ["sink", "available_at"],
        unique=False,
        sqlite_where=sa.text("status IN ('due', 'leased')"),
        postgresql_where=sa.text("status IN ('due', 'leased')"),
    )
    op.create_table(
        "sync_status",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("sink", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("remote_id", Words, nullable=True),
        sa.Column("hash", Words, nullable=True),
        sa.Column("creating_since", sa.BigInteger(), nullable=True),
        sa.Column("synced_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_sync_status_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "sink", "key", name="pk_sync_status"),
    )
    op.create_table(
        "sync_logs",
        sa.Column("id", Id, nullable=False),
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("sink", Words, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("operation", Words, nullable=False),
        sa.Column("outcome", Words, nullable=False),
        sa.Column("error", Words, nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_sync_logs_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sync_logs"),
    )
    op.create_index("ix_sync_logs_at", "sync_logs", ["at"], unique=False)
    op.create_index("ix_sync_logs_sink_key", "sync_logs", ["sink", "key"], unique=False)
    op.create_table(
        "limits",
        sa.Column("name", Words, nullable=False),
        sa.Column("next_slot", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until", sa.BigInteger(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("probe_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", Words, nullable=True),
        sa.Column("off", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_limits"),
    )


def downgrade() -> None:
    op.drop_table("limits")
    op.drop_table("sync_logs")
    op.drop_table("sync_status")
    op.drop_table("sync_actions")
    op.drop_table("webhook_events")
