"""Statements are Core constants, compiled once; on the writer's connection they go straight to the driver.

SQLAlchemy's own execution costs several times what SQLite needs for these small statements
(docs/decisions/0003): here a statement keeps its SQL text and the conversions of its parameters and
columns. Anywhere else (readers, tests, other databases) it is executed the ordinary way, with equal results.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from db.json import from_json, to_json

DRIVER = "rollcall_driver"  # in a connection's info: its sqlite3.Connection, to be used directly

Convert = Callable[[Any], Any]
Params = Mapping[str, Any]

_DIALECT: Dialect = sqlite.dialect(paramstyle="qmark", json_serializer=to_json, json_deserializer=from_json)


@dataclass(frozen=True, slots=True)
class _Direct:
    """A statement as sqlite3 takes it: the text, how each parameter and each column is converted."""

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
        self._direct: _Direct | None = None

    def rows(self, tx: Connection, params: Params) -> list[Any]:
        """All rows, as tuples."""
        driver = tx.info.get(DRIVER)
        if driver is None:
            return [tuple(row) for row in tx.execute(self.core, params)]
        direct = self._direct or self._compile()
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
            return tx.execute(self.core, params).rowcount
        direct = self._direct or self._compile()
        changed: int = driver.execute(direct.sql, direct.bind(params)).rowcount
        return changed

    def insert(self, tx: Connection, params: Params) -> int:
        """The id of the row that was inserted. (RETURNING would cost SQLite as much as the insert.)"""
        driver = tx.info.get(DRIVER)
        if driver is None:
            inserted = tx.execute(self.core, params).inserted_primary_key
            assert inserted is not None
            return int(inserted[0])
        direct = self._direct or self._compile()
        row_id: int = driver.execute(direct.sql, direct.bind(params)).lastrowid
        return row_id

    def run_many(self, tx: Connection, params: Iterable[Params]) -> None:
        """Once for each of these."""
        rows = list(params)
        driver = tx.info.get(DRIVER)
        if driver is None:
            if rows:
                tx.execute(self.core, rows)
            return
        direct = self._direct or self._compile()
        driver.executemany(direct.sql, [direct.bind(row) for row in rows])

    def _compile(self) -> _Direct:
        compiled = self.core.compile(  # type: ignore[attr-defined]
            dialect=_DIALECT, column_keys=self._columns, compile_kwargs={"render_postcompile": True}
        )
        assert isinstance(compiled, SQLCompiler)
        names = compiled.positiontup or []
        binds = [compiled.binds[name] for name in names]
        conversions = [bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT) for bind in binds]
        columns = tuple(
            (index, convert)
            for index, column in enumerate(compiled._result_columns)  # noqa: SLF001 - a test compares both ways
            if (convert := column.type.dialect_impl(_DIALECT).result_processor(_DIALECT, None))
        )
        self._direct = _Direct(
            str(compiled),
            {name: bind.value for name, bind in zip(names, binds, strict=True) if not bind.required},
            _picker(names),
            tuple((index, convert) for index, convert in enumerate(conversions) if convert),
            columns,
        )
        return self._direct


def _picker(names: Sequence[str]) -> Callable[[Params], tuple[Any, ...]]:
    """Takes these out of a mapping, in this order. KeyError names the one that is missing."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda params: tuple(params[name] for name in names)


def go_direct(tx: Connection) -> None:
    """Let statements on this connection go straight to its driver."""
    driver = tx.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    tx.info[DRIVER] = driver
