"""What a job a mark costs intake on PostgreSQL: events a second without jobs, with them, or made otherwise.

Each figure is beside its reference of the same run: the ways take turns, on one server, in one database.
    .venv/bin/python benchmarks/jobs.py postgresql://postgres@/rollcall [seconds a turn]
The database is migrated, and filled with what the run writes.
"""

import asyncio
import statistics
import sys
import time
from uuid import uuid4

import migrations
from db.database import Database, transaction
from db.identities import Identity
from db.jobs import wake_unserved
from handlers.people.recording import record, version
from handlers.registry import Context
from service.clock import now_ms
from service.queue import defer

CONTEXT = Context(sinks=frozenset({"notion"}))
CALLERS = 64
TURNS = 5
NOTIFY = "procrastinate_jobs_notify_queue_job_inserted_v1"
WAYS = ("no job", "a job with its mark", "a job with its mark, without NOTIFY", "a job made by a sweep")


async def call(database: Database, until: float) -> int:
    """New people, one after the other: each raises one mark."""
    done = 0
    while time.monotonic() < until:
        id_ = uuid4().hex
        data = {"first_name": "Ada", "last_name": id_, "created_at": 1, "updated_at": 1, "synced_at": 1}
        said = Identity("clerk", id_, f"{id_}@example.com", email_verified=True, version=version(1, 0, b""), data=data)
        await database.write(record, said, CONTEXT, now_ms())
        done += 1
    return done


async def sweep(database: Database, until: float) -> int:
    """The alternative: another process makes the jobs, as soon as it hears of marks."""
    while time.monotonic() < until:
        await database.write(wake_unserved, ["notion"], now_ms(), 1_000)
        await asyncio.sleep(0.05)
    return 0


async def turn(
    database: Database, seconds: float, *, swept: bool = False, announced: bool = True, sweeper: Database
) -> float:
    with transaction(database.url) as tx:
        tx.exec_driver_sql(f"ALTER TABLE procrastinate_jobs {'ENABLE' if announced else 'DISABLE'} TRIGGER {NOTIFY}")
        tx.exec_driver_sql("TRUNCATE procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers")
        tx.exec_driver_sql("UPDATE sync_actions SET status = 'settled'")
    until = time.monotonic() + seconds
    extra = [sweep(sweeper, until)] if swept else []
    return sum(await asyncio.gather(*(call(database, until) for _ in range(CALLERS)), *extra)) / seconds


async def main(url: str, seconds: float) -> None:
    migrations.upgrade(url)
    ways: dict[str, list[float]] = {name: [] for name in WAYS}
    async with (
        Database(url, deadline_s=30) as plain,
        Database(url, deadline_s=30) as queued,
        Database(url, deadline_s=30) as sweeper,
    ):
        queued.before_commit(defer)
        sweeper.before_commit(defer)
        await turn(plain, 1.0, sweeper=sweeper)
        for _ in range(TURNS):
            ways[WAYS[0]].append(await turn(plain, seconds, sweeper=sweeper))
            ways[WAYS[1]].append(await turn(queued, seconds, sweeper=sweeper))
            ways[WAYS[2]].append(await turn(queued, seconds, announced=False, sweeper=sweeper))
            ways[WAYS[3]].append(await turn(plain, seconds, swept=True, sweeper=sweeper))
    reference = statistics.median(ways[WAYS[0]])
    for name, found in ways.items():
        print(f"{name:36}{statistics.median(found):7.0f}/s{statistics.median(found) / reference:7.2f}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 4.0))
