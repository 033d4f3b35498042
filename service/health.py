"""Can webhooks be accepted (`/readyz`), and is all well besides? No secrets, no addresses.

503 says only one thing: a webhook sent now would be refused. Whatever else is wrong is `degraded`.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

import migrations
from db import inbox, limits, outbox, people
from db.database import Database, Unavailable
from db.limits import Gate
from service.clock import now_ms
from service.relay import Relay

STUCK_S = 5.0
LOOK_EVERY_S = 1.0  # however often one asks
LATE_MS = 60_000  # a mark due for longer than this is late
BEAT_EVERY_S = 5.0
BEAT_MISSED_MS = 30_000
BEAT = "worker"  # the row all workers write while they deliver
PROBE = "readyz"  # the row a writable database can write


@dataclass(slots=True, eq=False)
class Health:
    """Looks at most once a second, whoever asks."""

    database: Database
    relay: Relay | None  # None: `rollcall worker` delivers
    head: str
    _seen: tuple[int, dict[str, Any]] | None = None
    _seen_at: float = 0.0
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def report(self) -> tuple[int, dict[str, Any]]:
        """The HTTP status and the body of `/readyz`."""
        async with self._one:
            if self._seen is None or time.monotonic() - self._seen_at > LOOK_EVERY_S:
                self._seen = await self._look()
                self._seen_at = time.monotonic()
            return self._seen

    async def _look(self) -> tuple[int, dict[str, Any]]:
        if self.database.stuck_for_s > STUCK_S:
            return 503, {"status": "unavailable", "reason": "the writer is stuck"}
        try:
            # Before anything else: what is looked at may not be there yet.
            revision = await self.database.read(migrations.current)
            if revision is not None and revision.startswith(migrations.MOVED):
                return 503, {
                    "status": "unavailable",
                    "reason": "the database was moved: set DATABASE_URL anew",
                }
            if revision != self.head:
                return 503, {"status": "unavailable", "reason": "migrations are behind: run `rollcall migrate`"}
            await self.database.write(probe, now_ms())
            found = await self.database.read(look, now_ms())
        except Unavailable:
            return 503, {"status": "unavailable", "reason": "the database cannot be written"}
        if self.relay:  # else some other process delivers
            found["relay_alive"] = self.relay.alive
        return 200, {"status": "degraded" if ailing(found) else "ok", **found}


def probe(tx: Connection, now: int) -> None:
    limits.take(tx, PROBE, 0, now)


def look(tx: Connection, now: int) -> dict[str, Any]:
    """What is worth knowing at night: counts and ages only."""
    coverage = people.coverage(tx)
    oldest = outbox.oldest_due(tx, now)
    return {
        "oldest_due_mark_s": None if oldest is None else max(0, now - oldest) // 1000,
        "paused_sinks": {
            name: _pause(gate, now) for name, gate in limits.all_gates(tx).items() if gate.paused or gate.off
        },
        "dead_marks": outbox.dead(tx),
        "failed_events": inbox.failed(tx),
        "relay_alive": is_worked(tx, now),
        "coverage": {
            "people": coverage.people,
            "with_both_ids": coverage.both,
            "share": round(coverage.share, 3),
        },
    }


def is_worked(tx: Connection, now: int) -> bool:
    """Whether any `rollcall worker` was at work lately. A time far ahead is from before the clock was set back."""
    seen = limits.beat_at(tx, BEAT)
    return seen is not None and abs(now - seen) < BEAT_MISSED_MS


def _pause(gate: Gate, now: int) -> str | None:
    """In our own words: a platform's may name whatever they like, and are for `rollcall doctor`."""
    return gate.reason if gate.paused_at is None else f"failing for {max(0, now - gate.paused_at) // 1000} s"


def ailing(found: dict[str, Any]) -> bool:
    late = (found["oldest_due_mark_s"] or 0) * 1000 > LATE_MS
    return bool(
        late or not found["relay_alive"] or found["paused_sinks"] or found["dead_marks"] or found["failed_events"]
    )
