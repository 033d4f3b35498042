"""Swaps of shifts: asked for, then accepted or declined by the other, or cancelled. One open request a slot."""

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from db.oncall_tables import REQUESTED
from db.oncall_tables import shift_swaps as t


@dataclass(frozen=True, slots=True)
class Swap:
    """`user_id` asks `other_id` to take their slot, for one of the other's in return where `other_date` names it."""

    id: int
    date: dt.date
    rotation: str
    user_id: int
    other_date: dt.date | None
    other_rotation: str | None
    other_id: int
    reason: str
    status: str
    created_at: int
    decided_at: int | None = None


_SWAP = tuple(t.c[name] for name in Swap.__dataclass_fields__)
_mine: Select[Any] = select(*_SWAP).where(t.c.workspace_id == bindparam("workspace_id")).order_by(t.c.id)
ONE = _mine.where(t.c.id == bindparam("id"))
OPEN = _mine.where(REQUESTED)
OPEN_OF = OPEN.where(or_(t.c.user_id == bindparam("user_id"), t.c.other_id == bindparam("user_id")))
ADD = (
    insert(t)
    .values(status="requested")
    .on_conflict_do_nothing(index_elements=[t.c.workspace_id, t.c.date, t.c.rotation], index_where=REQUESTED)
    .returning(t.c.id)
)
DECIDE = (
    update(t)
    .where(t.c.workspace_id == bindparam("of_workspace_id"), t.c.id == bindparam("of_id"), REQUESTED)
    .values(status=bindparam("new_status"), decided_at=bindparam("new_decided_at"))
)


def one(tx: Connection, workspace_id: int, id_: int) -> Swap | None:
    row = tx.execute(ONE, {"workspace_id": workspace_id, "id": id_}).first()
    return Swap(*row) if row else None


def open_(tx: Connection, workspace_id: int, user_id: int | None = None) -> list[Swap]:
    """Requests nobody has answered yet: all of them, or those somebody asked for or is asked about."""
    if user_id is None:
        return [Swap(*row) for row in tx.execute(OPEN, {"workspace_id": workspace_id})]
    return [Swap(*row) for row in tx.execute(OPEN_OF, {"workspace_id": workspace_id, "user_id": user_id})]


def add(tx: Connection, workspace_id: int, swap: Swap) -> int | None:
    """The id of the request; None while another one for the same slot is open. `swap.id` is not looked at."""
    row = {name: value for name, value in asdict(swap).items() if name not in ("id", "status")}
    found: int | None = tx.execute(ADD, {"workspace_id": workspace_id, **row}).scalar()
    return found


def decide(tx: Connection, workspace_id: int, id_: int, status: str, now: int) -> bool:
    """False when it is not open any more."""
    row = {"of_workspace_id": workspace_id, "of_id": id_, "new_status": status, "new_decided_at": now}
    return tx.execute(DECIDE, row).rowcount == 1
