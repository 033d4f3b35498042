"""What Rollcall sends to Slack by itself.

    a payload with `text`               an alert, to one channel
    a payload with `person` and `text`  a message to one person
    home:<account>                      somebody's home page, as the database says now
    oncall:topic, oncall:usergroup      who is on call now

What concerns one person, or a channel other than the alerts', is that mark's own failure and stops nothing else.
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import structlog
from pydantic_core import to_json

from db import people, sync
from db.database import Database
from db.outbox import Claim
from db.sync import Known
from handlers.people.linking import SLACK
from handlers.registry import Context, Delivered
from handlers.slack.api import TOKEN_ERRORS, Declined, call, web_client
from handlers.slack.home import HOME, render
from handlers.slack.showing import escape
from handlers.slack.standing import GROUP, TOPIC, Standing

log = structlog.get_logger()

NOBODY_THERE = frozenset({"channel_not_found", "is_archived", "user_disabled", "user_not_found", "users_not_found"})

Wait = Callable[[], Awaitable[object]]


class SlackSink:
    """`wait` returns when the next request may be sent; `clock` gives ms UTC.

    `oncall_channel`, `usergroup`: what shows who is on call now; None: nothing does.
    """

    name = SLACK
    concurrency = 1  # about one message a second and channel is what Slack takes

    def __init__(
        self,
        token: str,
        channel: str,
        base_url: str,
        wait: Wait,
        *,
        context: Context | None = None,
        clock: Callable[[], int] = lambda: 0,
        oncall_channel: str | None = None,
        usergroup: str | None = None,
    ) -> None:
        self._channel = channel
        self._wait = wait
        self._context = context or Context()
        self._clock = clock
        self._client = web_client(token, base_url)
        self._standing = Standing(self._client, self._context, self._ask, clock, oncall_channel, usergroup)

    async def deliver(self, database: Database, claim: Claim) -> Delivered:
        if claim.key.startswith(HOME):
            return await self._publish(database, claim)
        if claim.key == TOPIC:
            return await self._standing.set_topic(database)
        if claim.key == GROUP:
            return await self._standing.set_group(database)
        if "person" in claim.payload:
            return await self._tell(database, claim.payload["person"], claim.payload["text"])
        await self._wait()
        await call(self._client.chat_postMessage(channel=self._channel, text=escape(claim.payload["text"])))
        return Delivered("post")

    async def close(self) -> None:
        """Nothing to close: the client opens a connection a request."""

    async def _ask(self, request: Callable[[], Awaitable[Any]]) -> Any:
        """One request that concerns one mark alone."""
        await self._wait()
        return await call(request(), down=TOKEN_ERRORS)

    async def _tell(self, database: Database, person: int, text: str) -> Delivered:
        """S1.7: somebody Slack does not know is a line in the log, never a failure."""
        row = await database.read(people.get, person)
        account = row.slack_user_id if row else None
        if account is None:
            log.warning("message_undeliverable", person=person, reason="no Slack account is known")
            return Delivered("nobody")
        try:
            await self._ask(lambda: self._client.chat_postMessage(channel=account, text=escape(text)))
        except Declined as declined:
            if not _gone(declined):
                raise
            log.warning("message_undeliverable", person=person, reason=str(declined))
            return Delivered("nobody")
        return Delivered("post")

    async def _publish(self, database: Database, claim: Claim) -> Delivered:
        """A home page that shows what it should is left alone."""
        account = claim.key.removeprefix(HOME)
        view = await database.read(render, self._context, account, self._clock())
        digest = sha256(to_json(view)).hexdigest()
        known = await database.read(sync.known, claim.workspace_id, claim.sink, claim.key)
        if known.hash == digest:
            return Delivered("nothing")
        try:
            answer = await self._ask(lambda: self._client.views_publish(user_id=account, view=view))
        except Declined as declined:
            if not _gone(declined):
                raise
            return Delivered("nobody")  # whoever is gone opens no page
        return Delivered("publish", Known(answer["view"]["id"], digest))


def _gone(declined: Declined) -> bool:
    """Whether the account is what is wrong."""
    return declined.code in NOBODY_THERE or (declined.code == "invalid_arguments" and "user_id" in declined.about)
