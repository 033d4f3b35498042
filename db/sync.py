"""What the other side is known to hold (`sync_status`), and every attempt to change that (`sync_logs`)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql

from db.outbox import Claim
from db.tables import sync_logs as logs
from db.tables import sync_status as t


@dataclass(frozen=True, slots=True)
class Known:
    """`creating_since` set: a create may have been sent whose answer nobody saw; look before creating again."""

    remote_id: str | None = None
    hash: str | None = None
    creating_since: int | None = None


KEY = (t.c.workspace_id, t.c.sink, t.c.key)
STATE = (t.c.remote_id, t.c.hash, t.c.creating_since)
ONE = select(*STATE).where(*(column == bindparam(column.name) for column in KEY))
ALL = select(t.c.key, *STATE).where(t.c.workspace_id == bindparam("workspace_id"), t.c.sink == bindparam("sink"))
_put = postgresql.insert(t)
PUT = _put.on_conflict_do_update(
    index_elements=KEY,
    set_={name: _put.excluded[name] for name in ("remote_id", "hash", "creating_since", "synced_at")},
)
FORGET = delete(t).where(*(column == bindparam("of_" + column.name) for column in KEY))
LOG = insert(logs)
LATEST = select(logs).where(logs.c.sink == bindparam("sink"), logs.c.key == bindparam("key"))
LATEST = LATEST.order_by(logs.c.id.desc()).limit(bindparam("most"))


def known(tx: Connection, workspace_id: int, sink: str, key: str) -> Known:
    row = tx.execute(ONE, {"workspace_id": workspace_id, "sink": sink, "key": key}).first()
    return Known(*row) if row else Known()


def all_known(tx: Connection, workspace_id: int, sink: str) -> dict[str, Known]:
    rows = tx.execute(ALL, {"workspace_id": workspace_id, "sink": sink})
    return {row[0]: Known(*row[1:]) for row in rows}


def remember(tx: Connection, workspace_id: int, sink: str, key: str, state: Known, now: int) -> None:
    """Store what the other side holds; nothing at all forgets the key."""
    if state == Known():
        tx.execute(FORGET, {"of_workspace_id": workspace_id, "of_sink": sink, "of_key": key})
        return
    row = {"workspace_id": workspace_id, "sink": sink, "key": key, "synced_at": now}
    tx.execute(
        PUT,
        {**row, "remote_id": state.remote_id, "hash": state.hash, "creating_since": state.creating_since},
    )


def log(
    tx: Connection,
    claim: Claim,
    *,
    at: int,
    duration_ms: int,
    operation: str,
    outcome: str,
    error: str | None = None,
) -> None:
    tx.execute(
        LOG,
        {
            "workspace_id": claim.workspace_id,
            "sink": claim.sink,
            "key": claim.key,
            "generation": claim.generation,
            "attempt": claim.attempts + 1,
            "at": at,
            "duration_ms": duration_ms,
            "operation": operation,
            "outcome": outcome,
            "error": error,
        },
    )


def attempts_of(tx: Connection, sink: str, key: str, most: int = 20) -> list[dict[str, Any]]:
    """The latest attempts for one key, newest first."""
    return [dict(row) for row in tx.execute(LATEST, {"sink": sink, "key": key, "most": most}).mappings()]
