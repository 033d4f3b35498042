"""How statements reach PostgreSQL: those nobody asks anything of wait for the next that is asked, and go with it.

A round trip costs more than the statement it carries. Within a transaction the server works through what it is
sent in order, so nothing is seen differently; only an error comes later, with the next answer, and before COMMIT.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

from db.postgres_abreast import Abreast
from db.postgres_wire import Query, Wire


class Cursor:
    """The writer's way to one connection; what it raises is what SQLAlchemy would have raised."""

    __slots__ = ("_abreast", "_dialect", "_waiting", "_wire", "failed")

    def __init__(self, raw: psycopg.Connection[Any], dialect: Dialect) -> None:
        self._dialect = dialect
        self._wire = Wire(raw)
        self._waiting: list[Query] = []
        self._abreast: Abreast | None = None
        self.failed = False  # something did not run: until that is undone nothing is, not even outside a transaction

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Query:
        """Run it after all that waits; what is returned has its rows."""
        query = self._put(sql, params)
        self.keep_order()
        return query

    def send(self, sql: str, params: Sequence[Any] = ()) -> None:
        """Let it wait for the next that is asked something, or for `flush`."""
        self._put(sql, params)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._put(sql, row)

    def begins_with(self, sql: str) -> bool:
        """Whether this is the first of what waits: nothing of it, nor after it, has run."""
        return bool(self._waiting) and self._waiting[0].sql == sql

    def flush(self) -> None:
        """Run what waits, so that its errors are behind us. Abreast there is no need: an error is everybody's."""
        if self._abreast is None:
            self._exchange()

    def keep_order(self) -> None:
        """Run what waits, before whatever is run next."""
        if self._abreast is None:
            self._exchange()
        else:
            self._abreast.ask()

    def forget(self) -> None:
        """Its transaction, or savepoint, is undone."""
        self._waiting = []
        self.failed = False

    # --- calls side by side (postgres_abreast) ---

    @contextmanager
    def abreast(self) -> Iterator[Abreast]:
        """Inside, calls that ask something wait until all of them do; see `Abreast`."""
        self._abreast = Abreast(self._exchange)
        try:
            with self._abreast:
                yield self._abreast
        finally:
            self._abreast = None

    @property
    def company(self) -> Abreast | None:
        """Those who run side by side just now."""
        return self._abreast

    # --- the way out ---

    def _put(self, sql: str, params: Sequence[Any]) -> Query:
        try:
            query = self._wire.query(sql, params)
        except psycopg.Error as error:
            raise self._named(error) from error
        self._waiting.append(query)
        return query

    def _exchange(self) -> None:
        if self.failed:
            raise self._named(psycopg.errors.InFailedSqlTransaction("an earlier statement failed"))
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self.failed = True  # until all of it ran
        try:
            self._wire.exchange(waiting)
        except psycopg.Error as error:
            raise self._named(error) from error
        self.failed = False

    def _named(self, error: psycopg.Error) -> BaseException:
        withhold_rows(error)
        named: BaseException = DBAPIError.instance(
            None, None, error, psycopg.Error, hide_parameters=True, dialect=self._dialect
        )
        return named


def withhold_rows(error: psycopg.Error) -> None:
    """PostgreSQL's DETAIL quotes the row that broke a constraint: an error's text is logged, addresses are not."""
    if primary := error.diag.message_primary:
        error.args = (primary,)
