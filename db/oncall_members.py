"""Who was in which on-call pools, from when to when, and who is away: what shares and plans are worked out from.

`workspace_members` says who is in a rotation now; periods remember it, because a share of the past depends on it.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import Connection, and_, bindparam, delete, exists, insert, literal, select, update
from sqlalchemy.dialects import postgresql

from db.oncall_tables import oncall_members as t
from db.oncall_tables import time_off as off
from db.statements import Statement
from db.tables import users
from db.tables import workspace_members as members


@dataclass(frozen=True, slots=True)
class Period:
    """Somebody was on call for these pools from `since` to `until`, both inclusive (None: still is)."""

    user_id: int
    since: date
    until: date | None
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A member of the workspace as they are now."""

    id: int
    name: str
    email: str | None
    status: str
    rotations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absence:
    """Days somebody is away, both inclusive."""

    id: int
    user_id: int
    first: date
    last: date
    reason: str


NOW = (
    select(users.c.id, users.c.name, users.c.email, users.c.status, members.c.rotation)
    .join(members, members.c.user_id == users.c.id)
    .where(members.c.workspace_id == bindparam("workspace_id"))
    .order_by(users.c.id, members.c.rotation)
)
IS_ONE = Statement(select(literal(1)).where(members.c.user_id == bindparam("user_id")).limit(1))
PERIODS = (
    select(t.c.user_id, t.c.since, t.c.until, t.c.pools)
    .where(t.c.workspace_id == bindparam("workspace_id"))
    .order_by(t.c.user_id, t.c.since)
)
_put = postgresql.insert(t)
PUT = _put.on_conflict_do_update(
    index_elements=[t.c.workspace_id, t.c.user_id, t.c.since],
    set_={"until": _put.excluded.until, "pools": _put.excluded.pools},
)
DROP = delete(t).where(
    t.c.workspace_id == bindparam("of_workspace_id"),
    t.c.user_id == bindparam("of_user_id"),
    t.c.since == bindparam("of_since"),
)
_ABSENCE = (off.c.id, off.c.user_id, off.c.first_date, off.c.last_date, off.c.reason)
ABSENCES = (
    select(*_ABSENCE)
    .where(off.c.workspace_id == bindparam("workspace_id"))
    .order_by(off.c.first_date, off.c.user_id, off.c.id)
)
ADD = insert(off)
REMOVE = delete(off).where(off.c.workspace_id == bindparam("of_workspace_id"), off.c.id == bindparam("of_id"))
FORGET = update(off).where(off.c.user_id == bindparam("of_user_id")).values(reason="")
HAND_OVER_TIME_OFF = update(off).where(off.c.user_id == bindparam("of_user_id")).values(user_id=bindparam("to_user_id"))
_same = t.alias()
HAND_OVER_PERIODS = (
    update(t)
    .where(
        t.c.user_id == bindparam("of_user_id"),
        ~exists().where(
            and_(
                _same.c.workspace_id == t.c.workspace_id,
                _same.c.user_id == bindparam("to_user_id"),
                _same.c.since == t.c.since,
            )
        ),
    )
    .values(user_id=bindparam("to_user_id"))
)


def now(tx: Connection, workspace_id: int) -> dict[int, Candidate]:
    """Everybody who is in a rotation of this workspace today, whatever their status."""
    found: dict[int, Candidate] = {}
    for id_, name, email, status, rotation in tx.execute(NOW, {"workspace_id": workspace_id}):
        earlier = found[id_].rotations if id_ in found else ()
        found[id_] = Candidate(id_, name, email, status, (*earlier, rotation))
    return found


def is_one(tx: Connection, user_id: int) -> bool:
    """Whether somebody is in any rotation of any workspace."""
    return IS_ONE.first(tx, {"user_id": user_id}) is not None


def periods(tx: Connection, workspace_id: int) -> list[Period]:
    rows = tx.execute(PERIODS, {"workspace_id": workspace_id})
    return [Period(user_id, since, until, tuple(pools)) for user_id, since, until, pools in rows]


def put_periods(tx: Connection, workspace_id: int, wanted: Iterable[Period]) -> None:
    rows = [{"workspace_id": workspace_id, **asdict(period), "pools": list(period.pools)} for period in wanted]
    if rows:
        tx.execute(PUT, rows)


def drop_period(tx: Connection, workspace_id: int, period: Period) -> None:
    tx.execute(DROP, {"of_workspace_id": workspace_id, "of_user_id": period.user_id, "of_since": period.since})


def absences(tx: Connection, workspace_id: int) -> list[Absence]:
    """Everybody's time off, past and to come."""
    return [Absence(*row) for row in tx.execute(ABSENCES, {"workspace_id": workspace_id})]


def add_absence(tx: Connection, workspace_id: int, user_id: int, days: tuple[date, date], reason: str, now: int) -> int:
    """`days`: the first and the last. The caller has made sure that they overlap no others of this person."""
    row = {"workspace_id": workspace_id, "user_id": user_id, "first_date": days[0], "last_date": days[1]}
    inserted = tx.execute(ADD, {**row, "reason": reason, "created_at": now}).inserted_primary_key
    assert inserted is not None
    return int(inserted[0])


def remove_absence(tx: Connection, workspace_id: int, id_: int) -> bool:
    return tx.execute(REMOVE, {"of_workspace_id": workspace_id, "of_id": id_}).rowcount == 1


def forget(tx: Connection, user_id: int) -> None:
    """Erasure: dates stay, for others' shares depend on them; why somebody was away goes."""
    tx.execute(FORGET, {"of_user_id": user_id})


def hand_over(tx: Connection, user_id: int, to_user_id: int) -> None:
    """Two rows of `users` turned out to be one person."""
    for statement in (HAND_OVER_TIME_OFF, HAND_OVER_PERIODS):
        tx.execute(statement, {"of_user_id": user_id, "to_user_id": to_user_id})
