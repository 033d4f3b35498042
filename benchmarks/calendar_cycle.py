"""A whole cycle of the on-call calendar at Notion's own pace: 14 days made, 60 past pages moved (S2.10).

A sandbox of Notion that refuses the 181st request of a minute, the real limiter at three requests a second, the real
relay and notion-client over HTTP, a real clock. Prints one table; ends with 1 where a bar is missed.
"""

import asyncio
import math
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Connection, text

import migrations
from db import oncall, outbox
from db.database import Database
from db.oncall import Planned
from handlers.notion import setup
from handlers.notion.api import NotionApi
from handlers.notion.calendar import CURRENT, PAST, TABLES, Calendars
from handlers.notion.calendar_cycle import look, shift_pages
from handlers.notion.sink import NotionSink
from handlers.oncall.hours import instants
from handlers.oncall.keys import CYCLE, shift_key
from handlers.oncall.model import DEFAULT_ROTATIONS, Slot
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context
from service.limiter import Limiter
from service.relay import Relay, SinkLoop
from service.sandbox.world import World, running

RATE = 3.0  # requests a second
BAR_S = 120.0
DAYS, MOVES = 14, 60
CONTEXT = Context(sinks=frozenset({"notion"}))
LONG_AGO = date(2000, 1, 1)


@dataclass
class Clock:
    """Milliseconds, UTC; `behind` the true time while the past is set up."""

    behind: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 - self.behind


@dataclass
class Bench:
    database: Database
    world: World
    calendars: Calendars
    clock: Clock

    def api(self, rate: float) -> NotionApi:
        interval = math.ceil(1000 / rate) if rate else 0
        limiter = Limiter(self.database, "notion", interval, self.clock, patient=not rate)
        return NotionApi(self.world.notion.token, self.world.notion_url, limiter.turn)

    def sink(self, rate: float) -> NotionSink:
        return NotionSink(self.api(rate), None, CONTEXT, self.clock, self.calendars)


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    url = f"sqlite:///{folder / 'bench.db'}"
    migrations.upgrade(url)
    async with running(World(seed=1)) as world, Database(url) as database:
        api = NotionApi(world.notion.token, world.notion_url, lambda: asyncio.sleep(0))
        parent = world.notion.parent_page_id
        made = [(await setup.create(api, parent, TABLES[title])).data_source_id for title in (CURRENT, PAST)]
        await api.close()
        yield Bench(database, world, Calendars(*made), Clock())


def put(tx: Connection, days: list[date], now: int) -> list[str]:
    """Three shifts a day, and their marks."""
    tz = OnCallSettings().tz
    rows = [
        Planned(
            day,
            one.name,
            None,
            f"p{day.day % 7}@example.com",
            f"Person {day.day % 7}",
            *instants(day, one, tz),
            "run",
            pinned=False,
            reason={},
        )
        for day in days
        for one in DEFAULT_ROTATIONS
    ]
    oncall.put(tx, 1, rows, LONG_AGO)
    keys = [shift_key(Slot(row.date, row.rotation)) for row in rows]
    outbox.mark_many(tx, 1, "notion", keys, now)
    return keys


async def past_is_there(at: Bench, monday: date) -> int:
    """60 pages of four weeks ago in ON-CALL CALENDAR, as if nobody had run a cycle since."""
    first = monday - timedelta(days=28)
    working = [first + timedelta(days=n) for n in range(28) if (first + timedelta(days=n)).weekday() < 5]
    at.clock.behind = (monday - first).days * 86_400_000
    await at.database.write(put, working, at.clock())
    loop = SinkLoop(at.database, at.sink(0), CONTEXT, at.clock)
    await loop.drain()
    await loop.sink.close()
    at.clock.behind = 0
    at.world.requests.clear()
    return len(at.world.notion.rows(at.calendars.current))


async def whole_cycle(at: Bench, today: date) -> float:
    """Seconds from the marks of a generation to the last delivery."""
    at.world.faults.limit("notion", requests=180, seconds=60)
    relay = Relay(at.database, [at.sink(RATE)], CONTEXT, at.clock)
    relay.start()
    began = time.perf_counter()
    await at.database.write(put, [today + timedelta(days=n) for n in range(DAYS)], at.clock())
    await at.database.write(outbox.mark, 1, ("notion",), CYCLE, at.clock())
    while await at.database.read(left):
        if not relay.alive:
            raise RuntimeError("the relay ended")
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    await relay.stop(5.0)
    return took


def left(tx: Connection) -> int:
    return len({key for key in outbox.pending(tx, 1, "notion") if key == CYCLE or key.startswith("shift:")})


def outcomes(tx: Connection) -> dict[str, int]:
    found = tx.execute(text("SELECT outcome, count(*) FROM sync_logs WHERE key LIKE 'shift:%' GROUP BY outcome"))
    return {str(row[0]): int(row[1]) for row in found}


async def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    today = datetime.now(UTC).date()
    monday = today - timedelta(days=today.weekday())
    with tempfile.TemporaryDirectory() as folder:
        async with bench(Path(folder)) as at:
            to_move = await past_is_there(at, monday)
            took = await whole_cycle(at, today)
            requests = at.world.requests.to("notion")
            asked, refused, busiest = len(requests), len(requests.to("notion", status=429)), requests.busiest(60)
            moves = len([one for one in requests if one.path.endswith("/move")])
            at.world.faults.calm()
            api = at.api(0)
            kind = await shift_pages(at.database, api, at.calendars, CONTEXT, at.clock(), whole=True)
            found = (await look(at.database, kind)).comparison
            await api.close()
            tries = await at.database.read(outcomes)
    good = tries.get("delivered", 0) / sum(tries.values())
    print(f"one cycle: {DAYS} days x 3 rotations made, {to_move} past pages moved, {RATE:g} requests a second")
    print(f"  seconds                     {took:8.1f}   bar: under {BAR_S:g}")
    print(f"  requests                    {asked:8d}   bar: at most {RATE * BAR_S:g}; {moves} of them moves")
    print(f"  share of the limit used     {asked / (took * RATE):8.1%}")
    print(f"  most in any 60 s            {busiest:8d}   limit: 180")
    print(f"  429                         {refused:8d}   bar: 0")
    print(f"  syncs that succeeded        {good:8.1%}   bar: 99 %")
    print(f"  agreement afterwards        {found.agreement:8.1%}   of {found.records} shifts; bar: 100 %")
    met = took < BAR_S and asked <= RATE * BAR_S and not refused and good >= 0.99
    met = met and moves == to_move == MOVES and not found.drifts and found.records == MOVES + DAYS * 3
    print("bars met" if met else "BARS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
