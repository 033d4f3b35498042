"""How fast marks go out: to a Notion without limits, beside the bare client on the same Notion; and at 3 requests/s.

The first says what the relay itself costs. The second is what people have: the share of the limit that is used
while there is something to send. Exits 1 under 97 %.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

from notion_client import AsyncClient
from streams import created
from targets import HOST, Target, get, reference, rollcall, running

import migrations
from db.database import transaction
from handlers.clerk import events
from handlers.registry import Context
from service.clock import now_ms
from service.intake import accept

PEOPLE = 1_500
RATE, SHARE = 3.0, 0.97
CONCURRENCY = 4  # of the bare client: as many as the relay has under way
SOURCE = events.source(("whsec_" + "A" * 44,))
CONTEXT = Context(sinks=frozenset({"notion"}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the run at the limit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rollcall-relay-") as name:
        folder = Path(name)
        bare = asyncio.run(bare_client(folder / "bare", options.people))
        free = drained(folder / "free", options.people)
        share = at_the_limit(folder / "limited", options.people, options.seconds)
    print(f"bare client    {bare:6,.0f} pages/s")
    print(f"relay          {free:6,.0f} deliveries/s, {free / bare:.2f} times the bare client's pages")
    met = SHARE <= share <= 1.0
    print(f"at {RATE:g} a second  {share:6.1%} of the limit used")
    print("PASS" if met else "FAIL", f"{share:.1%} of the limit used while draining, at least {SHARE:.0%}, never over")
    return 0 if met else 1


async def bare_client(folder: Path, pages: int) -> float:
    """Pages a second that notion-client creates when nothing else is done."""
    with running(reference("notion", folder)) as (port, _):
        client = AsyncClient(auth="ntn_bench", base_url=f"http://{HOST}:{port}", retry=False)
        left = iter(range(pages))

        async def create() -> None:
            for _ in left:
                await client.pages.create(parent={"data_source_id": "0" * 32}, properties={})

        began = time.perf_counter()
        await asyncio.gather(*(create() for _ in range(CONCURRENCY)))
        spent = time.perf_counter() - began
        await client.aclose()
    return pages / spent


def drained(folder: Path, people: int) -> float:
    """Deliveries a second when Notion sets no limit, from the first page to the last."""
    with delivering(folder, people, rate=0.0) as notion:
        began = until(notion, 1)
        ended = until(notion, people)
    return (people - 1) / (ended - began)


def at_the_limit(folder: Path, people: int, seconds: float) -> float:
    """The share of the limit that was used, counted where the requests arrive."""
    made = round(RATE * seconds)
    with delivering(folder, people, rate=RATE) as notion:
        began = until(notion, 3)
        ended = until(notion, 3 + made)
    return made / (RATE * (ended - began))


@contextmanager
def delivering(folder: Path, people: int, rate: float) -> Iterator[int]:
    """Rollcall with that many people to tell Notion of; gives the port of Notion."""
    with running(reference("notion", folder / "notion")) as (notion, _):
        target = filled(rollcall(folder / "web", notion), people, rate)
        with running(target):
            yield notion


def filled(target: Target, people: int, rate: float) -> Target:
    """The same server on a database that has this many people to tell Notion of."""
    target.folder.mkdir(parents=True)
    assert target.database is not None
    migrations.upgrade(target.database)
    with transaction(target.database) as tx:
        for name, body in islice(created(), people):
            accept(tx, SOURCE, SOURCE.parse(body, name.decode()), body, CONTEXT, now_ms())
    environment = {**target.environment, "NOTION_REQUESTS_PER_SECOND": str(rate)}
    return replace(target, environment=environment, before=())


def pages(port: int) -> int:
    return int(json.loads(get(port, "/created")[1])["pages"])


def until(port: int, wanted: int) -> float:
    """When that many pages had been made."""
    give_up = time.monotonic() + 120
    while pages(port) < wanted:
        if time.monotonic() > give_up:
            raise subprocess.TimeoutExpired("the relay", 120)
        time.sleep(0.005)
    return time.perf_counter()


if __name__ == "__main__":
    sys.exit(main())
