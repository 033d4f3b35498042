"""PostgreSQL's job queue (procrastinate) wakes the marks: a job a mark, and a sweep for marks whose job was lost.

A job says "look at this mark", no more. The mark's lease alone excludes: a job too many finds nothing to do,
a job too few costs the time until the next sweep. So jobs have no lock, and nothing is kept of those that ended.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import structlog
from procrastinate import App, JobContext, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from psycopg_pool import PoolTimeout
from sqlalchemy import Connection

from db import jobs, outbox
from db.database import Database, Unavailable
from db.jobs import TASK
from db.marked import Due
from handlers.registry import Context, Sink
from service.clock import now_ms
from service.leases import Attempt, take_one
from service.relay import LONGEST_SLEEP_S, STOP_DEADLINE_S, SinkLoop

log = structlog.get_logger()

POLL_S = 0.5  # a job with a time is found by looking; the package's own default is 5 s
SWEEP, SWEEP_MOST = "sweep", 1_000
EVERY_2_S = "* * * * * */2"  # cron, with a sixth field
SWEEP_AT_LEAST_S = 5.0  # the package makes no sweep for a time that the clock has shown already: where it was set back
HEARTBEAT_S = 5.0
STALLED_S = 30.0  # who is silent for longer is dead; far more than a heartbeat, lest the living be taken for it
RESTART_S = 1.0
CONNECTION_S = 5.0  # the pool's own 30 s, while its attempts are ever further apart, outlast what cut the connections
GRACE_S = 2.0  # beyond the deadline, for the package's worker to say how its jobs ended

_deferrer = JobManager(SyncPsycopgConnector())  # never opened: it uses the connections it is given


def defer(tx: Connection, due: Sequence[Due]) -> None:
    """A job for each of these marks, in one statement of this transaction. Rolled back, there is none."""
    now, latest = now_ms(), {(workspace, sink, key): at for workspace, sink, key, at in due}
    made = [
        Job(
            queue=sink,
            lock=None,
            queueing_lock=None,
            task_name=TASK,
            task_kwargs={"workspace": workspace, "key": key},
            scheduled_at=datetime.fromtimestamp(at / 1000, UTC) if at > now else None,
        )
        for (workspace, sink, key), at in latest.items()
    ]
    try:
        _deferrer.batch_defer_jobs(made, connection=tx.connection.driver_connection)
    except ConnectorException as error:  # the writer knows what to do about the true one
        raise error.__cause__ or error from None


class QueueRelay:
    """All sinks of this process, woken by the queue: what `service.relay.Relay` is where there is none."""

    def __init__(
        self,
        database: Database,
        sinks: Iterable[Sink],
        context: Context,
        conninfo: str,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.loops = {sink.name: SinkLoop(database, sink, context, clock) for sink in sinks}
        self._database = database
        self._clock = clock
        self._stopping = asyncio.Event()
        self._swept_at = 0.0
        self._serving: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        connections = sum(loop.sink.concurrency for loop in self.loops.values()) + len(self.loops) + 1
        connector = PsycopgConnector(
            conninfo=conninfo,
            min_size=1,
            max_size=connections,
            timeout=CONNECTION_S,
            reconnect_timeout=CONNECTION_S,
        )
        self._app = App(connector=connector)
        self._app.task(name=TASK, pass_context=True)(self._deliver)
        self._app.periodic(cron=EVERY_2_S)(self._app.task(name=SWEEP, queue=SWEEP)(self._sweep))

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run())]

    async def stop(self, deadline_s: float) -> None:
        """Take no more jobs, finish what is under way within the deadline, close the connections."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s + GRACE_S)
        await asyncio.gather(*(loop.sink.close() for loop in self.loops.values()))

    @property
    def alive(self) -> bool:
        """Whether jobs of every sink, and sweeps, are being taken."""
        return self._serving == {*self.loops, SWEEP}

    # -- the jobs --

    async def _deliver(self, context: JobContext, workspace: int, key: str) -> None:
        """One job: look at this mark until it is delivered, or until there is nothing to do for it."""
        loop = self.loops[str(context.job.queue)]
        try:
            while not self._stopping.is_set():
                await loop.allow_for_the_clock()
                look = await self._database.write(take_one, workspace, loop.sink.name, key, uuid4().hex, self._clock())
                if look.claim:
                    return await loop.deliver(Attempt(look.claim, look.probe, self._clock()))
                if look.again_at is None:
                    return None
                await self._rest((look.again_at - self._clock()) / 1000)
            # Somebody else goes on, at once.
            await self._database.write(outbox.wake, workspace, loop.sink.name, key, 0)
        except Unavailable as error:
            log.warning("relay_waits_for_database", sink=loop.sink.name, reason=str(error))  # the sweep finds it again
        return None

    async def _sweep(self, timestamp: int) -> None:
        """Have jobs made for marks that lost theirs; forget jobs of workers that died, and those workers."""
        self._swept_at = time.monotonic()
        try:
            for loop in self.loops.values():
                await loop.allow_for_the_clock()  # before any lease seems to have ended
            found = await self._database.write(jobs.wake_unserved, list(self.loops), self._clock(), SWEEP_MOST)
        except Unavailable as error:
            log.warning("relay_waits_for_database", sink=SWEEP, reason=str(error))
            return
        if found:
            log.info("marks_swept", found=found, at=timestamp)
        manager = self._app.job_manager
        await manager.prune_stalled_workers(STALLED_S)
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
            with contextlib.suppress(ConnectorException):  # somebody else did it
                await manager.finish_job(job, Status.FAILED, delete_job=True)

    async def _sweep_in_any_case(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_AT_LEAST_S)
            if time.monotonic() - self._swept_at >= SWEEP_AT_LEAST_S:
                with contextlib.suppress(ConnectorException):  # whoever serves a queue finds out, and says so
                    await self._sweep(self._clock() // 1000)

    async def _rest(self, seconds: float) -> None:
        """Wait with this job in hand: as long as the sink is shut, others would find nothing else."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), min(max(seconds, 0.001), LONGEST_SLEEP_S))

    # -- the queue's own workers, one a sink and one that sweeps --

    async def _run(self) -> None:
        """Until cancelled; the database may come and go."""
        while True:
            try:
                # The group ends when all have: nobody's connections are closed under a delivery.
                async with self._app.open_async(), asyncio.TaskGroup() as group:
                    for name, loop in self.loops.items():
                        group.create_task(self._serve(name, loop.sink.concurrency))
                    group.create_task(self._serve(SWEEP, 1))
                    group.create_task(self._sweep_in_any_case())
            except (ConnectorException, psycopg.Error, PoolTimeout) as error:
                log.warning("queue_lost", queue="all", reason=str(error))
                await asyncio.sleep(RESTART_S)

    async def _serve(self, queue: str, concurrency: int) -> None:
        """The package's worker ends when its connection drops: it is started again for as long as we live."""
        while True:
            self._serving.add(queue)
            try:
                await self._app.run_worker_async(
                    queues=[queue],
                    name=queue,
                    concurrency=concurrency,
                    fetch_job_polling_interval=POLL_S,
                    listen_notify=queue != SWEEP,
                    delete_jobs="always",
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=STOP_DEADLINE_S,
                    update_heartbeat_interval=HEARTBEAT_S,
                    stalled_worker_timeout=STALLED_S,
                )
                reason = "the worker ended"
            except Exception as error:  # noqa: BLE001 - whatever ended it, marks are still to be delivered
                reason = str(error.__cause__ or error)
            finally:
                self._serving.discard(queue)
            log.warning("queue_lost", queue=queue, reason=reason)
            await asyncio.sleep(RESTART_S)
