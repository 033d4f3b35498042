"""What webhooks feel of the purge: latency of writes beside a purge of 100,000 rows, over that without one."""

import asyncio
import itertools
import logging
import statistics
import tempfile
import time
from pathlib import Path

import structlog
from sqlalchemy import insert

import migrations
from db import inbox
from db.database import Database, transaction
from db.retention import BATCH
from db.tables import sync_actions, sync_logs, webhook_events
from handlers.retention import DAY_MS, SOON_MS, Keep, Purge

ROWS = {"bodies": 60_000, "logs": 30_000, "marks": 10_000}
NOW = 1_790_000_000_000
OLD = NOW - 100 * DAY_MS
BODY = b"x" * 2_000
EVERY_S = 0.002  # 500 writes/s are offered
NUMBERS = itertools.count()


def fill(url: str) -> None:
    event = {"source": "clerk", "type": "t", "status": "applied", "received_at": OLD, "body": BODY, "attempts": 0}
    log = {"workspace_id": 1, "sink": "notion", "key": "k", "generation": 1, "attempt": 1, "at": OLD}
    log |= {"duration_ms": 1, "operation": "update", "outcome": "delivered"}
    mark = {"workspace_id": 1, "sink": "slack", "generation": 1, "status": "settled", "attempts": 0}
    mark |= {"available_at": OLD, "marked_at": OLD, "payload": {"text": "x"}}
    with transaction(url) as tx:
        tx.execute(insert(webhook_events), [{**event, "event_id": f"old_{n}"} for n in range(ROWS["bodies"])])
        tx.execute(insert(sync_logs), [log] * ROWS["logs"])
        tx.execute(insert(sync_actions), [{**mark, "key": f"alert:{n}"} for n in range(ROWS["marks"])])


async def one(database: Database, taken: list[float]) -> None:
    began = time.perf_counter()
    await database.write(inbox.add, "clerk", f"new_{next(NUMBERS)}", "user.updated", BODY, NOW, "user_1")
    taken.append((time.perf_counter() - began) * 1000)


async def offer(database: Database, stop: asyncio.Event) -> list[float]:
    """Writes at a steady pace, whether or not the last has been answered; their latencies in ms."""
    taken: list[float] = []
    under_way = set()
    due = time.perf_counter()
    while not stop.is_set():
        task = asyncio.create_task(one(database, taken))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        due += EVERY_S
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await asyncio.gather(*under_way)
    return taken


async def alone(database: Database, seconds: float) -> list[float]:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    return await offer(database, stop)


async def beside(database: Database) -> tuple[list[float], float, int]:
    stop = asyncio.Event()
    writes = asyncio.create_task(offer(database, stop))
    purge, runs, began = Purge(Keep(30, 90, 90)), 1, time.perf_counter()
    while await purge.run(database, NOW) == NOW + SOON_MS:
        runs += 1
    seconds = time.perf_counter() - began
    stop.set()
    return await writes, seconds, runs


def told(name: str, taken: list[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(taken, n=1000)
    p50, p99, p999 = cuts[499], cuts[989], cuts[998]
    print(
        f"  {name:<18}{len(taken):>6} writes p50 {p50:6.2f}  p99 {p99:6.2f}  p99.9 {p999:6.2f}  max {max(taken):.1f} ms"
    )
    return p50, p99, p999


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'rollcall.db'}"
        migrations.upgrade(url)
        fill(url)
        async with Database(url) as database:
            await alone(database, 1.0)
            print(f"500 writes/s offered; a purge of {sum(ROWS.values()):,} rows, {BATCH} a transaction")
            before = told("without the purge", await alone(database, 6.0))
            taken, seconds, runs = await beside(database)
            during = told("beside the purge", taken)
            print(f"  the purge: {seconds:.1f} s, {runs} runs, {sum(ROWS.values()) / seconds:,.0f} rows/s")
            ratios = [one / other for one, other in zip(during, before, strict=True)]
            print("  ratio: p50 {:.2f}, p99 {:.2f}, p99.9 {:.2f}".format(*ratios))


structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
asyncio.run(main())
