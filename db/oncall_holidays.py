"""Days nobody is on call: a country's holidays and the workspace's own, and holidays on which it works all the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from db.oncall_tables import holidays as t

COUNTRY, OWN, WORKED = "country", "own", "worked"


@dataclass(frozen=True, slots=True)
class Holiday:
    date: date
    name: str
    source: str


ALL = (
    select(t.c.date, t.c.name, t.c.source)
    .where(t.c.workspace_id == bindparam("workspace_id"), t.c.date >= bindparam("first"))
    .order_by(t.c.date)
)
_put = insert(t)
PUT = _put.on_conflict_do_update(
    index_elements=[t.c.workspace_id, t.c.date],
    set_={"name": _put.excluded.name, "source": _put.excluded.source},
)
# What the workspace decided about a day stands before what the library says of it.
PUT_COUNTRY = _put.on_conflict_do_update(
    index_elements=[t.c.workspace_id, t.c.date],
    set_={"name": _put.excluded.name},
    where=t.c.source == COUNTRY,
)
REMOVE = delete(t).where(t.c.workspace_id == bindparam("of_workspace_id"), t.c.date == bindparam("of_date"))


def all_from(tx: Connection, workspace_id: int, first: date) -> list[Holiday]:
    """What is known of the days from `first` on, days that are worked among them."""
    return [Holiday(*row) for row in tx.execute(ALL, {"workspace_id": workspace_id, "first": first})]


def put(tx: Connection, workspace_id: int, holiday: Holiday) -> None:
    tx.execute(
        PUT,
        {"workspace_id": workspace_id, "date": holiday.date, "name": holiday.name, "source": holiday.source},
    )


def put_country(tx: Connection, workspace_id: int, wanted: Mapping[date, str]) -> None:
    """Take over what the library says."""
    rows = [
        {"workspace_id": workspace_id, "date": day, "name": name, "source": COUNTRY} for day, name in wanted.items()
    ]
    if rows:
        tx.execute(PUT_COUNTRY, rows)


def remove(tx: Connection, workspace_id: int, day: date) -> bool:
    return tx.execute(REMOVE, {"of_workspace_id": workspace_id, "of_date": day}).rowcount == 1
