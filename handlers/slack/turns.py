"""What a command, a press of a button and the submission of a window lead to, and what is said where they do not."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from db.database import Unavailable
from handlers.oncall.desk import Desk
from handlers.oncall.refusal import Refusal
from handlers.oncall.requests import AnswerSwap, AskSwap
from handlers.registry import Refused, SinkDown, Throttled
from handlers.slack import confirming, swapping
from handlers.slack.api import call
from handlers.slack.blocks import Json
from handlers.slack.callers import caller
from handlers.slack.commands import Window, oncall, rollcall
from handlers.slack.forms import Command, Pressed, Submission
from handlers.slack.home import ANSWERS

log = structlog.get_logger()


class TooSlow(Exception):
    """The work goes on, but Slack waits no longer."""


@dataclass(slots=True)
class Turn:
    """One request on its way. `outcome` is for the log."""

    desk: Desk
    now: int
    outcome: str = "answered"


async def commanded(turn: Turn, said: Command, client: AsyncWebClient) -> Json:
    """The answer to a slash command; empty where a window opened instead."""
    read, context = turn.desk.database.read, turn.desk.context
    if said.command == "/rollcall":
        return await read(rollcall, context, said.user_id, said.text)
    if said.command != "/oncall":
        raise Refusal(f"{said.command} is no command of mine: type /oncall help.")
    answer = await read(oncall, context, said.user_id, said.text, turn.now)
    if isinstance(answer, dict):
        return answer
    view = answer.view if isinstance(answer, Window) else await confirming.proposed(turn.desk, answer, turn.now)
    await open_window(turn, client, said.trigger_id, view)
    return {}


async def pressed(turn: Turn, press: Pressed, client: AsyncWebClient) -> None:
    """Accept, decline or cancel a swap: the window that asks for confirmation."""
    action = press.actions[0]
    if action.action_id not in ANSWERS:
        turn.outcome = "ignored"
        return
    number = action.value or ""
    if not (number.isascii() and number.isdigit() and len(number) < 19):  # noqa: PLR2004 - fits 63 bits
        raise Refusal("This button is from another version of Rollcall: open the page again.")
    who = await turn.desk.database.read(caller, turn.desk.context, press.user.id)
    request = AnswerSwap.model_validate({"by": who.id, "swap": int(number), "answer": ANSWERS[action.action_id]})
    await open_window(turn, client, press.trigger_id, await confirming.proposed(turn.desk, request, turn.now))


async def open_window(turn: Turn, client: AsyncWebClient, trigger_id: str, view: Json) -> None:
    await call(client.views_open(trigger_id=trigger_id, view=view))
    turn.outcome = "opened"


async def submitted(turn: Turn, sent: Submission) -> Json:
    """Slack's `response_action` for a window: what it becomes, or what is wrong with a field of it."""
    step = STEPS.get(sent.view.callback_id)
    if step is None:
        raise Refusal(confirming.OUTDATED)
    return await step(turn, sent)


async def _confirmed(turn: Turn, sent: Submission) -> Json:
    turn.outcome, view = await confirming.confirmed(turn.desk, sent, turn.now)
    return update(view)


async def _offered(turn: Turn, sent: Submission) -> Json:
    read, context = turn.desk.database.read, turn.desk.context
    who = await read(caller, context, sent.user.id)
    try:
        asked = await read(swapping.offered, who, sent.view)
        await turn.desk.preview(asked, turn.now)  # refused now, not two windows later
    except Refusal as refusal:
        return _wrong(turn, "other", refusal)
    return update(await read(swapping.in_return, context, who, asked, turn.now))


async def _returned(turn: Turn, sent: Submission) -> Json:
    who = await turn.desk.database.read(caller, turn.desk.context, sent.user.id)
    asked = AskSwap.model_validate_json(sent.view.private_metadata).model_copy(update={"by": who.id})
    try:
        return update(await confirming.proposed(turn.desk, swapping.returned(sent.view, asked), turn.now))
    except Refusal as refusal:
        return _wrong(turn, "theirs", refusal)


STEPS: dict[str, Callable[[Turn, Submission], Awaitable[Json]]] = {
    confirming.CONFIRM: _confirmed,
    swapping.OFFER: _offered,
    swapping.RETURN: _returned,
}


def update(view: Json) -> Json:
    return {"response_action": "update", "view": view}


def _wrong(turn: Turn, block: str, refusal: Refusal) -> Json:
    turn.outcome = "refused"
    return {"response_action": "errors", "errors": {block: str(refusal)}}


def sentence_of(turn: Turn, error: Exception) -> str:
    """What whoever asked is told, and the outcome in the log."""
    match error:
        case Refusal():
            turn.outcome = "refused"
            return str(error)
        case Unavailable():
            turn.outcome = "busy"
            return "The database is busy. Wait a moment, and try again: a change is done only once."
        case TooSlow():
            turn.outcome = "slow"
            return "This takes longer than Slack waits. Look at /oncall me in a minute before you try again."
        case SinkDown() | Throttled() | Refused():
            turn.outcome = "slack refused"
            log.warning("window_not_opened", reason=str(error))
            return "Slack did not let me open a window; nothing was done. Try again."
    turn.outcome = "failed"
    log.error("interaction_failed", error=type(error).__name__, exc_info=error)
    return "Something went wrong in Rollcall; it is in its log. Look at /oncall me before you try again."
