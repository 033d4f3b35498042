"""The databases of the tests' PostgreSQL: each test gets a migrated one to itself.

Copying one takes a tenth of a second, so one whose schema nobody touched is emptied and used again; and a new
connection takes longer than what most tests do on it, so one to each is kept.
"""

import atexit
import contextlib
import functools
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import SQLAlchemyError

import migrations
from db.database import place
from db.tables import metadata
from tests.postgres import server_url

OTHERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
# Everything by name, a trigger and a function too; of a table its columns; and the revision.
FINGERPRINT = """
SELECT 'class', relname::text, relnatts::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
UNION ALL SELECT 'trigger', tgname::text, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname::text, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'revision', version_num, '' FROM alembic_version
ORDER BY 1, 2, 3
"""
EMPTY = ";".join(
    [
        "BEGIN",
        *(f"DELETE FROM {table}" for table in reversed(metadata.sorted_tables) if table.name != "workspaces"),  # noqa: S608 - ours
        "DELETE FROM workspaces WHERE id <> 1",
        *(f"DELETE FROM procrastinate_{table}" for table in ("periodic_defers", "jobs", "workers")),  # noqa: S608 - its events go with a job
        "SELECT setval(c.oid::regclass, 1, c.relname = 'workspaces_id_seq') FROM pg_class c WHERE c.relkind = 'S'",
        "COMMIT",
    ]
)
_free: list[str] = []
_kept: dict[str, Connection] = {}


@functools.cache
def _template() -> str:
    """A migrated database of this process, to be copied."""
    name = _new_name()
    execute("CREATE DATABASE {}", name)
    url = url_of(name)
    migrations.upgrade(url)
    atexit.register(drop, url)
    return name


def new_database() -> str:
    """The URL of a migrated database of its own."""
    if _free:
        return _free.pop()
    template, name = _template(), _new_name()
    # FILE_COPY would write a checkpoint a database.
    execute("CREATE DATABASE {} TEMPLATE {} STRATEGY WAL_LOG", name, template)
    return url_of(name)


def empty_database() -> str:
    """One that nothing was migrated in yet."""
    name = _new_name()
    execute("CREATE DATABASE {}", name)
    return url_of(name)


def give_back(url: str) -> None:
    """Nobody uses it any more: empty it for the next, or drop it where that would not do."""
    with contextlib.suppress(psycopg.Error):
        raw = _raw(kept(url))
        for (pid,) in raw.execute(OTHERS).fetchall():
            raw.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        if raw.execute(FINGERPRINT).fetchall() == _untouched():
            raw.execute(EMPTY)
            _free.append(url)
            return
    drop(url)


def kept(url: str) -> Connection:
    """A connection to this database that stays; it leaves BEGIN and COMMIT to the caller."""
    found = _kept.get(url)
    if found is None or not _answers(found):
        found = _kept[url] = place(url).writer_engine(timeout_s=30.0).connect()
    return found


def let_go(url: str) -> None:
    """Nobody is connected to this database because of us."""
    if found := _kept.pop(url, None):
        found.invalidate()
        found.close()


def _answers(connection: Connection) -> bool:
    """Whether nobody cut it; tests do."""
    try:
        _raw(connection).execute("SELECT")
    except (psycopg.Error, SQLAlchemyError):
        let_go(url_of(str(connection.engine.url.database)))
        return False
    return True


def _raw(connection: Connection) -> psycopg.Connection[tuple[object, ...]]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    return raw


@functools.cache
def _untouched() -> list[tuple[object, ...]]:
    with psycopg.connect(url_of(_template())) as raw:
        return raw.execute(FINGERPRINT).fetchall()


def drop(url: str) -> None:
    let_go(url)
    with contextlib.suppress(psycopg.Error):
        execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", str(make_url(url).database))


def url_of(name: str) -> str:
    return make_url(server_url()).set(database=name).render_as_string(hide_password=False)


def execute(statement: str, *names: str) -> None:
    with psycopg.connect(server_url().replace("+psycopg", ""), autocommit=True) as raw:
        raw.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _new_name() -> str:
    return f"rollcall_{uuid4().hex}"
