"""What many tests begin with: filled in once a process, then copied into the new database of each of them."""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.sql import SQL, Identifier

from db.database import database_file
from db.tables import metadata

T = TypeVar("T")
TABLES = [Identifier(table.name) for table in metadata.sorted_tables]  # each after those it refers to
COUNTERS = "SELECT format('%I', sequencename), last_value FROM pg_sequences WHERE last_value IS NOT NULL"
_known: dict[tuple[str, bool], tuple[Any, Any]] = {}


def filled(url: str, name: str, fill: Callable[[str], T]) -> T:
    """Have `url`, a migrated and empty database that nobody has open, hold what `fill(url)` puts there.

    Returns what `fill` returned when it was called for this name, the first time.
    """
    file = database_file(url)
    if (name, file is None) not in _known:
        made = fill(url)
        _known[name, file is None] = made, file.read_bytes() if file else _taken(url)
        return made
    made, held = _known[name, file is None]
    if file:
        file.write_bytes(held)
    else:
        _put(url, *held)
    return made  # type: ignore[no-any-return]


def _taken(url: str) -> tuple[list[bytes], list[tuple[str, int]]]:
    """The rows of each table, as PostgreSQL copies them, and where its counters stand."""
    tables = []
    with psycopg.connect(url, autocommit=True) as raw:
        for table in TABLES:
            with raw.cursor().copy(SQL("COPY {} TO STDOUT (FORMAT binary)").format(table)) as out:
                tables.append(b"".join(map(bytes, out)))
        return tables, raw.execute(COUNTERS).fetchall()


def _put(url: str, tables: list[bytes], counters: list[tuple[str, int]]) -> None:
    empty = min(map(len, tables))  # a header and an end
    with psycopg.connect(url) as raw:
        raw.execute("DELETE FROM workspaces")  # the one that migrations make comes with the others
        for table, rows in zip(TABLES, tables, strict=True):
            if len(rows) > empty:
                with raw.cursor().copy(SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)) as into:
                    into.write(rows)
        for name, value in counters:
            raw.execute("SELECT setval(%s::regclass, %s)", (name, value))
