"""A change through a window: it shows what would happen; confirmed, exactly that is done, once, or it says why not.

The window's id is kept in the inbox in the transaction that changes the schedule: a second press, or Slack sending
the same submission again, finds it there and changes nothing.
"""

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection

from db import inbox
from handlers.oncall.changing import apply
from handlers.oncall.consequence import Consequence
from handlers.oncall.decision import Decision
from handlers.oncall.desk import Apply, Desk
from handlers.oncall.refusal import Changed, Refusal
from handlers.oncall.requests import Request
from handlers.people.linking import SLACK
from handlers.registry import Context
from handlers.slack import blocks, showing
from handlers.slack.blocks import Json
from handlers.slack.callers import caller
from handlers.slack.forms import Submission
from handlers.slack.home import mark_homes

log = structlog.get_logger()

CONFIRM = "confirm"  # callback id of the window
OUTDATED = "This window is from another version of Rollcall: close it, and type the command again."
AGAIN = "This was done already, and only once."


class Kept(BaseModel):
    """What the window remembers: what was asked, and the digest of what was shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Request
    shown: str
    sentence: str


class Twice(Exception):
    """This submission was carried out before; nothing is written."""


async def proposed(desk: Desk, request: Request, now: int) -> Json:
    """The window that asks for confirmation. Raises Refusal and Unavailable."""
    return asking_for(request, await desk.preview(request, now))


def asking_for(request: Request, found: Consequence, before: str = "") -> Json:
    kept = Kept(request=request, shown=found.digest, sentence=found.sentence)
    lines = [f":warning: {showing.escape(before)}"] if before else []
    return _window(kept, [*lines, f"*{showing.escape(found.sentence)}*", *showing.consequence(found)])


def once_more(submission: Submission, sentence: str) -> Json:
    """The same window again, when nobody knows whether it was done."""
    kept = kept_in(submission)
    return _window(kept, [f":warning: {showing.escape(sentence)}", f"*{showing.escape(kept.sentence)}*"])


def _window(kept: Kept, lines: list[str]) -> Json:
    known = kept.model_dump(mode="json", exclude_defaults=False)
    return blocks.window("Confirm the change", blocks.sections(lines), callback=CONFIRM, submit="Confirm", kept=known)


def kept_in(submission: Submission) -> Kept:
    try:
        return Kept.model_validate_json(submission.view.private_metadata)
    except ValidationError:
        raise Refusal(OUTDATED) from None


async def confirmed(desk: Desk, submission: Submission, now: int) -> tuple[str, Json]:
    """What became of it, and the window that says so. Raises Refusal and Unavailable; then nothing was done."""
    kept, key = kept_in(submission), f"view:{submission.view.id}"
    who = await desk.database.read(caller, desk.context, submission.user.id)
    request = kept.request.model_copy(update={"by": who.id})
    if await desk.database.read(_is_done, key):
        return "again", blocks.told("Done", AGAIN)
    try:
        found = await desk.confirm(request, kept.shown, now, once(key, request, who.slack_id))
    except Twice:
        return "again", blocks.told("Done", AGAIN)
    except Refusal as refusal:
        if await desk.database.read(_is_done, key):  # by the other of two presses
            return "again", blocks.told("Done", AGAIN)
        if not isinstance(refusal, Changed):
            raise
        return "changed", asking_for(request, await desk.preview(request, now), str(refusal))
    return "done", blocks.told("Done", f"{found.sentence}.")


def once(key: str, request: Request, slack_id: str) -> Apply:
    """`apply`, with the submission's row in the inbox and the marks of home pages in the same transaction."""

    def run(tx: Connection, context: Context, decision: Decision, now: int) -> bool:
        if not apply(tx, context, decision, now):
            return False
        body = request.model_dump_json(exclude={"reason"}).encode()  # which is kept, and erased, where it is shown
        if not inbox.add(tx, SLACK, key, f"oncall_{request.kind}", body, now):
            raise Twice
        mark_homes(tx, context, decision, slack_id, now)
        return True

    return run


def _is_done(tx: Connection, key: str) -> bool:
    return inbox.find(tx, SLACK, key) is not None
