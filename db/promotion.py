"""A whole database copied into another, row by row, and both compared: from SQLite to PostgreSQL."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, select, text

from db.json import to_json
from db.tables import metadata, workspaces

AT_ONCE = 500  # rows in memory
CLOSED = ("webhook_events", "sync_actions")  # without these nothing comes in and nothing goes out
SEQUENCE = text("SELECT pg_get_serial_sequence(:table, 'id')")
SET_SEQUENCE = text("SELECT setval(CAST(:sequence AS regclass), :last, :used)")
LAST_GIVEN = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
# Reading the other database takes its time; this transaction is not to be taken for a dead one.
PATIENCE = "SET LOCAL idle_in_transaction_session_timeout = 0"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows a table has, and a hash of all of them in the order of their keys."""

    rows: int
    digest: str


def filled(tx: Connection) -> list[str]:
    """The tables that hold anything but what a migration puts there (the first workspace)."""
    found = []
    for table in metadata.sorted_tables:
        most = 1 if table is workspaces else 0
        if tx.execute(select(func.count()).select_from(table)).scalar_one() > most:
            found.append(table.name)
    return found


def copy_all(source: Connection, target: Connection, told: Callable[[str, int], None]) -> None:
    """Every table, parents first; `told` hears the name and the rows so far."""
    target.exec_driver_sql(PATIENCE)
    target.execute(delete(workspaces))
    for table in metadata.sorted_tables:
        count = 0
        put = insert(table)
        for rows in _batches(source, table):
            target.execute(put, [dict(row._mapping) for row in rows])  # noqa: SLF001 - SQLAlchemy's public name
            count += len(rows)
            told(table.name, count)


def count_all(tx: Connection) -> dict[str, Counted]:
    return {table.name: _count(tx, table) for table in metadata.sorted_tables}


def go_on_counting(source: Connection, target: Connection) -> None:
    """Row ids are counted up from where the source had come to, also past rows that are deleted since."""
    for table in metadata.sorted_tables:
        key = list(table.primary_key)
        if len(key) != 1 or key[0].name != "id":
            continue
        sequence = target.execute(SEQUENCE, {"table": table.name}).scalar()
        highest = target.execute(select(func.max(key[0]))).scalar() or 0
        given = source.execute(LAST_GIVEN, {"table": table.name}).scalar() or 0
        last = max(highest, given)
        target.execute(SET_SEQUENCE, {"sequence": sequence, "last": max(last, 1), "used": last > 0})


def close(tx: Connection, revision: str) -> None:
    """Nobody can write here any more: a service that still runs on it answers 503, one that is started says why."""
    for name in CLOSED:
        tx.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {name}_moved")
    tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def reopen(tx: Connection, revision: str) -> None:
    for name in CLOSED:
        tx.exec_driver_sql(f"ALTER TABLE {name}_moved RENAME TO {name}")
    tx.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def _batches(tx: Connection, table: Table) -> Iterator[Sequence[Any]]:
    rows = tx.execute(select(table).order_by(*table.primary_key).execution_options(yield_per=AT_ONCE))
    yield from rows.partitions()


def _count(tx: Connection, table: Table) -> Counted:
    seen, count = sha256(), 0
    for rows in _batches(tx, table):
        for row in rows:
            seen.update(to_json([_plain(value) for value in row]).encode())
            count += 1
    return Counted(count, seen.hexdigest())


def _plain(value: Any) -> Any:
    """Equal values of the two databases as equal text."""
    if isinstance(value, bytes | memoryview):
        return sha256(value).hexdigest()
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return value
