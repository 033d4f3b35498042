"""The on-call tables, on the same metadata as the others: who is on when, what was asked, what a workspace chose.

Dates are days of the workspace's own calendar; `starts_at` and `ends_at` are the instants a shift begins and ends
(ms, UTC), worked out from the workspace's hours when it was planned, so that later changes of them move no history.

`user_id` of members, shifts, overrides and time off has no foreign key: it stays when the person goes, as the number
that stands for them (never used again), because what others were entitled to depends on it. Erasure takes the rest.

`Text` here has no collation on PostgreSQL, unlike `Words`: what is ordered by (rotations, names of settings) are words
of ours, which every locale puts into the same order. Whatever else is ever ordered by takes `Words`.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    text,
)

from db.tables import Id, metadata

workspace_settings = Table(
    "workspace_settings",
    metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", JSON, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

oncall_members = Table(
    "oncall_members",
    metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, primary_key=True, autoincrement=False),
    Column("since", Date, primary_key=True),
    Column("until", Date),  # inclusive; none: still a member
    Column("pools", JSON, nullable=False),
    Index(None, "user_id"),
)

oncall_schedule = Table(
    "oncall_schedule",
    metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("date", Date, primary_key=True),
    Column("rotation", Text, primary_key=True),
    Column("user_id", Id),  # none: nobody could
    Column("email", Text),
    Column("name", Text),
    Column("starts_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("reason", JSON, nullable=False),
    CheckConstraint("ends_at > starts_at", name="hours"),
    Index(None, "user_id", "date"),
)

SLOT = ("workspace_id", "date", "rotation")

oncall_schedule_overrides = Table(
    "oncall_schedule_overrides",
    metadata,
    Column("workspace_id", Id, primary_key=True),
    Column("date", Date, primary_key=True),
    Column("rotation", Text, primary_key=True),
    Column("user_id", Id, nullable=False),
    Column("email", Text),
    Column("name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("asked_by", Id, ForeignKey("users.id", ondelete="SET NULL")),
    Column("created_at", BigInteger, nullable=False),
    ForeignKeyConstraint(
        SLOT,
        [f"oncall_schedule.{column}" for column in SLOT],
        name="fk_oncall_schedule_overrides_slot",
        ondelete="CASCADE",
    ),
    Index(None, "user_id", "date"),
    Index(None, "asked_by"),
)

time_off = Table(
    "time_off",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, nullable=False),
    Column("first_date", Date, nullable=False),
    Column("last_date", Date, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    CheckConstraint("last_date >= first_date", name="dates"),
    Index(None, "workspace_id", "last_date"),
    Index(None, "user_id"),
)

holidays = Table(
    "holidays",
    metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("date", Date, primary_key=True),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    # country: from the library; own: the workspace's; worked: a country's holiday on which this workspace works
    CheckConstraint("source IN ('country', 'own', 'worked')", name="source"),
)

REQUESTED = text("status = 'requested'")

shift_swaps = Table(
    "shift_swaps",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workspace_id", Id, nullable=False),
    Column("date", Date, nullable=False),
    Column("rotation", Text, nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("other_date", Date),
    Column("other_rotation", Text),
    Column("other_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("decided_at", BigInteger),
    CheckConstraint("status IN ('requested', 'accepted', 'declined', 'cancelled')", name="status"),
    CheckConstraint("user_id <> other_id", name="people"),
    ForeignKeyConstraint(
        SLOT, [f"oncall_schedule.{column}" for column in SLOT], name="fk_shift_swaps_slot", ondelete="CASCADE"
    ),
    ForeignKeyConstraint(
        ("workspace_id", "other_date", "other_rotation"),
        [f"oncall_schedule.{column}" for column in SLOT],
        name="fk_shift_swaps_other_slot",
        ondelete="CASCADE",
    ),
    Index("uq_shift_swaps_open", *SLOT, unique=True, sqlite_where=REQUESTED, postgresql_where=REQUESTED),
    Index(None, "user_id"),
    Index(None, "other_id"),
)

oncall_feeds = Table(
    "oncall_feeds",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE")),  # none: everybody's shifts
    Column("token_hash", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Index(None, "user_id"),
)
