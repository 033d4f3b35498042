"""What all imports share: many statements recorded a few at a time, so that webhooks are served in between."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from db.database import Database
from db.identities import Identity
from handlers.people.recording import Recorded, record
from handlers.registry import Context

BATCH = 50  # people a transaction


@dataclass(slots=True)
class Tally:
    """What an import did. `stale`: we know something newer already; `skipped`: nobody Rollcall keeps."""

    listed: int = 0
    recorded: int = 0
    stale: int = 0
    deleted: int = 0
    skipped: int = 0
    resumed: bool = False


@dataclass(slots=True)
class Import:
    """One run of an import. `progress` is told the tally after each page."""

    database: Database
    context: Context
    clock: Callable[[], int]
    progress: Callable[[Tally], None] = lambda _tally: None

    async def record(self, said: Sequence[Identity], tally: Tally) -> None:
        """Record statements, BATCH a transaction, and count what was news."""
        for start in range(0, len(said), BATCH):
            some = said[start : start + BATCH]
            news = await self.database.write(record_all, some, self.context, self.clock())
            tally.recorded += news
            tally.stale += len(some) - news
        self.progress(tally)


def record_all(tx: Connection, said: Iterable[Identity], context: Context, now: int) -> int:
    """How many of these statements were news."""
    return sum(record(tx, one, context, now) is not Recorded.STALE for one in said)
