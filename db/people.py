"""The `users` table: one row a person, found by any id the outside world uses (S1.4)."""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from db.statements import Changes, Statement
from db.tables import users as t
from db.tables import workspace_members as members

LONGEST_LIST = 500


@dataclass(frozen=True, slots=True)
class Person:
    """The columns of `users` that are derived from identities."""

    clerk_id: str | None
    email: str | None
    name: str
    first_name: str | None
    last_name: str | None
    slack_user_id: str | None
    notion_person_id: str | None
    role: str
    status: str


UNIQUE = ("clerk_id", "email", "slack_user_id", "notion_person_id")
DERIVED = tuple(t.c[name] for name in Person.__dataclass_fields__)

_COLUMNS = tuple(Person.__dataclass_fields__)
_values = attrgetter(*_COLUMNS)
ADD = Statement(insert(t), columns=[*_COLUMNS, "created_at", "updated_at"])
ROW = Statement(select(*DERIVED).where(t.c.id == bindparam("id")))
BY_IDS = select(t.c.id, *DERIVED).where(t.c.id.in_(bindparam("ids", expanding=True)))
CHANGES = Changes(t, t.c.id == bindparam("of_id"))
RELEASE = {name: update(t).where(t.c.id == bindparam("of_id")).values({name: None}) for name in UNIQUE}
REMOVE = delete(t).where(t.c.id == bindparam("of_id"))
LOOKUPS = {name: select(t).where(t.c[name] == bindparam("value")) for name in ("id", *UNIQUE)}
PAGE = select(t).where(t.c.id > bindparam("after")).order_by(t.c.id).limit(bindparam("most"))
IN_ROTATION = PAGE.where(
    t.c.id.in_(
        select(members.c.user_id).where(
            members.c.workspace_id == bindparam("workspace_id"),
            members.c.rotation == bindparam("rotation"),
        )
    )
)
IDS = select(t.c.id).order_by(t.c.id)
ADMINS = select(t.c.email).where(t.c.role == "admin", t.c.email.is_not(None))
ADMIN_IDS = select(t.c.id).where(t.c.role == "admin")
COVERAGE = select(
    func.count(),
    func.count(t.c.slack_user_id),
    func.count(t.c.notion_person_id),
    func.count().filter(t.c.slack_user_id.is_not(None), t.c.notion_person_id.is_not(None)),
).where(t.c.status == "active")

ROTATIONS = (
    select(members.c.user_id, members.c.rotation)
    .where(
        members.c.workspace_id == bindparam("workspace_id"),
        members.c.user_id.in_(bindparam("ids", expanding=True)),
    )
    .order_by(members.c.rotation)
)
LEAVE = delete(members).where(
    members.c.workspace_id == bindparam("of_workspace_id"), members.c.user_id == bindparam("of_user_id")
)
JOIN = insert(members)


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many active people are known on both platforms (S1.9; target: over 80 %)."""

    people: int
    slack: int
    notion: int
    both: int

    @property
    def share(self) -> float:
        return self.both / self.people if self.people else 1.0


def add(tx: Connection, person: Person, now: int) -> int:
    return ADD.insert(tx, {**dict(zip(_COLUMNS, _values(person), strict=True)), "created_at": now, "updated_at": now})


def get(tx: Connection, user_id: int) -> Person | None:
    row = ROW.first(tx, {"id": user_id})
    return Person(*row) if row else None


def load(tx: Connection, ids: Iterable[int]) -> dict[int, Person]:
    wanted = sorted(ids)
    if not wanted:
        return {}
    return {row[0]: Person(*row[1:]) for row in tx.execute(BY_IDS, {"ids": wanted})}


def release(tx: Connection, user_id: int, column: str) -> None:
    """Give up a unique value, so that another person may take it in the same transaction."""
    tx.execute(RELEASE[column], {"of_id": user_id})


def change(tx: Connection, user_id: int, before: Person, person: Person, now: int) -> None:
    """The row, which was `before`, becomes `person`."""
    new = {name: value for name in _COLUMNS if (value := getattr(person, name)) != getattr(before, name)}
    values = {f"new_{name}": value for name, value in new.items()}
    CHANGES.of((*new, "updated_at")).send(tx, {**values, "new_updated_at": now, "of_id": user_id})


def remove(tx: Connection, user_id: int) -> None:
    """Delete the row; user_data and memberships go with it, identities stay and lose their link."""
    tx.execute(REMOVE, {"of_id": user_id})


def find(tx: Connection, value: str) -> dict[str, Any] | None:
    """One person by row id, email, or the id of any platform."""
    for column in ("clerk_id", "slack_user_id", "email", "notion_person_id"):
        needle = value.strip().lower() if column == "email" else value.strip()
        row = tx.execute(LOOKUPS[column], {"value": needle}).mappings().first()
        if row:
            return dict(row)
    if value.isascii() and value.isdigit() and len(value) < 19:  # noqa: PLR2004 - fits 63 bits
        row = tx.execute(LOOKUPS["id"], {"value": int(value)}).mappings().first()
        return dict(row) if row else None
    return None


def page(tx: Connection, *, after: int = 0, most: int = 100) -> list[dict[str, Any]]:
    """At most `most` people whose row id is greater than `after`, in the order of row ids."""
    return [dict(row) for row in tx.execute(PAGE, {"after": after, "most": most}).mappings()]


def in_rotation(
    tx: Connection, workspace_id: int, rotation: str, *, after: int = 0, most: int = 100
) -> list[dict[str, Any]]:
    found = tx.execute(IN_ROTATION, {"workspace_id": workspace_id, "rotation": rotation, "after": after, "most": most})
    return [dict(row) for row in found.mappings()]


def ids(tx: Connection) -> list[int]:
    return list(tx.execute(IDS).scalars())


def admins(tx: Connection) -> set[str]:
    """The addresses of today's administrators."""
    return set(tx.execute(ADMINS).scalars())


def admin_ids(tx: Connection) -> frozenset[int]:
    """The rows of today's administrators."""
    return frozenset(tx.execute(ADMIN_IDS).scalars())


def coverage(tx: Connection) -> Coverage:
    return Coverage(*tx.execute(COVERAGE).one())


def rotations(tx: Connection, workspace_id: int, user_ids: Iterable[int]) -> dict[int, list[str]]:
    """The rotations each of these people is in, sorted; people in none are left out."""
    found: dict[int, list[str]] = {}
    wanted = sorted(user_ids)
    for start in range(0, len(wanted), LONGEST_LIST):
        some = wanted[start : start + LONGEST_LIST]
        for user_id, rotation in tx.execute(ROTATIONS, {"workspace_id": workspace_id, "ids": some}):
            found.setdefault(user_id, []).append(rotation)
    return found


def set_rotations(tx: Connection, workspace_id: int, user_id: int, wanted: Iterable[str]) -> None:
    """Make the person's memberships in this workspace exactly these."""
    tx.execute(LEAVE, {"of_workspace_id": workspace_id, "of_user_id": user_id})
    rows = [{"workspace_id": workspace_id, "user_id": user_id, "rotation": name} for name in wanted]
    if rows:
        tx.execute(JOIN, rows)
