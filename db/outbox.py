r"""The outbox: marks of what is out of date on the other side, one per (workspace, sink, key).

    due --claim--> leased --settle--> settled        mark() on any of them: generation + 1, due again
     ^               |  \--refused too often--> dead   (a leased one stays leased and goes again after)
     +--release------+      a lease that ended is simply due

A mark says *that* something changed, never *what*: whoever holds the lease reads the present state.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from db.marked import marked
from db.statements import Statement
from db.tables import OPEN
from db.tables import sync_actions as t

LEASE_MS = 60_000  # twice the longest HTTP time-out: a holder that is silent for this long is dead


@dataclass(frozen=True, slots=True)
class Claim:
    """A mark whose lease we hold. Settling must show `token`."""

    id: int
    workspace_id: int
    sink: str
    key: str
    generation: int
    attempts: int
    payload: Any
    token: str
    marked_at: int


_put = insert(t).values(status="due", generation=1, attempts=0)
_leased = t.c.status == "leased"
_ROW = ["workspace_id", "sink", "key", "available_at", "marked_at"]
_mark = _put.on_conflict_do_update(
    index_elements=[t.c.workspace_id, t.c.sink, t.c.key],
    set_={
        "generation": t.c.generation + 1,
        "status": case((_leased, "leased"), else_="due"),
        "available_at": case((_leased, t.c.available_at), else_=_put.excluded.available_at),
        "marked_at": case((or_(_leased, t.c.status == "due"), t.c.marked_at), else_=_put.excluded.marked_at),
        "attempts": 0,
        "error": null(),
    },
)
MARK = Statement(_mark, columns=_ROW)
POST = Statement(
    _put.on_conflict_do_nothing(index_elements=[t.c.workspace_id, t.c.sink, t.c.key]), columns=[*_ROW, "payload"]
)
_due = (
    select(t.c.id)
    .where(
        t.c.sink == bindparam("of_sink"),
        OPEN,
        t.c.available_at <= bindparam("now"),
    )
    .order_by(t.c.available_at, t.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")  # PostgreSQL might run a subquery more than once, and lease more than was asked for
)
_CLAIM = (
    update(t)
    .values(status="leased", lease_token=bindparam("token"), available_at=bindparam("until"))
    .returning(
        t.c.id,
        t.c.workspace_id,
        t.c.sink,
        t.c.key,
        t.c.generation,
        t.c.attempts,
        t.c.payload,
        t.c.lease_token,
        t.c.marked_at,
    )
)
CLAIM = Statement(_CLAIM.where(t.c.id.in_(select(_due.c.id))))
_one = (t.c.workspace_id == bindparam("of_workspace"), t.c.sink == bindparam("of_sink"), t.c.key == bindparam("of_key"))
CLAIM_ONE = Statement(_CLAIM.where(*_one, OPEN, t.c.available_at <= bindparam("now")))
OPEN_ONE = select(t.c.status, t.c.available_at).where(*_one, OPEN)
_held = (t.c.id == bindparam("of_id"), t.c.lease_token == bindparam("token"))
_moved = t.c.generation != bindparam("claimed_generation")
_now: BindParameter[int] = bindparam("now", type_=BigInteger)
SETTLE = Statement(
    update(t)
    .where(*_held)
    .values(
        status=case((_moved, "due"), else_=bindparam("status")),
        available_at=case((_moved, _now), else_=bindparam("next_at", type_=BigInteger)),
        attempts=case((_moved, 0), else_=bindparam("attempts")),
        error=bindparam("error"),
        marked_at=case((_moved, _now), else_=func.coalesce(bindparam("rearmed_at"), t.c.marked_at)),
        lease_token=null(),
    )
    .returning(t.c.status, t.c.available_at)
)
HOLDS = select(literal(1)).where(*_held).with_for_update()
NEXT_AT = Statement(select(func.min(t.c.available_at)).where(t.c.sink == bindparam("sink"), OPEN))
HELD = (
    select(literal(1)).where(t.c.sink == bindparam("sink"), OPEN, _leased, t.c.available_at > bindparam("now")).limit(1)
)
PENDING_KEYS = select(t.c.key).where(
    t.c.workspace_id == bindparam("workspace_id"),
    t.c.sink == bindparam("sink"),
    OPEN,
)
GENERATIONS = select(t.c.key, t.c.generation).where(
    t.c.workspace_id == bindparam("workspace_id"), t.c.sink == bindparam("sink")
)
HELD_GENERATIONS = GENERATIONS.with_for_update()
COUNTS = select(t.c.sink, t.c.status, func.count()).group_by(t.c.sink, t.c.status)
OLDEST = select(func.min(t.c.marked_at)).where(OPEN, t.c.available_at <= bindparam("now"))
DEAD = select(func.count()).where(t.c.status == "dead")
RETRY = (
    update(t)
    .where(or_(t.c.status == "dead", t.c.status == "due"), t.c.id == bindparam("of_id"))
    .values(status="due", attempts=0, available_at=bindparam("now"), marked_at=bindparam("now"), error=null())
    .returning(t.c.workspace_id, t.c.sink, t.c.key, t.c.available_at)
)
_of_sink = t.c.sink == bindparam("of_sink")
LEASES_ANEW = update(t).where(_of_sink, _leased).values(available_at=bindparam("until"))
_earlier = t.c.available_at - bindparam("by")
DUE_EARLIER = (
    update(t)
    .where(_of_sink, t.c.status == "due", t.c.available_at > bindparam("now"))
    .values(available_at=case((_earlier > bindparam("now"), _earlier), else_=bindparam("now")))
)
SUMMARY = (
    t.c.id,
    t.c.sink,
    t.c.key,
    t.c.status,
    t.c.generation,
    t.c.attempts,
    t.c.available_at,
    t.c.marked_at,
    t.c.error,
)


def mark(tx: Connection, workspace_id: int, sinks: Iterable[str], key: str, now: int) -> None:
    """Say that `key` is out of date at each of these sinks."""
    for sink in sinks:
        row = {"workspace_id": workspace_id, "sink": sink, "key": key, "available_at": now, "marked_at": now}
        MARK.send(tx, row)
        marked(tx, [(workspace_id, sink, key, now)])


def mark_many(tx: Connection, workspace_id: int, sink: str, keys: Iterable[str], now: int) -> int:
    marks = [(workspace_id, sink, key, now) for key in keys]
    if marks:
        MARK.send_many(tx, [dict(zip(_ROW, (*mark, now), strict=True)) for mark in marks])
        marked(tx, marks)
    return len(marks)


def post(tx: Connection, workspace_id: int, sink: str, key: str, payload: Any, now: int) -> bool:
    """Send a message that is not state, once: a second post of the same key changes nothing, and is False."""
    row = {"workspace_id": workspace_id, "sink": sink, "key": key, "available_at": now, "marked_at": now}
    first = POST.run(tx, {**row, "payload": payload}) == 1
    marked(tx, [(workspace_id, sink, key, now)])
    return first


def wake(tx: Connection, workspace_id: int, sink: str, key: str, at: int) -> None:
    """Have this mark looked at, at `at` (ms)."""
    marked(tx, [(workspace_id, sink, key, at)])


def claim(tx: Connection, sink: str, token: str, now: int, most: int) -> list[Claim]:
    """Lease at most `most` due marks until now + LEASE_MS."""
    rows = {"of_sink": sink, "token": token, "now": now, "until": now + LEASE_MS, "most": most}
    return [Claim(*row) for row in CLAIM.rows(tx, rows)]


def claim_one(tx: Connection, workspace_id: int, sink: str, key: str, token: str, now: int) -> Claim | None:
    """Lease this one mark, if it is due."""
    row = {"of_workspace": workspace_id, "of_sink": sink, "of_key": key}
    found = CLAIM_ONE.first(tx, {**row, "token": token, "now": now, "until": now + LEASE_MS})
    return Claim(*found) if found else None


def open_at(tx: Connection, workspace_id: int, sink: str, key: str) -> tuple[str, int] | None:
    """`due` and since when, or `leased` and until when (ms); None when nothing is to be done for this mark."""
    found = tx.execute(OPEN_ONE, {"of_workspace": workspace_id, "of_sink": sink, "of_key": key}).first()
    return (found[0], found[1]) if found else None


def settle(
    tx: Connection,
    claim: Claim,
    now: int,
    *,
    status: str,
    next_at: int | None = None,
    attempts: int = 0,
    error: str | None = None,
    rearmed: bool = False,
) -> bool:
    """End the lease. If the mark moved meanwhile it is due again at once; False if the lease was not ours any more.

    `rearmed`: nothing is out of date before `next_at`.
    """
    row = {
        "of_id": claim.id,
        "token": claim.token,
        "claimed_generation": claim.generation,
        "status": status,
        "now": now,
        "next_at": now if next_at is None else next_at,
        "attempts": attempts,
        "error": error,
        "rearmed_at": next_at if rearmed else None,
    }
    settled = SETTLE.first(tx, row)
    if settled is None:
        return False
    if settled[0] == "due":
        marked(tx, [(claim.workspace_id, claim.sink, claim.key, settled[1])])
    return True


def holds(tx: Connection, claim: Claim) -> bool:
    """Whether the lease is still ours, and will be until this transaction ends."""
    return tx.execute(HOLDS, {"of_id": claim.id, "token": claim.token}).first() is not None


def is_held(tx: Connection, sink: str, now: int) -> bool:
    """Whether anybody is delivering to this sink at the moment."""
    return tx.execute(HELD, {"sink": sink, "now": now}).first() is not None


def next_at(tx: Connection, sink: str) -> int | None:
    """When the next mark of this sink is due, ms; None when none is open."""
    found: int | None = NEXT_AT.scalar(tx, {"sink": sink})
    return found


def pending(tx: Connection, workspace_id: int, sink: str) -> set[str]:
    return set(tx.execute(PENDING_KEYS, {"workspace_id": workspace_id, "sink": sink}).scalars())


def generations(tx: Connection, workspace_id: int, sink: str) -> dict[str, int]:
    rows = tx.execute(GENERATIONS, {"workspace_id": workspace_id, "sink": sink})
    return {key: generation for key, generation in rows}  # noqa: C416 - rows, not pairs


def held_generations(tx: Connection, workspace_id: int, sink: str) -> dict[str, int]:
    """As `generations`; and none of them moves, and none is leased, before this transaction ends."""
    rows = tx.execute(HELD_GENERATIONS, {"workspace_id": workspace_id, "sink": sink})
    return {key: generation for key, generation in rows}  # noqa: C416 - rows, not pairs


def counts(tx: Connection) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for sink, status, count in tx.execute(COUNTS):
        found.setdefault(sink, {})[status] = count
    return found


def oldest_due(tx: Connection, now: int) -> int | None:
    """When the longest-waiting due mark was raised, ms."""
    found: int | None = tx.execute(OLDEST, {"now": now}).scalar_one()
    return found


def dead(tx: Connection) -> int:
    return tx.execute(DEAD).scalar_one()


def latest(
    tx: Connection, *, status: str | None = None, sink: str | None = None, most: int = 50
) -> list[dict[str, Any]]:
    query = select(*SUMMARY).order_by(t.c.marked_at.desc(), t.c.id.desc()).limit(most)
    if status:
        query = query.where(t.c.status == status)
    if sink:
        query = query.where(t.c.sink == sink)
    return [dict(row) for row in tx.execute(query).mappings()]


def detail(tx: Connection, id_: int) -> dict[str, Any] | None:
    row = tx.execute(select(*SUMMARY, t.c.payload).where(t.c.id == id_)).mappings().first()
    return dict(row) if row else None


def retry(tx: Connection, ids: Iterable[int], now: int) -> int:
    """Make dead (or delayed) marks due now; returns how many."""
    due = [(row[0], row[1], row[2], row[3]) for id_ in ids for row in tx.execute(RETRY, {"of_id": id_, "now": now})]
    marked(tx, due)
    return len(due)


def begin_leases_anew(tx: Connection, sink: str, now: int) -> None:
    """Let nobody's lease end before a whole one has passed: when the clock is no measure of how long it was held."""
    tx.execute(LEASES_ANEW, {"of_sink": sink, "until": now + LEASE_MS})


def bring_forward(tx: Connection, sink: str, by: int, now: int) -> None:
    """Marks that are due later are due `by` ms earlier, though not before now."""
    tx.execute(DUE_EARLIER, {"of_sink": sink, "by": by, "now": now})
