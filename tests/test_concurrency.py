"""Many events at once end as they do one after the other: what was read is not stale when something is written.

On SQLite one thread writes; on PostgreSQL two do, and two processes make four (docs/decisions/0007).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from db import inbox, locks, outbox, user_data
from db.calls import side_by_side
from db.database import Database, transaction
from handlers import waiting
from handlers.people import enrolling
from handlers.people.roster import Entry
from service import intake
from service.intake import Intake
from tests import statements
from tests.databases import new_database
from tests.statements import ANN, BOB, CONTEXT, NOW, STREAM, Event, Json, Listed, Said, clerk, roster, session, slack

SOURCES = {"clerk": statements.CLERK}
ROUNDS = 6
PROCESSES = 2  # in this one, but with threads and connections of their own


@dataclass(frozen=True)
class Crowd:
    """Several processes on one database."""

    databases: Sequence[Database]

    async def hear(self, stream: Sequence[Said]) -> None:
        """All of it at once; calls of one function may share a transaction."""
        calls = [
            self.databases[number % len(self.databases)].write(
                hear if isinstance(said, Event) else take_in, said, NOW + number
            )
            for number, said in enumerate(stream)
        ]
        await asyncio.gather(*calls)

    async def look(self, fn: Callable[..., Any], *args: Any) -> Any:
        return await self.databases[0].read(fn, *args)


@side_by_side
def hear(tx: Connection, said: Event, now: int) -> None:
    """As intake does (service.intake.accept): on PostgreSQL interleaved with others in one transaction."""
    said.hear(tx, now)


def take_in(tx: Connection, said: Listed, now: int) -> None:
    said.hear(tx, now)


@pytest.fixture
async def crowd(database_url: str) -> Any:
    databases = [Database(database_url, deadline_s=60.0) for _ in range(PROCESSES)]
    for database in databases:
        await database.__aenter__()
    yield Crowd(databases)
    for database in databases:
        await database.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Json:
    """How STREAM ends when one event comes after the other."""
    url = new_database(tmp_path_factory.mktemp("serial"))
    with transaction(url) as tx:
        statements.hear(tx, STREAM)
        return statements.told(tx)


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_every_trouble_at_once_ends_as_one_after_the_other(crowd: Crowd, serial: Json, number: int) -> None:
    rng = Random(number)
    stream = [*STREAM, *rng.sample(STREAM, 10)]
    rng.shuffle(stream)
    await crowd.hear(stream)
    assert await crowd.look(inbox.failed) == 0
    assert await crowd.look(statements.forgotten_events) == []
    assert await crowd.look(statements.told) == serial


async def test_sign_ins_of_one_person_are_all_counted(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AT_ONCE", 5)
    monkeypatch.setattr(intake, "now_ms", lambda: NOW + 1_000)
    await crowd.hear([*(session(f"s{n}", "ann", n) for n in range(20)), clerk("m0", "ann", ANN)])
    await crowd.hear([session(f"s{n}", "ann", n) for n in range(20, 40)])
    for _ in range(3):  # 20 at a time, those that waited and did not go with their person; two processes at once
        await asyncio.gather(*(Intake(one, SOURCES, CONTEXT).retry_due() for one in crowd.databases))
    (user_id,) = await crowd.look(lambda tx: tx.execute(text("SELECT id FROM users")).scalars().all())
    held = await crowd.look(user_data.load, user_id)
    assert held["session_count"] == 40
    assert [one["timestamp"] for one in held["login_history"]] == sorted(
        {one["timestamp"] for one in held["login_history"]}
    )
    assert len(held["login_history"]) == 40


async def test_no_change_of_a_name_is_lost_from_its_history(crowd: Crowd) -> None:
    await crowd.hear([clerk("m0", "ann", ANN)])
    await crowd.hear([clerk(f"m{n}", "ann", ANN, n, first_name=f"Ann {n}") for n in range(1, 30)])
    (user_id, name) = await crowd.look(lambda tx: tx.execute(text("SELECT id, first_name FROM users")).one())
    history = (await crowd.look(user_data.load, user_id))["name_history"]
    assert (name, history[-1]["first_name"]) == ("Ann 29", "Ann 29")
    stale = await crowd.look(inbox.counts)
    assert len(history) == 30 - 1 - stale.get("stale", 0)


async def test_an_address_that_many_claim_is_shown_by_one(crowd: Crowd) -> None:
    await crowd.hear([clerk(f"m{n}", f"user{n}", ANN, n) for n in range(30)])
    await crowd.hear([clerk(f"n{n}", f"user{n}", BOB if n % 2 else ANN, 100 + n) for n in range(30)])
    shown = await crowd.look(
        lambda tx: tx.execute(text("SELECT email, clerk_id FROM users WHERE email IS NOT NULL ORDER BY 1")).all()
    )
    assert [tuple(row) for row in shown] == [(ANN, "user28"), (BOB, "user29")]
    assert await crowd.look(lambda tx: tx.execute(text("SELECT count(*) FROM users")).scalar()) == 30


async def test_whoever_joins_a_person_beside_a_crowd_joins_that_person(crowd: Crowd) -> None:
    names = [f"p{n}@example.com" for n in range(12)]
    stream: list[Said] = []
    for n, email in enumerate(names):
        stream += [clerk(f"c{n}", f"user{n}", email, 1), slack(f"Ev{n}", f"U{n}", email, 1), roster(email, "AM")]
    Random(3).shuffle(stream)
    await crowd.hear(stream)
    found = await crowd.look(
        lambda tx: tx.execute(text("SELECT email, clerk_id, slack_user_id FROM users ORDER BY email")).all()
    )
    wanted = [(email, f"user{n}", f"U{n}") for n, email in enumerate(names)]
    assert [tuple(row) for row in found] == sorted(wanted)


async def test_a_roster_taken_in_beside_events_ends_as_if_after_them(crowd: Crowd) -> None:
    entries = [Entry(f"p{n}@example.com", ("AM",), None) for n in range(20)]
    stream = [clerk(f"c{n}", f"user{n}", f"p{n}@example.com", 1) for n in range(20)]
    await asyncio.gather(
        crowd.hear(stream),
        crowd.databases[1].write(enrolling.enroll, entries, CONTEXT, NOW),
        crowd.databases[0].write(enrolling.enroll, entries, CONTEXT, NOW),
    )
    found = await crowd.look(
        lambda tx: tx.execute(
            text("SELECT clerk_id, rotation FROM users JOIN workspace_members ON user_id = users.id")
        ).all()
    )
    assert sorted(map(tuple, found)) == sorted((f"user{n}", "AM") for n in range(20))


async def test_an_event_sent_many_times_at_once_is_applied_once(crowd: Crowd) -> None:
    await crowd.hear([clerk("m0", "ann", ANN)])
    await crowd.hear([session("again", "ann", 5)] * 20)
    (user_id,) = await crowd.look(lambda tx: tx.execute(text("SELECT id FROM users")).scalars().all())
    assert (await crowd.look(user_data.load, user_id))["session_count"] == 1


async def test_no_mark_is_leased_twice_and_no_more_than_asked_for(crowd: Crowd) -> None:
    await crowd.databases[0].write(outbox.mark_many, 1, "notion", [f"person:{n}" for n in range(60)], NOW)
    claims = await asyncio.gather(
        *(crowd.databases[n % 2].write(outbox.claim, "notion", f"token {n}", NOW, 3) for n in range(30))
    )
    assert {len(some) for some in claims} <= {0, 1, 2, 3}
    held = Counter(claim.key for some in claims for claim in some)
    assert set(held.values()) == {1}
    assert len(held) == 60


@pytest.mark.postgresql_only("SQLite needs no locks")
async def test_without_its_locks_that_would_not_be_so(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests above are known to bite."""
    monkeypatch.setattr(locks, "hold", lambda *_args: False)
    await crowd.hear([clerk("m0", "ann", ANN)])
    await crowd.hear([session(f"s{n}", "ann", n) for n in range(40)])
    (user_id,) = await crowd.look(lambda tx: tx.execute(text("SELECT id FROM users")).scalars().all())
    assert (await crowd.look(user_data.load, user_id))["session_count"] < 40
