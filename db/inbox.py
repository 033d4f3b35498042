"""The inbox: every event that was accepted, its raw bytes, and what became of it.

States: `applied`; `ignored` (nothing to do for it); `stale` (a newer one was here first); `waiting` (for
the person it speaks of); `failed` (kept, tried again by us).
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from db.statements import Statement
from db.tables import FAILED as FAILED_ONLY
from db.tables import webhook_events as t

RETRY_AFTER_MS = (5_000, 30_000, 300_000)  # after the first three failures; then RETRY_EVERY_MS
RETRY_EVERY_MS = 900_000
RUN_MS = 60_000  # running an event takes a fraction of a second; who took one and is silent for this long is dead


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as it lies in the inbox, ready to be run again."""

    id: int
    source: str
    event_id: str
    body: bytes
    attempts: int


STORED = (t.c.id, t.c.source, t.c.event_id, t.c.body, t.c.attempts)
ADD = Statement(
    insert(t).on_conflict_do_nothing(index_elements=[t.c.source, t.c.event_id]),
    columns=["source", "event_id", "type", "status", "received_at", "body", "attempts", "subject"],
)
BECOME = Statement(
    update(t)
    .where(t.c.source == bindparam("of_source"), t.c.event_id == bindparam("of_event_id"))
    .values(
        status=bindparam("status"),
        waiting_for=bindparam("new_waiting_for"),
        error=bindparam("error"),
        available_at=null(),
    )
)
FAIL = (
    update(t)
    .where(t.c.id == bindparam("of_id"))
    .values(
        status="failed",
        error=bindparam("error"),
        attempts=bindparam("attempts"),
        available_at=bindparam("available_at"),
        waiting_for=null(),
    )
)
WAITING = Statement(
    select(*STORED)
    .where(t.c.source == bindparam("source"), t.c.waiting_for == bindparam("waiting_for"))
    .order_by(t.c.id)
    .limit(bindparam("most", type_=BigInteger))
)
PUT_OFF = Statement(
    update(t)
    .where(t.c.source == bindparam("of_source"), t.c.waiting_for == bindparam("for_whom"))
    .values(
        status="failed",
        error="others that waited with it went first; it is run by itself",
        available_at=bindparam("available_at"),
        waiting_for=null(),
    )
)
_due = (
    select(t.c.id)
    .where(FAILED_ONLY, t.c.available_at <= bindparam("now"))
    .order_by(t.c.available_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")  # PostgreSQL might run a subquery more than once, and take more than was asked for
)
# Whoever runs an event again takes it first: to the others it is due when this one must have died.
TAKE_DUE = update(t).where(t.c.id.in_(select(_due.c.id))).values(available_at=bindparam("until")).returning(*STORED)
NEXT_DUE = select(func.min(t.c.available_at)).where(FAILED_ONLY)
HURRY = update(t).where(FAILED_ONLY, t.c.available_at.is_not(None)).values(available_at=bindparam("now"))
STATUS = select(t.c.status).where(t.c.id == bindparam("id")).with_for_update()
RETYPE = update(t).where(t.c.id == bindparam("of_id")).values(type=bindparam("type"), subject=bindparam("subject"))
BY_EVENT_ID = select(*STORED).where(t.c.source == bindparam("source"), t.c.event_id == bindparam("event_id"))
DISMISS = update(t).where(FAILED_ONLY, t.c.id == bindparam("of_id")).values(status="ignored", available_at=null())
BY_ID = select(*STORED).where(t.c.id == bindparam("id"))
SUMMARY = (t.c.id, t.c.source, t.c.event_id, t.c.type, t.c.status, t.c.received_at, t.c.attempts, t.c.error)
DETAIL = select(*SUMMARY, t.c.available_at, t.c.waiting_for, t.c.body)
COUNTS = select(t.c.status, func.count()).group_by(t.c.status)
FAILED = select(func.count()).select_from(t).where(FAILED_ONLY)


def add(
    tx: Connection, source: str, event_id: str, type_: str, body: bytes, now: int, subject: str | None = None
) -> bool:
    """Take the event in as `applied`; False when it is here already. `subject`: the external id of whom it is about."""
    row = {
        "source": source,
        "event_id": event_id,
        "type": type_,
        "status": "applied",
        "received_at": now,
        "body": body,
        "attempts": 0,
        "subject": subject,
    }
    return ADD.run(tx, row) == 1


def become(
    tx: Connection,
    source: str,
    event_id: str,
    status: str,
    *,
    waiting_for: str | None = None,
    error: str | None = None,
) -> None:
    row = {"of_source": source, "of_event_id": event_id, "status": status}
    BECOME.send(tx, {**row, "new_waiting_for": waiting_for, "error": error})


def fail(tx: Connection, event: Stored, error: str, now: int) -> int:
    """Note one more failure and when to try again; returns how many there were."""
    failures = event.attempts + 1
    wait = RETRY_AFTER_MS[failures - 1] if failures <= len(RETRY_AFTER_MS) else RETRY_EVERY_MS
    tx.execute(FAIL, {"of_id": event.id, "error": error, "attempts": failures, "available_at": now + wait})
    return failures


def give_up(tx: Connection, event: Stored, error: str) -> None:
    """Keep it as `failed`, not to be tried again by itself: the same bytes will not parse tomorrow either."""
    tx.execute(FAIL, {"of_id": event.id, "error": error, "attempts": event.attempts + 1, "available_at": None})


def dismiss(tx: Connection, id_: int) -> bool:
    """An operator has looked at a failed event and wants nothing done for it; False if it is not failed."""
    return tx.execute(DISMISS, {"of_id": id_}).rowcount == 1


def refuse(tx: Connection, source: str, event_id: str, body: bytes, error: str, now: int) -> bool:
    """Keep a body that could not be parsed: `failed`, and not tried again by itself. False if held already."""
    if not add(tx, source, event_id, "unknown", body, now):
        return False
    become(tx, source, event_id, "failed", error=error)
    return True


def waiting_for(tx: Connection, source: str, external_id: str, most: int) -> list[Stored]:
    """Events that came before the person they speak of, in order of arrival."""
    return [Stored(*row) for row in WAITING.rows(tx, {"source": source, "waiting_for": external_id, "most": most})]


def put_off(tx: Connection, source: str, external_id: str, now: int) -> None:
    """Nothing keeps what waits for this id waiting any longer: each is run by itself, now."""
    PUT_OFF.send(tx, {"of_source": source, "for_whom": external_id, "available_at": now})


def take_due(tx: Connection, now: int, most: int) -> list[Stored]:
    """Failed events that are due, for this caller alone: if nothing comes of it, they are due again in RUN_MS."""
    taken = tx.execute(TAKE_DUE, {"now": now, "most": most, "until": now + RUN_MS})
    return sorted((Stored(*row) for row in taken), key=lambda event: event.id)


def next_due(tx: Connection) -> int | None:
    found: int | None = tx.execute(NEXT_DUE).scalar_one()
    return found


def hurry(tx: Connection, now: int) -> int:
    """Make every failed event that is tried again due now (at each start); returns how many."""
    return tx.execute(HURRY, {"now": now}).rowcount


def stored(tx: Connection, id_: int) -> Stored | None:
    row = tx.execute(BY_ID, {"id": id_}).first()
    return Stored(*row) if row else None


def find(tx: Connection, source: str, event_id: str) -> Stored | None:
    row = tx.execute(BY_EVENT_ID, {"source": source, "event_id": event_id}).first()
    return Stored(*row) if row else None


def status_of(tx: Connection, id_: int) -> str | None:
    """Its state, which nobody else can change before this transaction ends."""
    return tx.execute(STATUS, {"id": id_}).scalar()


def retype(tx: Connection, id_: int, type_: str, subject: str | None = None) -> None:
    """Name the type, and the subject, of an event that could not be parsed when it came."""
    tx.execute(RETYPE, {"of_id": id_, "type": type_, "subject": subject})


def key_of(body: bytes) -> str:
    """The inbox key of a body that carries no event id."""
    return f"sha256:{sha256(body).hexdigest()}"


def detail(tx: Connection, name: str) -> dict[str, Any] | None:
    """One event, by row id or by the sender's event id."""
    by_row = name.isascii() and name.isdigit() and len(name) < 19  # noqa: PLR2004 - fits 63 bits
    found = or_(t.c.event_id == name, t.c.id == int(name)) if by_row else t.c.event_id == name
    row = tx.execute(DETAIL.where(found).order_by(t.c.id)).mappings().first()
    return dict(row) if row else None


def latest(
    tx: Connection, *, status: str | None = None, source: str | None = None, most: int = 50
) -> list[dict[str, Any]]:
    """The newest events, newest first."""
    query = select(*SUMMARY).order_by(t.c.id.desc()).limit(most)
    if status:
        query = query.where(t.c.status == status)
    if source:
        query = query.where(t.c.source == source)
    return [dict(row) for row in tx.execute(query).mappings()]


def counts(tx: Connection) -> dict[str, int]:
    return {status: count for status, count in tx.execute(COUNTS)}  # noqa: C416 - rows, not pairs


def failed(tx: Connection) -> int:
    return tx.execute(FAILED).scalar_one()
