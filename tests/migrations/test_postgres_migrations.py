"""On PostgreSQL the same versions lead to the same tables: up, down, up; all or nothing; one process at a time."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

import migrations
from db.database import transaction
from db.tables import metadata
from tests import postgres_databases
from tests.databases import POSTGRESQL, empty_database

REVISIONS = sorted(file.name[:3] for file in migrations.HERE.glob("versions/[0-9]*.py"))
CATALOG = """
SELECT 'column', c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' '
       || coalesce(l.collname, '') || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version'
UNION ALL
SELECT 'constraint', conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' AND contype <> 'n'
UNION ALL
SELECT 'index', indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
ORDER BY 1, 2
"""
QUEUE = "procrastinate_"  # the job queue's tables are its package's, and declared there: test_queue.py compares them
MIGRATE = "import migrations, sys; migrations.upgrade(sys.argv[1])"

pytestmark = pytest.mark.postgresql_only("its catalog; test_migrations.py has SQLite's")


@pytest.fixture
def url(database_kind: str, tmp_path: Path) -> Iterator[str]:
    url = empty_database(tmp_path, database_kind)
    yield url
    postgres_databases.drop(url)


def catalog(url: str) -> list[tuple[str, ...]]:
    with transaction(url) as tx:
        return [tuple(row) for row in tx.exec_driver_sql(CATALOG)]


def current(url: str) -> str | None:
    with transaction(url) as tx:
        return migrations.current(tx)


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or not str(name).startswith(QUEUE)


def test_the_migrated_schema_is_what_the_tables_declare(url: str, tmp_path: Path) -> None:
    migrations.upgrade(url)
    with transaction(url) as tx:
        options = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
        assert compare_metadata(MigrationContext.configure(tx, opts=options), metadata) == []
    declared = empty_database(tmp_path, POSTGRESQL)
    with transaction(declared) as tx:
        metadata.create_all(tx)
    assert [line for line in catalog(url) if QUEUE not in line[1]] == catalog(declared)
    assert sum("CHECK" in line for _, line in catalog(url)) >= 6
    assert sum(" WHERE " in line for _, line in catalog(url)) >= 4
    postgres_databases.drop(declared)


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_revision_can_be_taken_back_to_what_was_before(url: str, revision: str) -> None:
    at_first = REVISIONS.index(revision)
    before = REVISIONS[at_first - 1] if at_first else migrations.FIRST
    if before != migrations.FIRST:
        migrations.upgrade(url, before)
    once = catalog(url)
    migrations.upgrade(url, revision)
    again = catalog(url)
    assert current(url) == revision
    migrations.downgrade(url, before)
    assert catalog(url) == once
    migrations.upgrade(url, revision)
    assert catalog(url) == again != once


def test_a_failing_migration_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        real(*_args)
        raise ZeroDivisionError

    real = command.upgrade
    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(ZeroDivisionError):
        migrations.upgrade(url)
    assert catalog(url) == []
    assert current(url) is None


async def test_two_processes_that_migrate_at_once_both_succeed(url: str) -> None:
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", MIGRATE, url, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in started:
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
    assert current(url) == migrations.head()


def test_the_next_workspace_gets_an_id_of_its_own(url: str) -> None:
    migrations.upgrade(url)

    def add(tx: Connection) -> int:
        sql = "INSERT INTO workspaces (slug, name, created_at) VALUES ('x', 'X', 0) RETURNING id"
        return int(tx.exec_driver_sql(sql).scalar_one())

    with transaction(url) as tx:
        assert add(tx) == 2
