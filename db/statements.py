"""Statements are Core constants, compiled once a dialect; on a writer's connection they go straight to the driver.

SQLAlchemy's own execution costs several times what the database needs for these small statements
(docs/decisions/0003): here a statement keeps its SQL text and the conversions of its parameters and
columns. Anywhere else (readers, tests) it is executed the ordinary way, with equal results.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

DRIVER = "rollcall_driver"  # in a connection's info: what takes SQL directly, a sqlite3.Connection or a Cursor

COUNTING = {"preserve_rowcount": True}  # also of an INSERT that returns what it inserted

Convert = Callable[[Any], Any]
Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Direct:
    """A statement as one driver takes it: the text, how each parameter and each column is converted."""

    sql: str
    fixed: dict[str, Any]
    parameters: tuple[tuple[str, Convert | None], ...]
    columns: tuple[tuple[int, Convert], ...]

    def bind(self, params: Params) -> list[Any]:
        fixed = self.fixed
        return [
            convert(params[name] if name in params else fixed[name])
            if convert
            else (params[name] if name in params else fixed[name])
            for name, convert in self.parameters
        ]

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

    def run_many(self, tx: Connection, params: Iterable[Params]) -> None:
        """Once for each of these."""
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
        parameters = tuple(
            (name, compiled.binds[name].type.dialect_impl(dialect).bind_processor(dialect))
            for name in compiled.positiontup or ()
        )
        columns = tuple(
            (index, convert)
            for index, column in enumerate(compiled._result_columns)  # noqa: SLF001 - a test compares both ways
            if (convert := column.type.dialect_impl(dialect).result_processor(dialect, None))
        )
        direct = _Direct(str(compiled), dict(compiled.params), parameters, columns)
        self._direct[dialect.name] = direct
        return direct


class Cursor:
    """The one cursor of a PostgreSQL connection; what it raises is what SQLAlchemy would have raised."""

    __slots__ = ("_cursor", "_dialect", "_error")

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._error: type[Exception] = dialect.loaded_dbapi.Error

    def execute(self, sql: str, params: Sequence[Any] | None = None) -> Any:
        try:
            return self._cursor.execute(sql, params)
        except self._error as error:
            raise self._named(error) from error

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            self._cursor.executemany(sql, rows)
        except self._error as error:
            raise self._named(error) from error

    def _named(self, error: Exception) -> BaseException:
        withhold_rows(error)
        named: BaseException = DBAPIError.instance(
            None, None, error, self._error, hide_parameters=True, dialect=self._dialect
        )
        return named


def withhold_rows(error: Any) -> None:
    """PostgreSQL's DETAIL quotes the row that broke a constraint: an error's text is logged, addresses are not."""
    if primary := error.diag.message_primary:
        error.args = (primary,)


def go_direct(tx: Connection) -> None:
    """Let statements on this connection go straight to its driver."""
    raw: Any = tx.connection.driver_connection
    tx.info[DRIVER] = raw if tx.dialect.name == "sqlite" else Cursor(raw.cursor(), tx.dialect)
