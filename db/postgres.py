"""How Rollcall opens a PostgreSQL database: durable, nothing waited for without end, transactions begun by us alone."""

from dataclasses import dataclass
from typing import Any

import psycopg
from greenlet import GreenletExit
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db import statements
from db.errors import WRITE_POSTGRESQL, WrongDatabase
from db.json import from_json, to_json
from db.postgres_cursor import withhold_rows

READERS = 4
READER_WAIT_S = 2.0  # for one of them to be free
READ_TIMEOUT_S = 30.0  # one statement of a read
ORPHAN_TIMEOUT_S = 30.0  # a transaction whose process fell silent lets go of its locks after this
CONNECT_TIMEOUT_S = 2

# What libpq may wait for: a server that is gone without a word is noticed within seconds, not hours.
PATIENCE = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
SETTLE_IN = """
SELECT set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),
       set_config('idle_in_transaction_session_timeout', %s, false),
       set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), false)
"""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One database of a server."""

    url: URL

    @classmethod
    def from_url(cls, url: str) -> "PostgresServer":
        """Accepts `postgresql://` and `postgres://`, with or without a driver suffix; we choose the driver."""
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise WrongDatabase(f"it is no database URL; {WRITE_POSTGRESQL}") from None
        if not parsed.database:
            raise WrongDatabase(f"it must name a database; {WRITE_POSTGRESQL}")
        try:
            make_conninfo("", **_options(parsed))
        except psycopg.ProgrammingError as error:
            raise WrongDatabase(f"after '?': {str(error).strip()}") from None
        return cls(parsed.set(drivername="postgresql+psycopg"))

    @property
    def conninfo(self) -> str:
        """As libpq takes it. It holds the password."""
        about = {"user": self.url.username, "password": self.url.password, "host": self.url.host, "port": self.url.port}
        known = {key: str(value) for key, value in about.items() if value is not None}
        return make_conninfo("", **{**_patience(self.url), **known, "dbname": self.url.database, **_options(self.url)})

    def connect(self, *, statement_s: float, lock_s: float) -> psycopg.Connection[Any]:
        """A raw connection that starts no transaction by itself. 0 s: as long as it takes."""
        raw = psycopg.connect(self.conninfo, autocommit=True)
        try:
            raw.execute(SETTLE_IN, _limits(statement_s, lock_s))
        except psycopg.Error:
            raw.close()
            raise
        return raw

    def writer_engine(self, *, timeout_s: float, statement_s: float = 0.0) -> Engine:
        """An engine whose connections leave BEGIN and COMMIT to the caller; `timeout_s` bounds a wait for a lock."""
        engine = create_engine(
            self.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=_patience(self.url) | {"prepare_threshold": None},  # postgres_wire prepares what is worth it
            hide_parameters=True,  # an error's text is logged; addresses are not
            paramstyle="format",
            json_serializer=to_json,
            json_deserializer=from_json,
            use_native_hstore=False,
        )
        _prepare(engine, statement_s, timeout_s)
        return engine

    def reader_engine(self) -> AsyncEngine:
        """A small pool of connections; `BEGIN … READ ONLY` is for the caller to say."""
        engine = create_async_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            connect_args=_patience(self.url),
            hide_parameters=True,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=READER_WAIT_S,
            json_serializer=to_json,
            json_deserializer=from_json,
            use_native_hstore=False,
        )
        _prepare(engine.sync_engine, READ_TIMEOUT_S, READER_WAIT_S)
        return engine


def _keep_open(context: ExceptionContext) -> None:
    """A call that is ended while it waits for its company has no quarrel with the connection (postgres_abreast)."""
    if isinstance(context.original_exception, GreenletExit):
        context.is_disconnect = False


def _withhold_rows(context: ExceptionContext) -> None:
    said, named = context.original_exception, context.sqlalchemy_exception
    if isinstance(said, psycopg.Error) and isinstance(named, DBAPIError):
        withhold_rows(said)
        named.args = (f"({type(said).__module__}.{type(said).__qualname__}) {said}",)


def _prepare(engine: Engine, statement_s: float, lock_s: float) -> None:
    def settle_in(raw: Any, _record: object) -> None:
        cursor = raw.cursor()
        cursor.execute(SETTLE_IN, _limits(statement_s, lock_s))
        cursor.close()

    def in_order(connection: Connection, *_: object) -> None:
        statements.keep_order(connection)

    event.listen(engine, "connect", settle_in)
    event.listen(engine, "before_cursor_execute", in_order)
    event.listen(engine, "handle_error", _withhold_rows)
    event.listen(engine, "handle_error", _keep_open)


def _patience(url: URL) -> dict[str, Any]:
    return {key: value for key, value in PATIENCE.items() if key not in url.query} | {
        "application_name": url.query.get("application_name", "rollcall")
    }


def _options(url: URL) -> dict[str, str]:
    """What stands after '?': libpq's own names, as far as libpq knows them."""
    return {name: value if isinstance(value, str) else value[-1] for name, value in url.query.items()}


def _limits(statement_s: float, lock_s: float) -> tuple[str, str, str]:
    return tuple(str(round(seconds * 1000)) for seconds in (statement_s, lock_s, ORPHAN_TIMEOUT_S))  # type: ignore[return-value]
