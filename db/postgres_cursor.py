"""How statements reach PostgreSQL: those nobody asks anything of wait for the next that is asked, and go with it.

A round trip costs more than the statement it carries. Within a transaction the server works through what it is
sent in order, so nothing is seen differently; only an error comes later, with the next answer, and before COMMIT.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError

Params = Sequence[Any] | None


class Cursor:
    """The writer's way to one connection; what it raises is what SQLAlchemy would have raised."""

    __slots__ = ("_aside", "_cursor", "_dialect", "_raw", "failed", "waiting")

    def __init__(self, raw: psycopg.Connection[Any], dialect: Dialect) -> None:
        self._raw = raw
        self._dialect = dialect
        self._cursor = raw.cursor()
        self._aside = raw.cursor()  # whose results nobody reads
        self.waiting: list[tuple[str, Params]] = []
        self.failed = False  # something that waited did not run: what follows must not be committed

    def execute(self, sql: str, params: Params = None) -> Any:
        """Run it after all that waits; returns the cursor that has its rows."""
        try:
            if not self.waiting:
                return self._cursor.execute(sql, params)
            with self._raw.pipeline():
                self._send()
                self._cursor.execute(sql, params)
        except psycopg.Error as error:
            raise self._named(error) from error
        self.failed = False
        return self._cursor

    def begins_with(self, sql: str) -> bool:
        """Whether this is the first of what waits: nothing of it, nor after it, has run."""
        return self.waiting[:1] == [(sql, None)]

    def send(self, sql: str, params: Params = None) -> None:
        """Let it wait for the next that is asked something, or for `flush`."""
        self.waiting.append((sql, params))

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.waiting += [(sql, row) for row in rows]

    def flush(self) -> None:
        """Run what waits."""
        if not self.waiting:
            return
        try:
            with self._raw.pipeline():
                self._send()
        except psycopg.Error as error:
            raise self._named(error) from error
        self.failed = False

    def forget(self) -> None:
        """Its transaction, or savepoint, is undone."""
        self.waiting = []
        self.failed = False

    def _send(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.failed = True  # until all of it ran
        for sql, params in waiting:
            self._aside.execute(sql, params)

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
