"""Work that is due at a time: each job is a mark of the sink "clock" that re-arms itself.

So a job has a lease (one process runs it), a log of its attempts, and a line in `rollcall actions list`, like
anything else that is due. A job does a small piece at a time, well within a lease, says when it
goes on, and does no harm when it runs too often.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from db import outbox
from db.database import Database, Unavailable
from db.outbox import Claim
from handlers.alerts import alert
from handlers.registry import Context, Delivered

log = structlog.get_logger()

CLOCK = "clock"
RETRY_MS = 300_000  # after a run that raised
DAY_MS = 86_400_000  # a job that keeps failing alerts once a day


@dataclass(frozen=True, slots=True)
class Job:
    """`run` takes the database and the present time (ms), and returns when the job is due next (ms)."""

    key: str
    run: Callable[[Database, int], Awaitable[int]]


class Schedule:
    """The sink that runs jobs. One that raises is tried again every five minutes: it never dies."""

    name = CLOCK
    concurrency = 1

    def __init__(self, jobs: Iterable[Job], context: Context, clock: Callable[[], int]) -> None:
        self._jobs = {job.key: job for job in jobs}
        self._context = context
        self._clock = clock

    async def deliver(self, database: Database, claim: Claim) -> Delivered:
        job = self._jobs.get(claim.key)
        if job is None:  # another version's, or one that a setting turned off
            return Delivered("nothing")
        now = self._clock()
        try:
            return Delivered("run", again_at=await job.run(database, now))
        except Unavailable:
            raise
        except Exception as error:
            log.exception("job_failed", job=job.key, error=type(error).__name__)
            text = f"The job {job.key} failed ({type(error).__name__}); it is tried every five minutes. See the log."
            await database.write(alert, self._context, f"job:{job.key}:{now // DAY_MS}", text, now)
            return Delivered("failed", again_at=now + RETRY_MS)

    async def close(self) -> None:
        """Nothing to close."""


def arm(tx: Connection, jobs: Iterable[Job], context: Context, now: int) -> None:
    """Every job is due at every start: running one too often changes nothing."""
    for job in jobs:
        outbox.mark(tx, context.workspace_id, (CLOCK,), job.key, now)
