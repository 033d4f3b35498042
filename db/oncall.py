"""The on-call schedule and its overrides: one row a slot (date and rotation), and at most one override of it.

Whatever changes a slot takes `today`: rows of days before it are history, and no statement here changes them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from db.oncall_tables import oncall_schedule as t
from db.oncall_tables import oncall_schedule_overrides as o
from db.tables import workspaces


@dataclass(frozen=True, slots=True)
class Planned:
    """Who a slot was planned for (`user_id` None: nobody could), from when to when (ms), and why."""

    date: date
    rotation: str
    user_id: int | None
    email: str | None
    name: str | None
    starts_at: int
    ends_at: int
    run_id: str
    pinned: bool
    reason: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Override:
    """Who serves a slot instead, why, and who asked for it (None: an operator, or somebody who is gone)."""

    date: date
    rotation: str
    user_id: int
    email: str | None
    name: str
    reason: str
    asked_by: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Duty:
    """A slot as it stands: what was planned, and who serves in the end."""

    planned: Planned
    override: Override | None = None

    @property
    def final_id(self) -> int | None:
        return self.override.user_id if self.override else self.planned.user_id

    @property
    def final_name(self) -> str | None:
        """S2.2: the name of the override, or else of the original."""
        return self.override.name if self.override else self.planned.name

    @property
    def final_email(self) -> str | None:
        return self.override.email if self.override else self.planned.email


@dataclass(frozen=True, slots=True)
class Served:
    """A slot as fairness counts it."""

    date: date
    rotation: str
    user_id: int | None
    override_id: int | None
    pinned: bool
    starts_at: int
    ends_at: int


_slot = and_(t.c.workspace_id == o.c.workspace_id, t.c.date == o.c.date, t.c.rotation == o.c.rotation)
_both = t.outerjoin(o, _slot)
_mine = t.c.workspace_id == bindparam("workspace_id")
_PLANNED = tuple(t.c[name] for name in Planned.__dataclass_fields__)
_OVERRIDE = tuple(o.c[name].label(f"o_{name}") for name in Override.__dataclass_fields__)
_DUTIES: Select[Any] = select(*_PLANNED, *_OVERRIDE).select_from(_both).where(_mine)
_final = func.coalesce(o.c.user_id, t.c.user_id)
_order = (t.c.date, t.c.starts_at, t.c.rotation)
BETWEEN = _DUTIES.where(t.c.date >= bindparam("first"), t.c.date <= bindparam("last")).order_by(*_order)
ONE = _DUTIES.where(t.c.date == bindparam("date"), t.c.rotation == bindparam("rotation"))
OF_PERSON = _DUTIES.where(_final == bindparam("user_id"), t.c.date >= bindparam("first")).order_by(*_order)
OF_PERSON = OF_PERSON.limit(bindparam("most"))
AROUND = _DUTIES.where(
    t.c.date >= bindparam("first"),
    t.c.date <= bindparam("last"),
    t.c.starts_at <= bindparam("at"),
    t.c.ends_at > bindparam("at"),
).order_by(*_order)
NEXT = (
    _DUTIES.where(t.c.date >= bindparam("first"), t.c.starts_at > bindparam("at"))
    .order_by(t.c.starts_at, t.c.rotation)
    .limit(bindparam("most"))
)
SERVED = (
    select(t.c.date, t.c.rotation, t.c.user_id, o.c.user_id, t.c.pinned, t.c.starts_at, t.c.ends_at)
    .select_from(_both)
    .where(_mine)
    .order_by(t.c.date, t.c.rotation)
)
# No key changes: rows that refer to the workspace may be written meanwhile. SQLite has one writer anyway.
SPAN = select(func.min(t.c.date), func.max(t.c.date)).where(_mine)
LOCK = select(workspaces.c.id).where(workspaces.c.id == bindparam("id")).with_for_update(key_share=True)
_put = insert(t)
KEY = [t.c.workspace_id, t.c.date, t.c.rotation]
PUT = _put.on_conflict_do_update(
    index_elements=KEY,
    set_={name: _put.excluded[name] for name in list(Planned.__dataclass_fields__)[2:]},
    where=t.c.date >= bindparam("today"),
)
KEEP = insert(t).on_conflict_do_nothing(index_elements=KEY).returning(t.c.date)
KEEP_OVERRIDE = insert(o)
DROP = delete(t).where(
    t.c.workspace_id == bindparam("of_workspace_id"),
    t.c.date == bindparam("of_date"),
    t.c.rotation == bindparam("of_rotation"),
    t.c.date >= bindparam("today"),
)
_values = select(
    t.c.workspace_id,
    t.c.date,
    t.c.rotation,
    *(bindparam(f"new_{name}", type_=o.c[name].type) for name in list(Override.__dataclass_fields__)[2:]),
).where(
    t.c.workspace_id == bindparam("of_workspace_id"),
    t.c.date == bindparam("of_date"),
    t.c.rotation == bindparam("of_rotation"),
    t.c.date >= bindparam("today"),
)
_override = insert(o).from_select(["workspace_id", *Override.__dataclass_fields__], _values)
OVERRIDE = _override.on_conflict_do_update(
    index_elements=[o.c.workspace_id, o.c.date, o.c.rotation],
    set_={name: _override.excluded[name] for name in list(Override.__dataclass_fields__)[2:]},
).returning(o.c.date)
LIFT = delete(o).where(
    o.c.workspace_id == bindparam("of_workspace_id"),
    o.c.date == bindparam("of_date"),
    o.c.rotation == bindparam("of_rotation"),
    o.c.date >= bindparam("today"),
)
FORGET = tuple(
    update(table).where(table.c.user_id == bindparam("of_user_id")).values(email=None, name=bindparam("pseudonym"))
    for table in (t, o)
)
_planned_for = select(t.c.workspace_id, t.c.date, t.c.rotation).where(t.c.user_id == bindparam("of_user_id"))
HUSH = (
    update(o).where(o.c.user_id == bindparam("of_user_id")).values(reason=""),
    update(o).where(tuple_(o.c.workspace_id, o.c.date, o.c.rotation).in_(_planned_for)).values(reason=""),
)
HAND_OVER = tuple(
    update(table).where(table.c.user_id == bindparam("of_user_id")).values(user_id=bindparam("to_user_id"))
    for table in (t, o)
)


def lock(tx: Connection, workspace_id: int) -> None:
    """One change of a workspace's schedule at a time: what is read after this stays so until the commit."""
    tx.execute(LOCK, {"id": workspace_id})


