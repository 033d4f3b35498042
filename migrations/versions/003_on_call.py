"""On call: who is on when, overrides, swaps, time off, holidays, feeds, and what a workspace chose."""

import sqlalchemy as sa
from alembic import op

revision = "003"
down_revision = "002"
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "holidays",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint("source IN ('country', 'own', 'worked')", name=op.f("ck_holidays_source")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_holidays_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "date", name="pk_holidays"),
    )
    op.create_table(
        "oncall_feeds",
        sa.Column("id", Id, nullable=False),
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_oncall_feeds_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_oncall_feeds_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_oncall_feeds"),
        sa.UniqueConstraint("token_hash", name="uq_oncall_feeds_token_hash"),
    )
    op.create_index("ix_oncall_feeds_user_id", "oncall_feeds", ["user_id"], unique=False)
    op.create_table(
        "oncall_members",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("user_id", Id, autoincrement=False, nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("pools", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_oncall_members_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", "since", name="pk_oncall_members"),
    )
    op.create_index("ix_oncall_members_user_id", "oncall_members", ["user_id"], unique=False)
    op.create_table(
        "oncall_schedule",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("rotation", sa.Text(), nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.JSON(), nullable=False),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_oncall_schedule_hours")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_oncall_schedule_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "date", "rotation", name="pk_oncall_schedule"),
    )
    op.create_index("ix_oncall_schedule_user_id_date", "oncall_schedule", ["user_id", "date"], unique=False)
    op.create_table(
        "time_off",
        sa.Column("id", Id, nullable=False),
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("first_date", sa.Date(), nullable=False),
        sa.Column("last_date", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("last_date >= first_date", name=op.f("ck_time_off_dates")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_time_off_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_time_off"),
    )
    op.create_index("ix_time_off_user_id", "time_off", ["user_id"], unique=False)
    op.create_index("ix_time_off_workspace_id_last_date", "time_off", ["workspace_id", "last_date"], unique=False)
    op.create_table(
        "workspace_settings",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_workspace_settings_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "key", name="pk_workspace_settings"),
    )
    op.create_table(
        "oncall_schedule_overrides",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("rotation", sa.Text(), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", Id, nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asked_by"], ["users.id"], name="fk_oncall_schedule_overrides_asked_by", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "date", "rotation"],
            ["oncall_schedule.workspace_id", "oncall_schedule.date", "oncall_schedule.rotation"],
            name="fk_oncall_schedule_overrides_slot",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("workspace_id", "date", "rotation", name="pk_oncall_schedule_overrides"),
    )
    op.create_index("ix_oncall_schedule_overrides_asked_by", "oncall_schedule_overrides", ["asked_by"], unique=False)
    op.create_index(
        "ix_oncall_schedule_overrides_user_id_date", "oncall_schedule_overrides", ["user_id", "date"], unique=False
    )
    op.create_table(
        "shift_swaps",
        sa.Column("id", Id, nullable=False),
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("date", sa.Date(), nullable=False),
        sa.Column("rotation", sa.Text(), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("other_date", sa.Date(), nullable=True),
        sa.Column("other_rotation", sa.Text(), nullable=True),
        sa.Column("other_id", Id, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "status IN ('requested', 'accepted', 'declined', 'cancelled')", name=op.f("ck_shift_swaps_status")
        ),
        sa.CheckConstraint("user_id <> other_id", name=op.f("ck_shift_swaps_people")),
        sa.ForeignKeyConstraint(["other_id"], ["users.id"], name="fk_shift_swaps_other_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_shift_swaps_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id", "date", "rotation"],
            ["oncall_schedule.workspace_id", "oncall_schedule.date", "oncall_schedule.rotation"],
            name="fk_shift_swaps_slot",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id", "other_date", "other_rotation"],
            ["oncall_schedule.workspace_id", "oncall_schedule.date", "oncall_schedule.rotation"],
            name="fk_shift_swaps_other_slot",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_shift_swaps"),
    )
    op.create_index("ix_shift_swaps_other_id", "shift_swaps", ["other_id"], unique=False)
    op.create_index("ix_shift_swaps_user_id", "shift_swaps", ["user_id"], unique=False)
    op.create_index(
        "uq_shift_swaps_open",
        "shift_swaps",
        ["workspace_id", "date", "rotation"],
        unique=True,
        sqlite_where=sa.text("status = 'requested'"),
        postgresql_where=sa.text("status = 'requested'"),
    )


def downgrade() -> None:
    op.drop_table("shift_swaps")
    op.drop_table("oncall_schedule_overrides")
    op.drop_table("workspace_settings")
    op.drop_table("time_off")
    op.drop_table("oncall_schedule")
    op.drop_table("oncall_members")
    op.drop_table("oncall_feeds")
    op.drop_table("holidays")
