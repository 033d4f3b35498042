"""What goes when its time is over, or when the person it speaks of is gone; each call is one small batch.

An event's row stays for ever, so that a duplicate is still known: its body is emptied. Emptying lays the row down
anew: a body overwritten in place leaves SQLite a page that is nearly empty and yet never used for anything else.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, null, or_, select, update

from db.statements import Statement
from db.tables import identities, sync_logs, sync_status, workspaces
from db.tables import sync_actions as marks
from db.tables import webhook_events as events

BATCH = 200  # rows in one transaction: a few ms
FEW = 8  # as many bodies as most people have
WINDOW = 20_000  # row ids one look goes through
UNDECIDED = ("failed", "waiting")
GONE = "forgotten: this person was deleted or erased"  # what a failed or waiting event about them becomes

_spent = events.c.status.in_(("applied", "ignored", "stale"))  # nothing will run them again
_full = func.length(events.c.body) > 0
_ids: Any = bindparam("ids", expanding=True)
_window = (events.c.id > bindparam("after"), events.c.id <= bindparam("until"))
SPENT = (
    select(events.c.id)
    .where(*_window, events.c.received_at < bindparam("before"), _spent, _full)
    .order_by(events.c.id)
    .limit(bindparam("most"))
)
OLD_IN_WINDOW = select(events.c.id).where(*_window, events.c.received_at < bindparam("before")).limit(1)
LAST_EVENT = select(func.max(events.c.id))
KEPT = [column for column in events.c if column.name not in ("body", "subject")]
LIFT_SPENT = delete(events).where(events.c.id.in_(_ids), _spent).returning(*KEPT)
LIFT = delete(events).where(events.c.id.in_(_ids)).returning(*KEPT)
LIFT_FEW = Statement(delete(events).where(events.c.id.in_([bindparam(f"id_{n}") for n in range(FEW)])).returning(*KEPT))
NAMES = [column.name for column in KEPT]
LAY_DOWN = Statement(insert(events), columns=[column.name for column in events.c])
_about = (events.c.source == bindparam("source"), events.c.subject == bindparam("subject"))
ABOUT = Statement(select(events.c.id).where(*_about, _full).order_by(events.c.id).limit(bindparam("most")))
ABOUT_THE_GONE = (
    select(events.c.id)
    .join(
        identities,
        # `|| ''` keeps a planner from going through all events: from the tombstones, which are few, to theirs.
        (events.c.source == identities.c.provider.concat(""))
        & (events.c.subject == identities.c.external_id.concat("")),
    )
    .where(identities.c.deleted_at.is_not(None), _full)
    .limit(bindparam("most"))
)
UNNAMED = (
    select(events.c.id, events.c.body)
    .where(events.c.id > bindparam("after"), events.c.subject.is_(None), _full)
    .order_by(events.c.id)
    .limit(bindparam("most"))
)
LOGS_BEFORE = (
    select(sync_logs.c.id).where(sync_logs.c.at < bindparam("before")).order_by(sync_logs.c.at).limit(bindparam("most"))
)
DROP_LOGS = delete(sync_logs).where(sync_logs.c.id.in_(LOGS_BEFORE.scalar_subquery()))
FORGET_ERRORS = Statement(
    update(sync_logs)
    .where(
        sync_logs.c.sink == bindparam("of_sink"), sync_logs.c.key == bindparam("of_key"), sync_logs.c.error.is_not(None)
    )
    .values(error=null())
)
FORGET_MARK_ERROR = Statement(
    update(marks)
    .where(
        marks.c.workspace_id == bindparam("of_workspace_id"),
        marks.c.sink == bindparam("of_sink"),
        marks.c.key == bindparam("of_key"),
    )
    .values(error=null())
)
_held = exists().where(
    sync_status.c.workspace_id == marks.c.workspace_id,
    sync_status.c.sink == marks.c.sink,
    sync_status.c.key == marks.c.key,
)
# A message that was delivered, or a mark of something of which the other side holds nothing any more.
_done_with = (
    marks.c.status == "settled",
    marks.c.available_at < bindparam("before"),  # a settled mark's: when it was settled
    or_(marks.c.payload.is_not(None), ~_held),
)
MARKS_DONE_WITH = (
    select(marks.c.id)
    .where(marks.c.id > bindparam("after"), marks.c.id <= bindparam("until"), *_done_with)
    .order_by(marks.c.id)
    .limit(bindparam("most"))
)
LAST_MARK = select(func.max(marks.c.id))
DROP_MARKS = delete(marks).where(marks.c.id.in_(_ids), *_done_with)


# By the index of keys, which begins with the workspace.
SILENCE = (
    update(marks)
    .where(
        marks.c.workspace_id.in_(select(workspaces.c.id)),
        marks.c.sink == bindparam("of_sink"),
        marks.c.status == "settled",
        marks.c.payload.is_not(None),
    )
    .values(payload=null())
)


def silence(tx: Connection, sink: str) -> None:
    """Delivered messages keep the key that keeps them to once, and not their text, which may name somebody."""
    tx.execute(SILENCE, {"of_sink": sink})


def last_event(tx: Connection) -> int:
    return tx.execute(LAST_EVENT).scalar() or 0


def old_events(tx: Connection, after: int, until: int, before: int) -> list[int] | None:
    """At most BATCH events of this window whose body nobody needs; None: nothing in it was received `before` (ms)."""
    window = {"after": after, "until": until, "before": before}
    if tx.execute(OLD_IN_WINDOW, window).first() is None:
        return None
    return list(tx.execute(SPENT, {**window, "most": BATCH}).scalars())


def empty(tx: Connection, ids: Sequence[int]) -> int:
    """Empty these bodies, but not that of an event that is failed or waits; returns how many."""
    return _lay_down(tx, tx.execute(LIFT_SPENT, {"ids": ids})) if ids else 0


def events_about(tx: Connection, source: str, subject: str) -> list[int]:
    """At most BATCH events about this external id that still have a body."""
    return [row[0] for row in ABOUT.rows(tx, {"source": source, "subject": subject, "most": BATCH})]


def events_about_the_gone(tx: Connection) -> list[int]:
    """The same about anybody who is deleted: what came late, or was too much for the deletion's own transaction."""
    return list(tx.execute(ABOUT_THE_GONE, {"most": BATCH}).scalars())


