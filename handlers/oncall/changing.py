"""The two use-cases behind everything that changes the schedule: say what would happen, and do exactly that.

    shown = preview(tx, context, request, now)            # in a read
    confirm(tx, context, request, shown.digest, now)      # in a write; Changed if it would do anything else

Both raise Refusal, and then nothing is written. Where planning takes long (many people) it must not hold up the
writer: `Desk` in desk.py does the same with the planning outside of any transaction. Surfaces use that one.
"""

from sqlalchemy import Connection

from db import oncall
from handlers.oncall.consequence import Consequence
from handlers.oncall.deciding import decide
from handlers.oncall.decision import Decision
from handlers.oncall.refusal import Changed
from handlers.oncall.requests import Request
from handlers.oncall.situation import gather
from handlers.oncall.storing import store
from handlers.registry import Context


def preview(tx: Connection, context: Context, request: Request, now: int) -> Consequence:
    """What would happen; nothing does."""
    return decide(gather(tx, context, now), request).consequence


def confirm(tx: Connection, context: Context, request: Request, shown: str | None, now: int) -> Consequence:
    """Do it. `shown`: the digest of the consequence that was confirmed; None where nobody was asked (the clock)."""
    oncall.lock(tx, context.workspace_id)
    decision = decide(gather(tx, context, now), request)
    must_be_as_shown(decision, shown)
    store(tx, context, decision, now)
    return decision.consequence


def must_be_as_shown(decision: Decision, shown: str | None) -> None:
    """Raises Changed where something else would happen than was confirmed."""
    if shown is not None and decision.consequence.digest != shown:
        raise Changed


def apply(tx: Connection, context: Context, decision: Decision, now: int) -> bool:
    """Store a decision that was made outside of this transaction; False when what it rests on has changed since."""
    oncall.lock(tx, context.workspace_id)
    if gather(tx, context, now).digest != decision.before.digest:
        return False
    store(tx, context, decision, now)
    return True
