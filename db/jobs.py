"""Marks and the job queue of PostgreSQL (procrastinate): which marks no job will look at.

The queue's tables are the package's own, made by a migration; this is the only place that reads them.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, text

from db.marked import marked

TASK = "deliver"  # the name of the job that delivers one mark; its queue is the sink

# Marks that are due, with no job that is about to run: it was lost with a process, or nobody made one.
UNSERVED = text(f"""
SELECT a.workspace_id, a.sink, a.key, a.available_at
FROM sync_actions AS a
WHERE a.status IN ('due', 'leased') AND a.available_at <= :now AND a.sink = ANY(:sinks)
AND NOT EXISTS (SELECT 1 FROM limits AS l WHERE l.name = a.sink AND l.off)
AND NOT EXISTS (
    SELECT 1 FROM procrastinate_jobs AS j
    WHERE j.task_name = '{TASK}' AND j.status = 'todo' AND j.queue_name = a.sink
    AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())
    AND j.args->>'key' = a.key AND (j.args->>'workspace')::bigint = a.workspace_id
)
ORDER BY a.available_at
LIMIT :most
""")  # noqa: S608 - a constant


def wake_unserved(tx: Connection, sinks: Iterable[str], now: int, most: int) -> int:
    """Have a job made for marks that are due and have none; returns for how many."""
    rows = tx.execute(UNSERVED, {"now": now, "sinks": list(sinks), "most": most})
    found = [(row[0], row[1], row[2], row[3]) for row in rows]
    marked(tx, found)
    return len(found)
