"""The purge: what is kept no longer goes, a little at a time, so that nobody waits for it.

Bodies of events that are done with, attempts in `sync_logs`, marks nobody will miss; and at once, whatever their
age, the bodies of events about people who are deleted.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import structlog

from db import retention
from db.database import Database
from db.retention import WINDOW

log = structlog.get_logger()

PURGE = "purge"  # the key of its mark
DAY_MS = 86_400_000
BATCHES = 25  # looks and small transactions a run: well within a lease
PAUSE_S = 0.01  # between two of them others write
SOON_MS = 1_000


@dataclass(frozen=True, slots=True)
class Keep:
    """For how many days things are kept; 0: for ever."""

    event_bodies: int
    sync_logs: int
    settled_marks: int


@dataclass(slots=True)
class Purge:
    """One process's way through what is kept. It may be cut off, and begun again, anywhere."""

    keep: Keep
    _step: int = 0
    _after: int = 0  # up to which row id the step has come
    _gone: Counter[str] = field(default_factory=Counter)

    async def run(self, database: Database, now: int) -> int:
        """A little of it; returns when it is due again, ms: in a moment while there is more, else tomorrow."""
        steps = (self._bodies, self._logs, self._marks)
        forgetting = True  # first in every run: a deletion may have asked for it just now
        for _ in range(BATCHES):
            forgetting = forgetting and await self._forgotten(database)
            while not forgetting and not await steps[self._step](database, now):
                self._step, self._after = self._step + 1, 0
                if self._step == len(steps):
                    self._step = 0
                    self._report()
                    return now + DAY_MS
            await asyncio.sleep(PAUSE_S)
        self._report()
        return now + SOON_MS

    def _report(self) -> None:
        if gone := +self._gone:
            log.info("purged", **gone)
        self._gone.clear()

    # Each of these does one batch, or goes through one window; False when nothing of its kind is left.

    async def _forgotten(self, database: Database) -> bool:
        ids = await database.read(retention.events_about_the_gone)
        if ids:
            self._gone["forgotten"] += await database.write(retention.forget, ids)
        return bool(ids)

    async def _bodies(self, database: Database, now: int) -> bool:
        until = self._after + WINDOW
        if not self.keep.event_bodies or self._after >= await database.read(retention.last_event):
            return False
        before = now - self.keep.event_bodies * DAY_MS
        ids = await database.read(retention.old_events, self._after, until, before)
        if ids is None:
            return False
        self._gone["bodies"] += await database.write(retention.empty, ids) if ids else 0
        self._after = ids[-1] if ids else until
        return True

    async def _logs(self, database: Database, now: int) -> bool:
        if not self.keep.sync_logs:
            return False
        gone = await database.write(retention.drop_logs, now - self.keep.sync_logs * DAY_MS)
        self._gone["logs"] += gone
        return gone > 0

    async def _marks(self, database: Database, now: int) -> bool:
        until = self._after + WINDOW
        if not self.keep.settled_marks or self._after >= await database.read(retention.last_mark):
            return False
        before = now - self.keep.settled_marks * DAY_MS
        ids = await database.read(retention.old_marks, self._after, until, before)
        self._gone["marks"] += await database.write(retention.drop_marks, ids, before) if ids else 0
        self._after = ids[-1] if ids else until
        return True
