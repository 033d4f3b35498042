"""Calendar feeds: a secret token names one; only its hash is here, and it can be revoked."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from db.oncall_tables import oncall_feeds as t
from db.tables import users


@dataclass(frozen=True, slots=True)
class Feed:
    """`user_id` None: everybody's shifts."""

    id: int
    workspace_id: int
    user_id: int | None


ADD = insert(t)
BY_HASH = select(t.c.id, t.c.workspace_id, t.c.user_id).where(
    t.c.token_hash == bindparam("token_hash"), t.c.revoked_at.is_(None)
)
REVOKE = (
    update(t)
    .where(t.c.workspace_id == bindparam("of_workspace_id"), t.c.id == bindparam("of_id"), t.c.revoked_at.is_(None))
    .values(revoked_at=bindparam("now"))
)
ALL = (
    select(t.c.id, t.c.user_id, users.c.name, t.c.created_at, t.c.revoked_at)
    .outerjoin(users, users.c.id == t.c.user_id)
    .where(t.c.workspace_id == bindparam("workspace_id"))
    .order_by(t.c.id)
)


def add(tx: Connection, workspace_id: int, user_id: int | None, token_hash: str, now: int) -> int:
    row = {"workspace_id": workspace_id, "user_id": user_id, "token_hash": token_hash, "created_at": now}
    inserted = tx.execute(ADD, row).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def by_hash(tx: Connection, token_hash: str) -> Feed | None:
    """The feed a token names; None when there is none, or it was revoked."""
    row = tx.execute(BY_HASH, {"token_hash": token_hash}).first()
    return Feed(*row) if row else None


def revoke(tx: Connection, workspace_id: int, id_: int, now: int) -> bool:
    return tx.execute(REVOKE, {"of_workspace_id": workspace_id, "of_id": id_, "now": now}).rowcount == 1


def all_(tx: Connection, workspace_id: int) -> list[dict[str, Any]]:
    return [dict(row) for row in tx.execute(ALL, {"workspace_id": workspace_id}).mappings()]
