"""Whom an event is about, so that its body is found when they are to be forgotten; and tombstones, to find them all."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from pydantic_core import from_json

revision = "004"
down_revision = "003"
branch_labels = None
depends_on = None

SUBJECT = sa.text("subject IS NOT NULL")
DELETED = sa.text("deleted_at IS NOT NULL")
AT_ONCE = 500  # bodies in memory

events = sa.table(
    "webhook_events",
    sa.column("id", sa.BigInteger),
    sa.column("source", sa.Text),
    sa.column("body", sa.LargeBinary),
    sa.column("subject", sa.Text),
)


def upgrade() -> None:
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.add_column("webhook_events", sa.Column("subject", words, nullable=True))
    _name_subjects(op.get_bind())
    op.create_index(
        "ix_webhook_events_source_subject",
        "webhook_events",
        ["source", "subject"],
        unique=False,
        sqlite_where=SUBJECT,
        postgresql_where=SUBJECT,
    )
    op.create_index(
        "ix_identities_deleted",
        "identities",
        ["provider", "external_id"],
        unique=False,
        sqlite_where=DELETED,
        postgresql_where=DELETED,
    )


def downgrade() -> None:
    op.drop_index("ix_identities_deleted", "identities")
    op.drop_index("ix_webhook_events_source_subject", "webhook_events")
    op.drop_column("webhook_events", "subject")


def _name_subjects(tx: sa.Connection) -> None:
    """What intake writes from now on, for the events that are here already."""
    some = sa.select(events.c.id, events.c.source, events.c.body)
    change = events.update().where(events.c.id == sa.bindparam("of_id")).values(subject=sa.bindparam("who"))
    after = 0
    while rows := tx.execute(some.where(events.c.id > after).order_by(events.c.id).limit(AT_ONCE)).all():
        named = [{"of_id": row.id, "who": who} for row in rows if (who := _subject(row.source, row.body))]
        if named:
            tx.execute(change, named)
        after = rows[-1].id


def _subject(source: str, body: bytes) -> str | None:
    try:
        said: Any = from_json(body)
        if source == "clerk":
            found = said["data"].get("user_id") or said["data"].get("id")
            return found if isinstance(found, str) and found.startswith("user_") else None
        user = said["event"]["user"]
        found = user["id"] if isinstance(user, dict) else user
        return found if isinstance(found, str) and found else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
