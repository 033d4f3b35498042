"""The schema's history leads up to exactly the declared tables, down again, and never half-way."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

import migrations
from db.database import transaction
from db.tables import metadata

VERSIONS = sorted(migrations.HERE.glob("versions/[0-9]*.py"))
ON_POSTGRESQL_ALONE = {"005": "the job queue's tables: nobody uses that on SQLite"}
REVISIONS = [file.name[:3] for file in VERSIONS]
LINE_ENDS = re.compile(r"\n|, (?=\w+ [A-Z]+)")  # a column that was added later stands in the line of the one before
FILE_NAME = re.compile(r"\d{3}_[a-z_]+\.py")
NEXT = '''"""A migration of this test."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{before}"

def upgrade():
    {up}

def downgrade():
    {down}
'''
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
ADA = "INSERT INTO users (name, role, status, created_at, updated_at) VALUES ('Ada', 'member', 'active', 0, 0)"
AROUND_ADA = [
    "INSERT INTO user_data VALUES (1, 'preferences', '{}')",
    "INSERT INTO workspace_members VALUES (1, 1, 'AM')",
    "INSERT INTO identities VALUES ('clerk', 'user_ada', 1, NULL, 0, '1', '{}', NULL)",
]
COPY_USERS = "with op.batch_alter_table('users', recreate='always') as table: table.add_column(sa.Column('x', sa.Text))"
Schema = dict[str, Any]
Add = Callable[..., None]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/rollcall.db"


@pytest.fixture
def add_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Add:
    """Our migrations, and one more that does this; to be taken up to and down from."""
    here = tmp_path / "migrations"
    shutil.copytree(migrations.HERE, here, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrations, "HERE", here)
    monkeypatch.setattr(migrations, "head", migrations.head.__wrapped__)  # the folder changes while we look

    def add(up: str, down: str = "pass") -> None:
        before = migrations.head()
        revision = f"{int(before) + 1:03}"
        source = NEXT.format(revision=revision, before=before, up=up, down=down)
        (here / "versions" / f"{revision}_of_a_test.py").write_text(source)

    return add


def schema(tx: Connection) -> Schema:
    """Every object by name; a table as the set of its lines, for their order means nothing to SQLite's checks."""
    found = tx.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"))
    return {
        name: sorted(line.strip().rstrip(",") for line in LINE_ENDS.split(sql) if line.strip())
        for name, sql in found
        if name != "alembic_version"
    }


def columns(tx: Connection) -> Schema:
    """Every table's columns in their order."""
    return {table: tx.exec_driver_sql(f"PRAGMA table_info({table})").fetchall() for table in metadata.tables}


def at(url: str, look: Callable[[Connection], Any] = schema) -> Any:
    with transaction(url) as tx:
        return look(tx)


def rows(url: str) -> dict[str, list[Any]]:
    def everything(tx: Connection) -> dict[str, list[Any]]:
        tables = tx.exec_driver_sql(TABLES).scalars().all()
        return {table: list(tx.exec_driver_sql(f"SELECT * FROM {table}")) for table in tables}  # noqa: S608 - ours

    return dict(at(url, everything))


def fill(url: str, *statements: str) -> None:
    with transaction(url) as tx:
        for statement in statements:
            tx.exec_driver_sql(statement)


# --- the same as declared ---


def test_the_migrated_schema_is_what_the_tables_declare(url: str) -> None:
    migrations.upgrade(url)
    with transaction(url) as tx:
        options = {"compare_type": True, "compare_server_default": True}
        assert compare_metadata(MigrationContext.configure(tx, opts=options), metadata) == []


def test_checks_and_partial_indexes_too_to_the_letter(url: str, tmp_path: Path) -> None:
    migrations.upgrade(url)
    declared = f"sqlite:///{tmp_path}/declared.db"
    with transaction(declared) as tx:
        metadata.create_all(tx)
    assert at(url) == at(declared)
    assert at(url, columns) == at(declared, columns)
    sql = str(at(url))
    assert sql.count("CHECK") >= 6
    assert sql.count("WHERE") >= 4


def test_there_is_a_workspace_to_begin_with(url: str) -> None:
    migrations.upgrade(url)
    assert [row[:2] for row in rows(url)["workspaces"]] == [(1, "default")]


# --- up, down, up ---


def test_up_down_and_up_again_is_the_same_schema(url: str) -> None:
    migrations.upgrade(url)
    once = at(url)
    migrations.downgrade(url)
    assert at(url) == {}
    assert at(url, migrations.current) is None
    migrations.upgrade(url)
    assert at(url) == once


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_revision_can_be_taken_back_to_what_was_before(url: str, revision: str) -> None:
    at_first = REVISIONS.index(revision)
    before = REVISIONS[at_first - 1] if at_first else migrations.FIRST
    if before != migrations.FIRST:
        migrations.upgrade(url, before)
    once = at(url)
    migrations.upgrade(url, revision)
    assert at(url, migrations.current) == revision
    assert (at(url) != once) is (revision not in ON_POSTGRESQL_ALONE)
    migrations.downgrade(url, before)
    assert at(url) == once


def test_a_downgrade_keeps_the_rows_of_earlier_tables(url: str) -> None:
    migrations.upgrade(url, "001")
    fill(url, ADA, *AROUND_ADA)
    kept = rows(url)
    migrations.upgrade(url)
    migrations.downgrade(url, "001")
    assert rows(url) == kept


def test_upgrading_twice_changes_nothing(url: str) -> None:
    migrations.upgrade(url)
    fill(url, ADA)
    once = at(url), rows(url)
    migrations.upgrade(url)
    assert (at(url), rows(url)) == once


def test_downgrading_what_was_never_migrated_changes_nothing(url: str) -> None:
    migrations.downgrade(url)
    assert at(url) == {}


def test_current_tells_where_the_database_stands(url: str) -> None:
    assert at(url, migrations.current) is None
    for revision in REVISIONS:
        migrations.upgrade(url, revision)
        assert at(url, migrations.current) == revision
    assert migrations.head() == REVISIONS[-1]


@pytest.mark.parametrize("target", ["sqlite:///rollcall.db", "sqlite:////{folder}/absolute.db"])
def test_migrating_works_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    elsewhere = tmp_path / "100% else where"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    url = target.format(folder=tmp_path)
    migrations.upgrade(url)
    assert at(url, migrations.current) == migrations.head()
    assert [file.suffix for file in elsewhere.iterdir()] in ([".db"], [])


def test_migrating_says_nothing(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    migrations.upgrade(url)
    migrations.downgrade(url)
    assert capfd.readouterr() == ("", "")


# --- never half-way ---


def test_a_failing_migration_leaves_nothing_behind(url: str, add_migration: Add) -> None:
    migrations.upgrade(url)
    fill(url, ADA)
    before = at(url), rows(url)
    add_migration("op.create_table('extra', sa.Column('id', sa.Integer)); op.execute('DELETE FROM users'); 1 / 0")
    with pytest.raises(ZeroDivisionError):
        migrations.upgrade(url)
    assert (at(url), rows(url)) == before


def test_when_one_of_several_fails_none_is_applied(url: str, add_migration: Add) -> None:
    add_migration("op.execute('SELECT no_such_column FROM users')")
    with pytest.raises(Exception, match="no_such_column"):
        migrations.upgrade(url)
    assert at(url) == {}
    assert at(url, migrations.current) is None


def test_a_failing_downgrade_leaves_everything(url: str, add_migration: Add) -> None:
    add_migration("op.create_table('extra', sa.Column('id', sa.Integer))", "op.drop_table('extra'); 1 / 0")
    migrations.upgrade(url)
    before = at(url), rows(url)
    with pytest.raises(ZeroDivisionError):
        migrations.downgrade(url)
    assert (at(url), rows(url)) == before


def test_changing_a_table_others_refer_to_costs_none_of_their_rows(url: str, add_migration: Add) -> None:
    migrations.upgrade(url)
    fill(url, ADA, *AROUND_ADA)
    before = rows(url)
    add_migration(COPY_USERS, "with op.batch_alter_table('users', recreate='always') as table: table.drop_column('x')")
    migrations.upgrade(url)
    changed = rows(url)
    assert [(*row, None) for row in before["users"]] == changed["users"]
    for table in ("user_data", "workspace_members", "identities"):
        assert changed[table] == before[table] != []
    migrations.downgrade(url, REVISIONS[-1])
    assert rows(url) == before


def test_a_migration_that_would_orphan_rows_is_refused(url: str, add_migration: Add) -> None:
    migrations.upgrade(url)
    fill(url, ADA, *AROUND_ADA)
    before = at(url), rows(url)
    add_migration("op.execute('DELETE FROM users')")
    with pytest.raises(RuntimeError, match="identities without its users, user_data without its users"):
        migrations.upgrade(url)
    assert (at(url), rows(url)) == before


def test_after_migrating_foreign_keys_hold_again(url: str) -> None:
    migrations.upgrade(url)
    with transaction(url) as tx, pytest.raises(Exception, match=r"(?i)foreign key"):
        tx.exec_driver_sql(AROUND_ADA[0])


def test_a_locked_file_is_not_migrated(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations.upgrade(url, "001")
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, **{**options, "timeout": 0.05}))
    other = connect(tmp_path / "rollcall.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="locked"):
        migrations.upgrade(url)
    other.close()
    assert at(url, migrations.current) == "001"


# --- house rules ---


@pytest.mark.parametrize("file", [file.name for file in migrations.HERE.glob("versions/*.py")])
def test_a_migration_is_named_number_and_description(file: str) -> None:
    assert FILE_NAME.fullmatch(file)


def test_revisions_are_numbered_without_a_gap_each_after_the_last() -> None:
    assert [f"{number:03}" for number in range(1, len(REVISIONS) + 1)] == REVISIONS
    before = "None"
    for file, revision in zip(VERSIONS, REVISIONS, strict=True):
        source = file.read_text()
        assert f'revision = "{revision}"' in source
        assert f"down_revision = {before}" in source
        before = f'"{revision}"'


# --- what single migrations do to rows that are there ---


def test_events_that_were_here_before_004_get_the_subject_intake_would_have_written(url: str) -> None:
    migrations.upgrade(url, "002")
    bodies = {
        "user": ("clerk", '{"type": "user.updated", "data": {"id": "user_ada"}}'),
        "session": ("clerk", '{"type": "session.ended", "data": {"id": "sess_1", "user_id": "user_bob"}}'),
        "organisation": ("clerk", '{"type": "organization.created", "data": {"id": "org_1"}}'),
        "slack": ("slack", '{"type": "event_callback", "event": {"type": "user_change", "user": {"id": "U1"}}}'),
        "mention": ("slack", '{"type": "event_callback", "event": {"type": "other", "user": "U2"}}'),
        "revoked": ("slack", '{"type": "event_callback", "event": {"type": "tokens_revoked"}}'),
        "malformed": ("clerk", '{"data"'),
        "odd": ("clerk", '{"data": [1]}'),
    }
    into = "INSERT INTO webhook_events (source, event_id, type, status, received_at, body, attempts) VALUES"
    values = [f"('{source}', '{name}', 't', 'applied', 0, '{body}', 0)" for name, (source, body) in bodies.items()]
    fill(url, f"{into} {', '.join(values)}")
    migrations.upgrade(url)
    found = at(url, lambda tx: dict(tx.exec_driver_sql("SELECT event_id, subject FROM webhook_events").all()))
    named = {"user": "user_ada", "session": "user_bob", "slack": "U1", "mention": "U2"}
    assert found == {**dict.fromkeys(bodies), **named}
