"""People: workspaces, users, what each source says of them, and what is known beyond."""

import sqlalchemy as sa
from alembic import op

revision = "001"
down_revision = None
branch_labels = None
depends_on = None

Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")  # ordered by code point, as in SQLite


def upgrade() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", Id, nullable=False),
        sa.Column("slug", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workspaces"),
        sa.UniqueConstraint("slug", name="uq_workspaces_slug"),
    )
    op.create_table(
        "users",
        sa.Column("id", Id, nullable=False),
        sa.Column("clerk_id", Words, nullable=True),
        sa.Column("email", Words, nullable=True),
        sa.Column("name", Words, nullable=False),
        sa.Column("first_name", Words, nullable=True),
        sa.Column("last_name", Words, nullable=True),
        sa.Column("slack_user_id", Words, nullable=True),
        sa.Column("notion_person_id", Words, nullable=True),
        sa.Column("role", Words, nullable=False),
        sa.Column("status", Words, nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("email = lower(email) AND email <> ''", name=op.f("ck_users_email")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_users_name")),
        sa.CheckConstraint("role IN ('admin', 'member')", name=op.f("ck_users_role")),
        sa.CheckConstraint("status IN ('active', 'inactive', 'banned', 'locked')", name=op.f("ck_users_status")),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("clerk_id", name="uq_users_clerk_id"),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sa.UniqueConstraint("notion_person_id", name="uq_users_notion_person_id"),
        sa.UniqueConstraint("slack_user_id", name="uq_users_slack_user_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "workspace_members",
        sa.Column("workspace_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("rotation", Words, nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_workspace_members_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.id"], name="fk_workspace_members_workspace_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "user_id", "rotation", name="pk_workspace_members"),
    )
    op.create_index("ix_workspace_members_user_id", "workspace_members", ["user_id"], unique=False)
    op.create_index(
        "ix_workspace_members_workspace_id_rotation", "workspace_members", ["workspace_id", "rotation"], unique=False
    )
    op.create_table(
        "identities",
        sa.Column("provider", Words, nullable=False),
        sa.Column("external_id", Words, nullable=False),
        sa.Column("user_id", Id, nullable=True),
        sa.Column("email", Words, nullable=True),
        sa.Column("email_verified", sa.Boolean(), nullable=False),
        sa.Column("version", Words, nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id", ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("provider", "external_id", name="pk_identities"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_identities_email",
        "identities",
        ["email"],
        unique=False,
        sqlite_where=sa.text("email IS NOT NULL"),
        postgresql_where=sa.text("email IS NOT NULL"),
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"], unique=False)
    op.create_table(
        "user_data",
        sa.Column("user_id", Id, nullable=False),
        sa.Column("key", Words, nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_user_data_user_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_user_data"),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO workspaces (id, slug, name, created_at) VALUES (1, 'default', 'Default workspace', 0)")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SELECT setval('workspaces_id_seq', 1)")  # an id that was named is not counted


def downgrade() -> None:
    op.drop_table("user_data")
    op.drop_table("identities")
    op.drop_table("workspace_members")
    op.drop_table("users")
    op.drop_table("workspaces")
