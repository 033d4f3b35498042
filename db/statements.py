"""Statements are Core constants, compiled once a dialect; on a writer's connection they go straight to the driver.

SQLAlchemy's own execution costs several times what the database needs for these small statements
(docs/decisions/0003): here a statement keeps its SQL text and the conversions of its parameters and
columns. Anywhere else (readers, tests) it is executed the ordinary way, with equal results.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Executable, Table, bindparam, update
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    from db.postgres_abreast import Abreast

DRIVER = "rollcall_driver"  # in a connection's info: the one cursor that takes SQL directly

COUNTING = {"preserve_rowcount": True}  # also of an INSERT that returns what it inserted

Convert = Callable[[Any], Any]
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Direct:
    """A statement as one driver takes it: the text, how each parameter and each column is converted."""

    sql: str
    fixed: dict[str, Any]  # parameters that the statement itself gives
    pick: Callable[[Params], tuple[Any, ...]]
    conversions: tuple[tuple[int, Convert], ...]
    columns: tuple[tuple[int, Convert], ...]

    def bind(self, params: Params) -> Sequence[Any]:
        picked = self.pick({**self.fixed, **params} if self.fixed else params)
        if not self.conversions:
            return picked
        values = list(picked)
        for index, convert in self.conversions:
            values[index] = convert(values[index])
        return values

    def read(self, rows: list[Any]) -> list[Any]:
        if not self.columns:
            return rows
        read = []
        for row in rows:
            values = list(row)
            for index, convert in self.columns:
                values[index] = convert(values[index])
            read.append(tuple(values))
        return read


class Statement:
    """One statement and the ways to run it. `columns`: what an INSERT fills, where its values do not say so."""

    __slots__ = ("_columns", "_direct", "core")

    def __init__(self, core: Executable, columns: Sequence[str] | None = None) -> None:
        self.core = core
        self._columns = columns
        self._direct: dict[str, _Direct] = {}

    def rows(self, tx: Connection, params: Params) -> list[Any]:
        """All rows, as tuples."""
        driver = tx.info.get(DRIVER)
        if driver is None:
            return [tuple(row) for row in tx.execute(self.core, params)]
        direct = self._direct.get(tx.dialect.name) or self._compile(tx.dialect)
        return direct.read(driver.execute(direct.sql, direct.bind(params)).fetchall())

    def first(self, tx: Connection, params: Params) -> Any:
        """The first row, or None."""
        rows = self.rows(tx, params)
        return rows[0] if rows else None

    def scalar(self, tx: Connection, params: Params) -> Any:
        """The first column of the first row, or None."""
        rows = self.rows(tx, params)
        return rows[0][0] if rows else None

    def run(self, tx: Connection, params: Params) -> int:
        """How many rows were changed."""
        driver = tx.info.get(DRIVER)
        if driver is None:
            return tx.execute(self.core, params, execution_options=COUNTING).rowcount
        direct = self._direct.get(tx.dialect.name) or self._compile(tx.dialect)
        changed: int = driver.execute(direct.sql, direct.bind(params)).rowcount
        return changed

    def send(self, tx: Connection, params: Params) -> None:
        """Where nobody asks what came of it: PostgreSQL hears of it with the next statement that is asked something,
        and an error of it is raised there, or by `flush`, or by COMMIT.
        """
        driver = tx.info.get(DRIVER)
        if driver is None:
            tx.execute(self.core, params)
            return
        direct = self._direct.get(tx.dialect.name) or self._compile(tx.dialect)
        driver.send(direct.sql, direct.bind(params))

    def insert(self, tx: Connection, params: Params) -> int:
        """The id of the row that was inserted. (RETURNING would cost SQLite as much again.)"""
        driver = tx.info.get(DRIVER)
        if driver is None:
            inserted = tx.execute(self.core, params).inserted_primary_key
            assert inserted is not None
            return int(inserted[0])
        direct = self._direct.get(tx.dialect.name) or self._compile(tx.dialect)
        cursor = driver.execute(direct.sql, direct.bind(params))
        row_id: int = cursor.lastrowid if tx.dialect.name == "sqlite" else cursor.fetchone()[0]
        return row_id

    def send_many(self, tx: Connection, params: Iterable[Params]) -> None:
        """Once for each of these; as `send`."""
        rows = list(params)
        driver = tx.info.get(DRIVER)
        if driver is None:
            if rows:
                tx.execute(self.core, rows)
            return
        direct = self._direct.get(tx.dialect.name) or self._compile(tx.dialect)
        driver.executemany(direct.sql, [direct.bind(row) for row in rows])

    def _compile(self, dialect: Dialect) -> _Direct:
        compiled = self.core.compile(  # type: ignore[attr-defined]
            dialect=dialect, column_keys=self._columns, compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        names = compiled.positiontup or []
        binds = [compiled.binds[name] for name in names]
        conversions = [bind.type.dialect_impl(dialect).bind_processor(dialect) for bind in binds]
        columns = tuple(
            (index, convert)
            for index, column in enumerate(compiled._result_columns)  # noqa: SLF001 - a test compares both ways
            if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
        )
        direct = _Direct(
            str(compiled),
            {name: bind.value for name, bind in zip(names, binds, strict=True) if not bind.required},
            _picker(names),
            tuple((index, convert) for index, convert in enumerate(conversions) if convert),
            columns,
        )
        self._direct[dialect.name] = direct
        return direct


def _picker(names: Sequence[str]) -> Callable[[Params], tuple[Any, ...]]:
    """Takes these out of a mapping, in this order. KeyError names the one that is missing."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda params: tuple(params[name] for name in names)


