"""Straight to the driver or through SQLAlchemy: the rows must be the same."""

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, text

import db
from db import inbox, limits, outbox, statements, sync
from db.database import transaction
from db.statements import Statement
from db.sync import Known
from db.tables import metadata
from handlers.clerk import events as clerk
from handlers.registry import Context, Message
from handlers.slack import events as slack
from service.intake import accept
from service.sandbox.story import story
from tests.databases import discard, new_database

NOW = 1_790_000_000_000
CONTEXT = Context(sinks=frozenset({"notion", "slack"}))


def everything(tx: Connection) -> dict[str, list[tuple]]:
    tables = sorted(metadata.tables)
    return {
        table: sorted(map(tuple, tx.execute(text(f"SELECT * FROM {table}")).fetchall()), key=repr)  # noqa: S608 - ours
        for table in tables
    }


@contextmanager
def fresh(folder: Path, kind: str, *, direct: bool) -> Iterator[Connection]:
    url = new_database(folder, kind)
    with transaction(url) as tx:
        if direct:
            statements.go_direct(tx)
        yield tx
    discard(url)


def live_a_day(tx: Connection) -> None:
    sources = {"clerk": clerk.source(()), "slack": slack.source(("x" * 32,))}
    for delivery in story(3, now_ms=NOW, forged=False).deliveries:
        source = sources[delivery.platform]
        message = source.parse(delivery.body, delivery.event_id)
        assert isinstance(message, Message)
        accept(tx, source, message, delivery.body, CONTEXT, NOW)
    outbox.post(tx, 1, "slack", "alert:x", {"text": "é"}, NOW)
    for claim in outbox.claim(tx, "notion", "token", NOW, 5):
        known = Known(f"page-{claim.key}", "hash")
        assert outbox.settle(tx, claim, NOW + 1, status="settled")
        sync.remember(tx, 1, "notion", claim.key, known, NOW)
    limits.take(tx, "notion", 333, NOW)
    limits.take(tx, "notion", 333, NOW)
    limits.pause(tx, "notion", "down", NOW)
    assert inbox.waiting_for(tx, "clerk", "nobody", 9) == []
    assert outbox.next_at(tx, "notion") == NOW


def test_both_ways_leave_the_same_rows(tmp_path: Path, database_kind: str) -> None:
    with fresh(tmp_path, database_kind, direct=True) as tx:
        live_a_day(tx)
        one = everything(tx)
    with fresh(tmp_path, database_kind, direct=False) as tx:
        live_a_day(tx)
        other = everything(tx)
    assert one == other
    assert one["users"]
    assert one["sync_status"]


def test_both_ways_read_the_same_values(tmp_path: Path, database_kind: str) -> None:
    with fresh(tmp_path, database_kind, direct=True) as tx:
        live_a_day(tx)
        params = {"source": "clerk", "waiting_for": "x", "user_id": 1, "id": 1, "sink": "notion", "name": "notion"}
        some = tx.execute(text("SELECT provider, external_id, email FROM identities WHERE email IS NOT NULL")).first()
        params |= {"provider": some[0], "external_id": some[1], "subject": some[1], "most": 5}
        params |= {"now": NOW, "unused": -1}
        params |= {f"email_{n}": some[2] for n in range(4)}
        tried = 0
        for statement in reading():
            direct = statement.rows(tx, params)
            del tx.info[statements.DRIVER]
            ordinary = statement.rows(tx, params)
            statements.go_direct(tx)
            assert direct == ordinary, str(statement.core)
            tried += 1
        assert tried >= 6


def reading() -> list[Statement]:
    found = []
    for module in pkgutil.iter_modules(db.__path__):
        loaded = importlib.import_module(f"db.{module.name}")
        found += [one for one in vars(loaded).values() if isinstance(one, Statement) and one.core.is_select]
    return found
