"""A job runs at its time, again at the next, and outlives its own failures."""

from db.database import Database
from db.outbox import claim
from handlers.registry import Context
from handlers.schedule import DAY_MS, RETRY_MS, Job, Schedule, arm
from service.leases import Attempt, settle
from tests.conftest import Rows

NOW = 1_700_000_000_000
CONTEXT = Context(sinks=frozenset({"slack"}))


class Recorder:
    """A job that notes when it ran; `error` is raised instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ran: list[int] = []
        self.error = error

    async def __call__(self, _database: Database, now: int) -> int:
        self.ran.append(now)
        if self.error:
            raise self.error
        return now + DAY_MS


async def run_due(database: Database, schedule: Schedule, now: int) -> list[str]:
    """Deliver what the clock has due, as the relay does; the operations it came to."""
    done = []
    for one in await database.write(claim, "clock", "token", now, 10):
        delivered = await schedule.deliver(database, one)
        assert await database.write(settle, Attempt(one, probe=False, began_at=now), delivered, now)
        done.append(delivered.operation)
    return done


async def test_a_job_runs_at_the_start_and_then_when_it_said(database: Database) -> None:
    recorder = Recorder()
    jobs = (Job("purge", recorder),)
    await database.write(arm, jobs, CONTEXT, NOW)
    assert await run_due(database, Schedule(jobs, CONTEXT, lambda: NOW), NOW) == ["run"]
    later = Schedule(jobs, CONTEXT, lambda: NOW + DAY_MS)
    assert await run_due(database, later, NOW + DAY_MS - 1) == []
    assert await run_due(database, later, NOW + DAY_MS) == ["run"]
    assert recorder.ran == [NOW, NOW + DAY_MS]


async def test_a_job_that_raises_is_tried_again_and_alerts_once_a_day(database: Database, rows: Rows) -> None:
    jobs = (Job("purge", Recorder(ValueError("no"))),)
    await database.write(arm, jobs, CONTEXT, NOW)
    for moment in (NOW, NOW + RETRY_MS, NOW + 2 * RETRY_MS):
        assert await run_due(database, Schedule(jobs, CONTEXT, lambda: moment), moment) == ["failed"]  # noqa: B023
    assert len(rows("SELECT * FROM sync_actions WHERE sink = 'slack' AND key LIKE 'alert:job:purge:%'")) == 1
    assert rows("SELECT status FROM sync_actions WHERE key = 'purge'") == [{"status": "due"}]


async def test_a_job_nobody_knows_any_more_is_settled(database: Database, rows: Rows) -> None:
    await database.write(arm, (Job("old", Recorder()),), CONTEXT, NOW)
    assert await run_due(database, Schedule((), CONTEXT, lambda: NOW), NOW) == ["nothing"]
    assert rows("SELECT status FROM sync_actions WHERE key = 'old'") == [{"status": "settled"}]
