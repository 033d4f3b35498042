"""The restore drill: a service under load loses its database; how long until it serves again, and what is lost?

Everything is real: `rollcall serve`, signed webhooks over HTTP, `rollcall backup` beside them, `kill -9`, the files
deleted, `rollcall restore`, `rollcall serve`. Exits 1 if anything is lost that the copy should have held.
"""

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from sqlalchemy import insert

from db.database import transaction
from db.tables import webhook_events
from service.sandbox.senders import sign_clerk

SECRET = "whsec_cm9sbGNhbGwtYmVuY2gtc2VjcmV0LW5vdC1yZWFs"
TEMPLATE = json.loads((Path(__file__).parent / "user.created.json").read_bytes())
ROLLCALL = [sys.executable, "-m", "service"]
LOAD_S = 3.0  # under load before the copy is made, and again after it


@dataclass
class Sender:
    """Sends people until told to stop. `acknowledged`: event id → when the answer came."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        with httpx.Client(timeout=5) as client:
            while not self.stop.is_set():
                event_id, at = f"msg_{len(self.acknowledged)}_{time.time_ns()}", int(time.time())
                user = {**TEMPLATE["data"], "id": f"user_{event_id}", "email_addresses": []}
                body = json.dumps({**TEMPLATE, "data": user}).encode()
                with contextlib.suppress(httpx.HTTPError):
                    headers = {**sign_clerk(SECRET, event_id, at, body), "content-type": "application/json"}
                    if client.post(f"{self.url}/webhooks/clerk", content=body, headers=headers).is_success:
                        self.acknowledged[event_id] = time.time()


@dataclass
class Drill:
    """One folder with one installation in it."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "rollcall.db"

    @property
    def environment(self) -> dict[str, str]:
        here = str(Path(__file__).parents[1])
        url = f"sqlite:///{self.database}"
        mine = {"DATABASE_URL": url, "CLERK_WEBHOOK_SIGNING_SECRET": SECRET, "PYTHONPATH": here}
        return {**os.environ, **mine}

    def rollcall(self, *arguments: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own command
            [*ROLLCALL, *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"rollcall {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def serving(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """The service, once it is ready to take webhooks."""
        command = [*ROLLCALL, "serve", "--port", "0", "--json"]
        with (self.folder / "log").open("a") as log:
            child = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            assert child.stdout is not None
            url = json.loads(child.stdout.readline())["url"]
            while httpx.get(f"{url}/readyz").status_code != 200:
                time.sleep(0.05)
            yield child, url
        finally:
            child.kill()
            child.wait()

    def fill(self, events: int) -> None:
        row = {"source": "clerk", "type": "user.updated", "status": "applied", "received_at": 1, "attempts": 0}
        body = json.dumps(TEMPLATE).encode()
        with transaction(f"sqlite:///{self.database}") as tx:
            for start in range(0, events, 10_000):
                some = range(start, min(start + 10_000, events))
                tx.execute(insert(webhook_events), [{**row, "event_id": f"old_{n}", "body": body} for n in some])

    def held(self) -> set[str]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return {event_id for (event_id,) in connection.execute("SELECT event_id FROM webhook_events")}


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(drill: Drill, events: int) -> bool:
    drill.rollcall("migrate")
    drill.fill(events)
    with drill.serving() as (service, url):
        sender = Sender(url)
        thread = threading.Thread(target=sender.run)
        thread.start()
        time.sleep(LOAD_S)
        began = time.time()
        copied = timed(lambda: drill.rollcall("backup", "copy.db"))
        time.sleep(LOAD_S)
        service.send_signal(signal.SIGKILL)
        disaster = time.time()
        sender.stop.set()
        thread.join()
    for file in drill.folder.glob("rollcall.db*"):
        file.unlink()
    size = (drill.folder / "copy.db").stat().st_size
    restored = timed(lambda: drill.rollcall("restore", "copy.db", "--yes"))
    began_serving = time.perf_counter()
    with drill.serving():
        served = time.perf_counter() - began_serving
    lost = sender.acknowledged.keys() - drill.held()
    oldest = min((sender.acknowledged[one] for one in lost), default=disaster)
    should_be_there = sum(at < began for one, at in sender.acknowledged.items() if one in lost)
    print(f"database                    {size / 1e6:,.0f} MB, {events + len(sender.acknowledged) - len(lost):,} events")
    print(f"backup beside the load      {copied:.1f} s ({size / 1e6 / copied:,.0f} MB/s)")
    print(f"restore (verified, whole)   {restored:.1f} s")
    print(f"service ready again         {served:.1f} s")
    print(f"time to recover             {restored + served:.1f} s, from the moment somebody types `rollcall restore`")
    print(f"acknowledged                {len(sender.acknowledged):,} events")
    print(
        f"lost                        {len(lost):,} events, those of the last {disaster - oldest:.1f} s before the loss"
    )
    print(f"lost though the copy began later  {should_be_there}")
    print("with BACKUP_EVERY_MINUTES=30: at most the last 30 minutes, which `rollcall import` brings back as state")
    return should_be_there == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="in the database beforehand")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if run(Drill(Path(folder)), arguments.events) else 1)


main()
