"""Commands, buttons and windows, dispatched by Slack's Bolt.

The door (service/interactions.py) has verified and read a request before Bolt is given it; so none of Bolt's own
guards is on: they read unverified bytes, ask Slack who we are in every process, and drop what they cannot authorise.
Listeners are awaited before the answer is sent: nothing is left to a task that nobody waits for.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse

from db.database import Unavailable
from handlers.oncall.desk import Desk
from handlers.registry import Refused, SinkDown, Throttled
from handlers.slack import blocks, confirming
from handlers.slack.api import call, web_client
from handlers.slack.blocks import Json
from handlers.slack.forms import Command, Form, Pressed, Submission
from handlers.slack.turns import TooSlow, Turn, commanded, pressed, sentence_of, submitted, update

log = structlog.get_logger()
T = TypeVar("T")
Ack = Callable[..., Awaitable[BoltResponse]]

ANSWER_S = 2.5  # Slack shows an error of its own after 3 s
OPEN_TIMEOUT_S = 2
ANYTHING = re.compile(".*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answered:
    """What Slack is answered: JSON, or nothing."""

    status: int
    body: str
    outcome: str


class Surface:
    """The app as people meet it. Holds no database: each request brings the desk it is served at."""

    def __init__(self, token: str, base_url: str) -> None:
        async def authorize(team_id: str | None, enterprise_id: str | None) -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=token)

        quiet = logging.getLogger("rollcall.bolt")
        quiet.setLevel(logging.CRITICAL)  # it logs bodies, with what people typed; what failed is logged by us
        self._late: set[asyncio.Task[Any]] = set()
        # With a client and an empty secret, or else Bolt takes both from the environment.
        self._app = AsyncApp(
            logger=quiet,
            name="rollcall",
            client=web_client(None, base_url, OPEN_TIMEOUT_S),
            signing_secret="",
            authorize=authorize,
            process_before_response=True,
            request_verification_enabled=False,
            ssl_check_enabled=False,
            url_verification_enabled=False,
            ignoring_self_events_enabled=False,
            attaching_function_token_enabled=False,
        )
        self._app.command(ANYTHING)(self._command)
        self._app.view_submission(ANYTHING)(self._submission)
        self._app.block_action(ANYTHING)(self._pressed)
        self._app.error(_broken)

    async def dispatch(self, form: Form, desk: Desk, now: int) -> Answered:
        """The answer to one request that is known to be Slack's."""
        turn = Turn(desk, now)
        # As from a socket, Bolt takes a body that is parsed already; it would misread a text with "payload" in it.
        request = AsyncBoltRequest(body=form.body, mode="socket_mode", context={"turn": turn})
        response = await self._app.async_dispatch(request)
        return Answered(response.status, response.body or "", turn.outcome)

    async def _command(self, ack: Ack, body: Json, context: Json, client: Any) -> None:
        turn: Turn = context["turn"]
        try:
            answer = await self._within(commanded(turn, Command.model_validate(body), client))
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever typed gets a sentence
            answer = blocks.sentence(sentence_of(turn, error))
        await ack(answer or "")

    async def _submission(self, ack: Ack, body: Json, context: Json) -> None:
        turn: Turn = context["turn"]
        sent = Submission.model_validate(body)
        try:
            answer = await self._within(submitted(turn, sent))
        except Exception as error:  # noqa: BLE001 - as above
            said = sentence_of(turn, error)
            again = isinstance(error, Unavailable) and sent.view.callback_id == confirming.CONFIRM
            answer = update(confirming.once_more(sent, said) if again else blocks.told("Not done", said))
        await ack(answer)

    async def _pressed(self, ack: Ack, body: Json, context: Json, client: Any) -> BoltResponse:
        turn: Turn = context["turn"]
        press = Pressed.model_validate(body)
        try:
            await self._within(pressed(turn, press, client))
        except Exception as error:  # noqa: BLE001 - as above; a press is answered by a window, or by nothing
            view = blocks.told("Not possible", sentence_of(turn, error))
            try:
                await call(client.views_open(trigger_id=press.trigger_id, view=view))
            except (SinkDown, Throttled, Refused):
                return BoltResponse(status=503)  # then at least Slack shows a warning at the button
        return await ack()

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait as long as Slack does. What takes longer is finished, and its end is in the log."""
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task}, timeout=ANSWER_S)
        if done:
            return task.result()
        self._late.add(task)
        task.add_done_callback(self._finished)
        raise TooSlow

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._late.discard(task)
        error = None if task.cancelled() else task.exception()
        log.warning("interaction_late", error=type(error).__name__ if error else None)


async def _broken(error: Exception) -> None:
    """What went wrong outside of a listener, or in acknowledging: Bolt answers 500."""
    log.error("interaction_failed", error=type(error).__name__, exc_info=error)
