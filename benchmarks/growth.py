"""What one event costs as the directory grows: 1,000, 100,000 and 1,000,000 people and inbox rows, side by side.

Half of the events are new people, half are updates of somebody long known, anywhere in the tables: a new name, and in
a stream beside it a new address each time. Each is applied as the service applies it, 64 to a durable commit; no HTTP.
In each measurement the WAL is folded into the file once, after as many calls as the service does that. Old inbox rows
have no bodies, as after retention. Exits 1 when in either the largest costs more than 1.3 times the smallest.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection
from streams import created, template, to_bytes

import migrations
from db.database import transaction
from db.sqlite import SqliteFile
from db.sqlite_seat import Seat
from db.statements import go_direct
from db.writer import BATCH_LIMIT, FOLD_AFTER
from handlers.clerk import events
from handlers.registry import Context
from service.clock import now_ms
from service.intake import accept

SIZES = (1_000, 100_000, 1_000_000)
SEEDS = 1_000  # recorded for real, then copied
KNOWN = 100_000  # people, at the most, who are updated
BEFORE, NOW = b"35m7", b"36m7"  # what ids begin with: KSUIDs of today come after all that are stored
BATCH = BATCH_LIMIT
BATCHES = -(-FOLD_AFTER // BATCH)  # of one measurement
TIMES = 1.3
SOURCE = events.source(("whsec_" + "A" * 44,))
CONTEXT = Context(sinks=frozenset({"notion"}))

Costs = dict[int, list[float]]  # µs an event, by size

# Copy k of a row: its own ids, the same content. Tables in the order their keys need.
COPIES = (
    """INSERT INTO users SELECT id + :k * 1000, clerk_id || '-' || :k, :k || '.' || email, name, first_name,
       last_name, NULL, NULL, role, status, created_at, updated_at FROM users WHERE id <= 1000""",
    """INSERT INTO identities (provider, external_id, user_id, email, email_verified, version, data)
       SELECT provider, external_id || '-' || :k, user_id + :k * 1000, :k || '.' || email, email_verified, version, data
       FROM identities WHERE user_id <= 1000""",
    "INSERT INTO user_data SELECT user_id + :k * 1000, key, value FROM user_data WHERE user_id <= 1000",
    """INSERT INTO webhook_events (source, event_id, type, status, received_at, body, attempts)
       SELECT source, event_id || '-' || :k, type, status, received_at, x'', 0 FROM webhook_events WHERE id <= 1000""",
    """INSERT INTO sync_actions (workspace_id, sink, key, generation, status, attempts, available_at, marked_at)
       SELECT 1, 'notion', 'person:' || (id + :k * 1000), 1, 'settled', 0, 0, 0 FROM users WHERE id <= 1000""",
)


def grown(folder: Path, size: int) -> str:
    """The URL of a database of this many people."""
    url = f"sqlite:///{folder / f'{size}.db'}"
    migrations.upgrade(url)
    with transaction(url) as tx:
        go_direct(tx)
        for name, body in islice(created(), SEEDS):
            accept(tx, SOURCE, SOURCE.parse(body, name.decode()), body, CONTEXT, now_ms())
        tx.exec_driver_sql("UPDATE sync_actions SET status = 'settled'")
        raw = tx.connection.driver_connection
        for k in range(1, size // SEEDS):
            for copy in COPIES:
                raw.execute(copy, {"k": k})
    return url


def messages(tx: Connection, *, moving: bool) -> Iterator[tuple[str, bytes]]:
    """New people and known ones in turn, for ever. `moving`: an update brings a new address; else a new name."""
    step = max(1, tx.exec_driver_sql("SELECT max(id) FROM users").scalar_one() // KNOWN)
    of_ours = f"SELECT clerk_id, email FROM users WHERE id % {2 * step} = {step * moving}"  # noqa: S608 - numbers
    known = [tuple(row) for row in tx.exec_driver_sql(of_ours)]
    rng, update, new = random.Random(7), template(), created()
    for turn, (name, body) in enumerate(new):
        event_id = name.replace(BEFORE, NOW).decode()
        if turn % 2:
            yield event_id, body.replace(BEFORE + b"WnKf4Ls", NOW + b"WnKf4Ls")
            continue
        id_, email = rng.choice(known)
        update["data"] |= {"id": id_, "first_name": f"Ada {turn}"}
        update["data"]["updated_at"] += 1000
        address = f"{rng.getrandbits(64):x}@example.com" if moving else email
        update["data"]["email_addresses"][0]["email_address"] = address
        yield event_id, to_bytes({**update, "type": "user.updated"})


def measure(seat: Seat, stream: Iterator[tuple[str, bytes]]) -> float:
    """µs an event, durable, with its share of folding the WAL into the file."""
    ready = [(SOURCE.parse(body, name), body) for name, body in islice(stream, BATCH * BATCHES)]
    began = time.perf_counter()
    for start in range(0, len(ready), BATCH):
        begun = seat.begin()
        assert begun
        for message, body in ready[start : start + BATCH]:
            accept(seat.tx, SOURCE, message, body, CONTEXT, now_ms())
        seat.tx.exec_driver_sql("COMMIT")
    folded = seat.fold()
    took = time.perf_counter() - began
    assert folded
    return 1e6 * took / len(ready)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the files go; a million people take 2 GB")
    options = parser.parse_args()
    costs: dict[bool, Costs] = {moving: {size: [] for size in options.sizes} for moving in (False, True)}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="rollcall-growth-") as name:
        open_ = {}
        for size in options.sizes:
            seat = Seat(SqliteFile.from_url(grown(Path(name), size)))
            seat.open()
            open_[size] = (seat, {moving: messages(seat.tx, moving=moving) for moving in costs})
        for number in range(options.rounds):
            for size in options.sizes if number % 2 == 0 else options.sizes[::-1]:
                seat, streams = open_[size]
                for moving, stream in streams.items():
                    costs[moving][size].append(measure(seat, stream))
        megabytes = {size: (Path(name) / f"{size}.db").stat().st_size / 1e6 for size in options.sizes}
    return report(costs, megabytes)


def report(costs: dict[bool, Costs], megabytes: dict[int, float]) -> int:
    smallest, largest = min(megabytes), max(megabytes)
    met = True
    for moving, each_size in costs.items():
        what = "address" if moving else "name"
        print(f"updates bring a new {what}")
        medians = {size: statistics.median(each) for size, each in each_size.items()}
        for size, each in each_size.items():
            print(
                f"{size:>9,} people  {megabytes[size]:>7,.0f} MB  {medians[size]:6.0f} µs an event "
                f"({min(each):.0f}-{max(each):.0f})  {medians[size] / medians[smallest]:.2f} times the smallest"
            )
        times = medians[largest] / medians[smallest]
        met = met and times <= TIMES
        verdict = "PASS" if times <= TIMES else "FAIL"
        print(verdict, f"new {what}: {largest:,} people cost {times:.2f} times {smallest:,}, at most {TIMES}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
