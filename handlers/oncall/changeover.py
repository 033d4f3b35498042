"""Says when somebody else may be on call: what shows the present one elsewhere is marked then, and hourly besides."""

from collections.abc import Iterable

from sqlalchemy import Connection

from db import outbox
from db.database import Database
from handlers.oncall import asking
from handlers.oncall.keys import CHANGEOVER
from handlers.registry import Context
from handlers.schedule import Job

HOUR_MS = 3_600_000


def changeover(context: Context, sink: str, keys: Iterable[str]) -> Job:
    """Marks these keys of the sink. A change of the schedule makes the job due at once."""
    wanted = tuple(keys)

    async def run(database: Database, now: int) -> int:
        return await database.write(_change_over, context, sink, wanted, now)

    return Job(CHANGEOVER, run)


def _change_over(tx: Connection, context: Context, sink: str, keys: tuple[str, ...], now: int) -> int:
    outbox.mark_many(tx, context.workspace_id, sink, keys, now)
    following = asking.next_change(tx, context, now)
    return min(following or now + HOUR_MS, now + HOUR_MS)
