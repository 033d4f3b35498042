"""The schema as SQLAlchemy sees it; `migrations/` builds exactly this, and a test compares the two.

Every time is a whole number of milliseconds since the epoch, UTC.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Compared and ordered by code point everywhere, as SQLite does it: not as the locale of a server has it.
Words = Text().with_variant(Text(collation="C"), "postgresql")

# A row id that SQLite counts up by itself (only INTEGER does) and PostgreSQL keeps in 64 bits.
Id = BigInteger().with_variant(Integer, "sqlite")

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Id, primary_key=True),
    Column("slug", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("clerk_id", Words, unique=True),
    Column("email", Words, unique=True),
    Column("name", Words, nullable=False),
    Column("first_name", Words),
    Column("last_name", Words),
    Column("slack_user_id", Words, unique=True),
    Column("notion_person_id", Words, unique=True),
    Column("role", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("name <> ''", name="name"),
    CheckConstraint("email = lower(email) AND email <> ''", name="email"),
    CheckConstraint("role IN ('admin', 'member')", name="role"),
    CheckConstraint("status IN ('active', 'inactive', 'banned', 'locked')", name="status"),
    sqlite_autoincrement=True,  # a row id names a page on the other side: it is never used twice
)

workspace_members = Table(
    "workspace_members",
    metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("rotation", Words, primary_key=True),
    Index(None, "user_id"),
    Index(None, "workspace_id", "rotation"),
)

identities = Table(
    "identities",
    metadata,
    Column("provider", Words, primary_key=True),
    Column("external_id", Words, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="SET NULL")),
    Column("email", Words),
    Column("email_verified", Boolean, nullable=False),
    Column("version", Words, nullable=False),
    Column("data", JSON, nullable=False),
    Column("deleted_at", BigInteger),
    Index(None, "email", sqlite_where=text("email IS NOT NULL"), postgresql_where=text("email IS NOT NULL")),
    Index(None, "user_id"),
    sqlite_with_rowid=False,
)

user_data = Table(
    "user_data",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Words, primary_key=True),
    Column("value", JSON, nullable=False),
    sqlite_with_rowid=False,
)

WAITING = text("waiting_for IS NOT NULL")
FAILED = text("status = 'failed'")

webhook_events = Table(
    "webhook_events",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Words, nullable=False),
    Column("event_id", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("waiting_for", Words),
    Column("attempts", Integer, nullable=False),
    Column("available_at", BigInteger),
    Column("error", Words),
    UniqueConstraint("source", "event_id"),
    CheckConstraint("status IN ('applied', 'ignored', 'stale', 'waiting', 'failed')", name="status"),
    Index(None, "source", "waiting_for", sqlite_where=WAITING, postgresql_where=WAITING),
    Index("ix_webhook_events_failed", "available_at", sqlite_where=FAILED, postgresql_where=FAILED),
)

OPEN = text("status IN ('due', 'leased')")

sync_actions = Table(
    "sync_actions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("sink", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("status", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("available_at", BigInteger, nullable=False),
    Column("lease_token", Words),
    Column("payload", JSON(none_as_null=True)),
    Column("error", Words),
    Column("marked_at", BigInteger, nullable=False),
    UniqueConstraint("workspace_id", "sink", "key"),
    CheckConstraint("status IN ('due', 'leased', 'settled', 'dead')", name="status"),
    Index("ix_sync_actions_open", "sink", "available_at", sqlite_where=OPEN, postgresql_where=OPEN),
)

sync_status = Table(
    "sync_status",
    metadata,
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True),
    Column("sink", Words, primary_key=True),
    Column("key", Words, primary_key=True),
    Column("remote_id", Words),
    Column("hash", Words),
    Column("creating_since", BigInteger),
    Column("synced_at", BigInteger),
)

sync_logs = Table(
    "sync_logs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("workspace_id", Id, ForeignKey("workspaces.id", ondelete="CASCADE"), nullable=False),
    Column("sink", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("operation", Words, nullable=False),
    Column("outcome", Words, nullable=False),
    Column("error", Words),
    Index(None, "sink", "key"),
    Index(None, "at"),
)

limits = Table(
    "limits",
    metadata,
    Column("name", Words, primary_key=True),
    Column("next_slot", BigInteger, nullable=False),
    Column("blocked_until", BigInteger, nullable=False),
    Column("paused_at", BigInteger),
    Column("failures", Integer, nullable=False),
    Column("probe_at", BigInteger, nullable=False),
    Column("reason", Words),
    Column("off", Boolean, nullable=False),
)