def forget(tx: Connection, ids: Sequence[int]) -> int:
    """Empty these bodies whatever their state: a failed or waiting event about somebody gone is done with."""
    if not ids:
        return 0
    if len(ids) > FEW:
        return _lay_down(tx, tx.execute(LIFT, {"ids": ids}))
    return _lay_down(tx, LIFT_FEW.rows(tx, {f"id_{n}": ids[n] if n < len(ids) else None for n in range(FEW)}))


def _lay_down(tx: Connection, lifted: Iterable[Any]) -> int:
    """Rows of KEPT, back in their places without their bodies."""
    rows = [dict(zip(NAMES, row, strict=True)) | {"body": b"", "subject": None} for row in lifted]
    for row in rows:
        if row["status"] in UNDECIDED:
            row |= {"status": "ignored", "error": GONE, "available_at": None, "waiting_for": None}
    LAY_DOWN.send_many(tx, rows)
    return len(rows)


def unnamed(tx: Connection, after: int) -> list[tuple[int, bytes]]:
    """At most BATCH bodies of which nobody knows whom they are about, by row id."""
    return [(row.id, row.body) for row in tx.execute(UNNAMED, {"after": after, "most": BATCH})]


def forget_errors(tx: Connection, workspace_id: int, sink: str, key: str) -> int:
    """What the other side said of this key may quote what it was sent; returns how many lines were cleared."""
    named = {"of_sink": sink, "of_key": key}
    FORGET_MARK_ERROR.run(tx, {**named, "of_workspace_id": workspace_id})
    return FORGET_ERRORS.run(tx, named)


def drop_logs(tx: Connection, before: int) -> int:
    """Delete at most BATCH attempts made before this (ms); returns how many."""
    return tx.execute(DROP_LOGS, {"before": before, "most": BATCH}).rowcount


def last_mark(tx: Connection) -> int:
    return tx.execute(LAST_MARK).scalar() or 0


def old_marks(tx: Connection, after: int, until: int, before: int) -> list[int]:
    """At most BATCH marks of this window that nobody will miss."""
    window = {"after": after, "until": until, "before": before, "most": BATCH}
    return list(tx.execute(MARKS_DONE_WITH, window).scalars())


def drop_marks(tx: Connection, ids: Sequence[int], before: int) -> int:
    """Delete those of these marks that are still done with; returns how many."""
    return tx.execute(DROP_MARKS, {"ids": ids, "before": before}).rowcount if ids else 0
