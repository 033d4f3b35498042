"""On PostgreSQL too the hot statements use an index, whatever the size (S1.9)."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event

from db.database import transaction
from tests.databases import new_database
from tests.db.test_plans import HOT, Look, Over
from tests.postgres_databases import drop

pytestmark = pytest.mark.postgresql_only("plans in PostgreSQL's words; test_plans.py has SQLite's")

FILL = """
INSERT INTO users (clerk_id, email, name, slack_user_id, notion_person_id, role, status, created_at, updated_at)
 SELECT 'user_'||n, n||'@example.com', 'N', 'U'||n, 'n'||n, 'member', 'active', 0, 0 FROM generate_series(1, 9999) n;
INSERT INTO identities (provider, external_id, user_id, email, email_verified, version, data)
 SELECT 'clerk', 'user_'||id, id, email, true, '1', '{}' FROM users;
INSERT INTO user_data (user_id, key, value) SELECT id, 'signup_source', '1' FROM users;
INSERT INTO workspace_members (workspace_id, user_id, rotation) SELECT 1, id, 'R'||mod(id, 97) FROM users;
INSERT INTO webhook_events (source, event_id, type, status, received_at, body, attempts, waiting_for, available_at)
 SELECT 'clerk', 'msg_'||n, 'x', CASE mod(n, 50) WHEN 0 THEN 'failed' ELSE 'applied' END, 0, 'x', 0,
 CASE mod(n, 50) WHEN 1 THEN 'w'||n END, CASE mod(n, 50) WHEN 0 THEN n END FROM generate_series(1, 9999) n;
INSERT INTO sync_actions (workspace_id, sink, key, generation, status, attempts, available_at, marked_at)
 SELECT 1, CASE mod(n, 50) WHEN 0 THEN 'notion' ELSE 'slack' END, 'person:'||n, 1,
 CASE mod(n, 20) WHEN 0 THEN 'due' ELSE 'settled' END, 0, n, n FROM generate_series(1, 9999) n;
INSERT INTO sync_status (workspace_id, sink, key) SELECT 1, 'notion', 'person:'||n FROM generate_series(1, 9999) n;
INSERT INTO sync_logs (workspace_id, sink, key, generation, attempt, at, duration_ms, operation, outcome)
 SELECT 1, 'notion', 'person:'||n, 1, 1, n, 1, 'update', 'delivered' FROM generate_series(1, 9999) n;
INSERT INTO oncall_schedule (workspace_id, date, rotation, user_id, name, starts_at, ends_at, run_id, pinned, reason)
 SELECT 1, date '2010-01-01' + n / 3, (ARRAY['AM', 'Core', 'PM'])[1 + mod(n, 3)], 1 + mod(n, 99), 'N', n, n + 1, 'r',
 false, '{}' FROM generate_series(1, 20000) n;
INSERT INTO oncall_schedule_overrides (workspace_id, date, rotation, user_id, name, reason, created_at)
 SELECT 1, date, rotation, 1 + mod(starts_at, 97), 'N', '', 0 FROM oncall_schedule WHERE mod(starts_at, 4) = 0;
INSERT INTO oncall_feeds (workspace_id, user_id, token_hash, created_at)
 SELECT 1, id, 'hash'||id, 0 FROM users;
ANALYZE
"""
# A row an integration; a few thousand overrides, which are read whole where many are wanted: a scan is right.
SMALL = {"one gate", "who comes next", "shifts of a person", "erasure of a person's shifts"}


@pytest.fixture(scope="module")
def crowded(database_kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = new_database(tmp_path_factory.mktemp("crowded"), database_kind)
    with transaction(url) as tx:
        for statement in FILL.split(";"):
            tx.exec_driver_sql(statement)
    yield url
    drop(url)


@pytest.fixture
def crowd(crowded: str) -> Iterator[Connection]:
    with contextlib.suppress(Over), transaction(crowded) as tx:
        yield tx
        raise Over


def plans(tx: Connection, look: Look) -> list[str]:
    found: list[str] = []

    def explain(tx: Connection, _cursor: object, sql: str, parameters: Any, _context: object, _many: bool) -> None:
        raw: Any = tx.connection.driver_connection
        found.extend(row[0] for row in raw.execute(f"EXPLAIN {sql}", parameters).fetchall())

    event.listen(tx, "before_cursor_execute", explain)
    look(tx)
    event.remove(tx, "before_cursor_execute", explain)
    assert found
    return found


@pytest.mark.parametrize("name", sorted(HOT.keys() - SMALL))
def test_a_hot_statement_scans_no_table(crowd: Connection, name: str) -> None:
    steps = plans(crowd, HOT[name][0])
    assert not [step for step in steps if "Seq Scan" in step], steps