def between(tx: Connection, workspace_id: int, first: date, last: date) -> list[Duty]:
    """Every slot from `first` to `last`, both inclusive, in order."""
    return _duties(tx, BETWEEN, workspace_id=workspace_id, first=first, last=last)


def one(tx: Connection, workspace_id: int, day: date, rotation: str) -> Duty | None:
    found = _duties(tx, ONE, workspace_id=workspace_id, date=day, rotation=rotation)
    return found[0] if found else None


def of_person(tx: Connection, workspace_id: int, user_id: int, first: date, most: int) -> list[Duty]:
    """The slots somebody serves in the end, from `first` on, at most `most`."""
    return _duties(tx, OF_PERSON, workspace_id=workspace_id, user_id=user_id, first=first, most=most)


def at(tx: Connection, workspace_id: int, instant: int, first: date, last: date) -> list[Duty]:
    """The slots under way at an instant (ms). `first` and `last`: days around it, which the index searches."""
    return _duties(tx, AROUND, workspace_id=workspace_id, at=instant, first=first, last=last)


def after(tx: Connection, workspace_id: int, instant: int, first: date, most: int) -> list[Duty]:
    """The next slots to begin after an instant (ms), the soonest first."""
    return _duties(tx, NEXT, workspace_id=workspace_id, at=instant, first=first, most=most)


def served(tx: Connection, workspace_id: int) -> list[Served]:
    """Every slot there ever was, as fairness counts it."""
    return [Served(*row) for row in tx.execute(SERVED, {"workspace_id": workspace_id})]


def span(tx: Connection, workspace_id: int) -> tuple[date, date] | None:
    """The first and the last day of the schedule; None while there is none."""
    first, last = tx.execute(SPAN, {"workspace_id": workspace_id}).one()
    return (first, last) if first else None


def put(tx: Connection, workspace_id: int, rows: Iterable[Planned], today: date) -> None:
    """Plan these slots, or plan them anew; a slot of a day before `today` that is there stays as it is."""
    found = [{"workspace_id": workspace_id, "today": today, **_values_of(row)} for row in rows]
    if found:
        tx.execute(PUT, found)


def keep(tx: Connection, workspace_id: int, duty: Duty) -> bool:
    """Add a slot of the past (an import); False where there is one already, which stays as it is."""
    if tx.execute(KEEP, {"workspace_id": workspace_id, **_values_of(duty.planned)}).first() is None:
        return False
    if duty.override:
        tx.execute(KEEP_OVERRIDE, {"workspace_id": workspace_id, **_values_of(duty.override)})
    return True


def drop(tx: Connection, workspace_id: int, day: date, rotation: str, today: date) -> bool:
    """Take a slot out of the plan, and its override with it; False when it is past or not there."""
    return tx.execute(DROP, _named(workspace_id, day, rotation, today)).rowcount == 1


def override(tx: Connection, workspace_id: int, row: Override, today: date) -> bool:
    """Have somebody else serve this slot; False when it is past or not there."""
    new = {f"new_{name}": value for name, value in _values_of(row).items() if name not in ("date", "rotation")}
    return tx.execute(OVERRIDE, _named(workspace_id, row.date, row.rotation, today) | new).first() is not None


def lift(tx: Connection, workspace_id: int, day: date, rotation: str, today: date) -> bool:
    """Take an override back; False when there is none, or it is past."""
    return tx.execute(LIFT, _named(workspace_id, day, rotation, today)).rowcount == 1


def forget(tx: Connection, user_id: int, pseudonym: str) -> None:
    """Erasure: the rows stay, as somebody's whom nobody can name. The one change that history takes."""
    for statement in HUSH:
        tx.execute(statement, {"of_user_id": user_id})
    for statement in FORGET:
        tx.execute(statement, {"of_user_id": user_id, "pseudonym": pseudonym})


def hand_over(tx: Connection, user_id: int, to_user_id: int) -> None:
    """Two rows of `users` turned out to be one person: what one served, the other served."""
    for statement in HAND_OVER:
        tx.execute(statement, {"of_user_id": user_id, "to_user_id": to_user_id})


def _values_of(row: Planned | Override) -> dict[str, Any]:
    """The fields as they are: dataclasses.asdict would copy whole reasons."""
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _named(workspace_id: int, day: date, rotation: str, today: date) -> dict[str, Any]:
    return {"of_workspace_id": workspace_id, "of_date": day, "of_rotation": rotation, "today": today}


def _duties(tx: Connection, query: Select[Any], **values: Any) -> list[Duty]:
    columns = len(_PLANNED)
    return [
        Duty(Planned(*row[:columns]), Override(*row[columns:]) if row.o_user_id is not None else None)
        for row in tx.execute(query, values)
    ]
