"""The writer's road to PostgreSQL: many statements go out together, and all their answers come back together.

This drives libpq as psycopg wraps it (`psycopg.pq`), with psycopg's own conversions of values: its cursors take
several times what these small statements cost the server. The connection stays psycopg's, and between two exchanges
it is in no special state, so SQLAlchemy may use it as well.
"""

import itertools
import re
import select
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import abc
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

NUMBERS = itertools.count()  # for names that no connection had before
OUTDATED = ("0A000", "26000")  # a table was changed under a prepared statement; somebody had it forgotten
LOOK_MS = 1_000  # what TLS has taken in already does not make a socket readable
PLACEHOLDER = re.compile(r"%[s%]")  # as SQLAlchemy writes it for psycopg


class Query:
    """One statement with its values, and the answer once it was exchanged."""

    __slots__ = ("_adapt", "formats", "result", "sql", "values")

    def __init__(self, adapt: abc.Transformer, sql: str, params: Sequence[Any]) -> None:
        self._adapt = adapt
        self.sql = sql
        self.values: Sequence[Any] = ()
        self.formats: Sequence[Any] | None = None
        self.result: PGresult | None = None
        if params:
            forms = [PyFormat.BINARY if type(value) is bytes else PyFormat.TEXT for value in params]
            self.values = adapt.dump_sequence(params, forms)
            self.formats = adapt.formats

    def fetchall(self) -> list[tuple[Any, ...]]:
        assert self.result is not None
        self._adapt.set_pgresult(self.result)
        return self._adapt.load_rows(0, self.result.ntuples, tuple)

    def fetchone(self) -> tuple[Any, ...] | None:
        rows = self.fetchall()
        return rows[0] if rows else None

    @property
    def rowcount(self) -> int:
        assert self.result is not None
        return self.result.command_tuples or 0


class Wire:
    """One connection. What it raises is psycopg's."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self._libpq = raw.pgconn
        self._encoding = raw.info.encoding
        self._adapt: abc.Transformer = Transformer(raw)
        self._prepared: dict[str, bytes] = {}
        self._readable, self._both = select.poll(), select.poll()
        self._readable.register(raw.fileno(), select.POLLIN)
        self._both.register(raw.fileno(), select.POLLIN | select.POLLOUT)

    def query(self, sql: str, params: Sequence[Any] = ()) -> Query:
        """To be exchanged. Raises if a value cannot be sent at all."""
        return Query(self._adapt, sql, params)

    def exchange(self, queries: Sequence[Query]) -> None:
        """Run them in order; behind one that fails none is run, and its error is raised.

        A connection that breaks meanwhile is closed, so that nobody takes what comes for another answer.
        """
        names = [self._prepare(query.sql) for query in queries]
        libpq, over = self._libpq, False
        try:
            libpq.enter_pipeline_mode()
            for name, query in zip(names, queries, strict=True):
                libpq.send_query_prepared(name, query.values, query.formats)
            libpq.pipeline_sync()
            results = self._answers()
            libpq.exit_pipeline_mode()
            over = True
        finally:
            if not over:
                libpq.finish()
        for query, result in zip(queries, results, strict=False):
            if result.status == ExecStatus.FATAL_ERROR:
                raise self._error(result)
            query.result = result

    def _prepare(self, sql: str) -> bytes:
        """Its name on the server: there it is parsed once. Types are the server's to infer, or said by a cast."""
        name = self._prepared.get(sql)
        if name is None:
            name = b"rollcall_%d" % next(NUMBERS)
            result = self._libpq.prepare(name, _numbered(sql).encode())
            if result.status != ExecStatus.COMMAND_OK:
                raise self._error(result)
            self._prepared[sql] = name
        return name

    def _error(self, result: PGresult) -> psycopg.Error:
        if result.error_field(DiagnosticField.SQLSTATE) is None:  # libpq's own: it did not reach the server, or back
            return psycopg.OperationalError(result.error_message.decode(self._encoding, "replace").strip())
        error = error_from_result(result, self._encoding)
        if error.sqlstate in OUTDATED:
            self._prepared.clear()
        return error

    def _answers(self) -> list[PGresult]:
        """One for each statement, up to where the server says that it has done them all."""
        libpq = self._libpq
        results: list[PGresult] = []
        while True:
            unsent = libpq.flush()
            (self._both if unsent else self._readable).poll(LOOK_MS)
            libpq.consume_input()
            while not libpq.is_busy():
                result = libpq.get_result()
                if result is None:
                    if libpq.status != ConnStatus.OK:
                        raise self._broken(results)
                elif result.status == ExecStatus.PIPELINE_SYNC:
                    return results
                else:
                    results.append(result)

    def _broken(self, results: list[PGresult]) -> psycopg.Error:
        """What the server said last, if it said why."""
        if results and results[-1].status == ExecStatus.FATAL_ERROR:
            return self._error(results[-1])
        return psycopg.OperationalError("the connection is lost")


def _numbered(sql: str) -> str:
    """As the server takes it: `$1`, `$2` for the placeholders, in order."""
    count = 0

    def number(found: re.Match[str]) -> str:
        nonlocal count
        if found.group() == "%%":
            return "%"
        count += 1
        return f"${count}"

    return PLACEHOLDER.sub(number, sql)
