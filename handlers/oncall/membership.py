"""What being on call has to do when people come, change or go: the schedule is planned again soon after (S1.10).

Called by handlers/people in the transaction that records the change; all that happens there is a mark of the clock.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from db import oncall_members, outbox, people
from handlers.oncall.erasure import forget, join
from handlers.oncall.keys import PLAN
from handlers.registry import Context
from handlers.schedule import CLOCK


def rotate(tx: Connection, user_id: int, wanted: Iterable[str], context: Context, now: int) -> None:
    """Put somebody into exactly these rotations."""
    rotations = sorted(wanted)
    if people.rotations(tx, context.workspace_id, [user_id]).get(user_id, []) != rotations:
        people.set_rotations(tx, context.workspace_id, user_id, rotations)
        plan_soon(tx, context, now)


def alter(tx: Connection, user_id: int, context: Context, now: int) -> None:
    """Name, address or status changed: shifts show the first two, and only the active serve."""
    if oncall_members.is_one(tx, user_id):
        plan_soon(tx, context, now)


def depart(tx: Connection, user_id: int, heir: int | None, context: Context, now: int) -> None:
    """The row is about to be deleted: for good, or because `heir` turned out to be the same person."""
    member = oncall_members.is_one(tx, user_id)
    if heir is not None:
        join(tx, user_id, heir)
    else:
        forget(tx, user_id, now)
    if member:
        plan_soon(tx, context, now)


def plan_soon(tx: Connection, context: Context, now: int) -> None:
    """Only what became impossible is given to others; the clock does it, so that nobody waits here."""
    outbox.mark(tx, context.workspace_id, (CLOCK,), PLAN, now)