class Changes:
    """UPDATEs of one row that name just the columns that differ: the indexes of all others are left alone.

    A column's new value is the parameter `new_<column>`.
    """

    __slots__ = ("_made", "_table", "_which")

    def __init__(self, table: Table, which: ColumnElement[bool]) -> None:
        self._table = table
        self._which = which
        self._made: dict[tuple[str, ...], Statement] = {}

    def of(self, columns: tuple[str, ...]) -> Statement:
        found = self._made.get(columns)
        if found is None:
            new = {name: bindparam(f"new_{name}", type_=self._table.c[name].type) for name in columns}
            found = self._made[columns] = Statement(update(self._table).where(self._which).values(new))
        return found


class _SqliteCursor(sqlite3.Cursor):
    """What is sent runs at once: there is no way to SQLite that would be worth waiting for company."""

    company = None
    send = sqlite3.Cursor.execute

    def flush(self) -> None:
        """Nothing waits."""

    keep_order = flush

    def forget(self) -> None:
        """Nothing waits."""


def go_direct(tx: Connection) -> None:
    """Let statements on this connection go straight to its driver."""
    raw: Any = tx.connection.driver_connection
    if tx.dialect.name == "sqlite":
        tx.info[DRIVER] = raw.cursor(_SqliteCursor)
        return
    from db.postgres_cursor import Cursor  # noqa: PLC0415 - psycopg takes 70 ms that SQLite need not wait for

    tx.info[DRIVER] = Cursor(raw, tx.dialect)


def flush(tx: Connection) -> None:
    """Have run what was only sent: from here on its errors are behind us (those of a call in company are all's)."""
    if driver := tx.info.get(DRIVER):
        driver.flush()


def keep_order(tx: Connection) -> None:
    """Have run what was only sent, before something that goes another way."""
    if driver := tx.info.get(DRIVER):
        driver.keep_order()


def company(tx: Connection) -> "Abreast | None":
    """Those who run side by side in this transaction, if this call has company."""
    driver = tx.info.get(DRIVER)
    return driver.company if driver else None


def forget(tx: Connection) -> None:
    """Do not run any more what was only sent: it is undone with its transaction or savepoint."""
    if driver := tx.info.get(DRIVER):
        driver.forget()
