"""Who is on call now, where everybody sees it: a channel's topic, a user group. Read before it is written."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import Connection

from db import people
from db.database import Database
from db.oncall import Duty
from handlers.oncall import asking, settings
from handlers.oncall.asking import Now
from handlers.oncall.hours import local
from handlers.oncall.settings import OnCallSettings
from handlers.registry import Context, Delivered
from handlers.slack.showing import escape
from handlers.slack.typed import unescape

log = structlog.get_logger()

TOPIC, GROUP = "oncall:topic", "oncall:usergroup"  # marks of the sink
LONGEST_TOPIC = 250
OURS = "On call: "  # our part of a topic begins so,
BETWEEN = " | "  # and this is between the parts

Ask = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Standing:
    """`ask` sends one request within the rate limit. `channel`, `usergroup`: None where it is not wanted."""

    def __init__(
        self,
        client: AsyncWebClient,
        context: Context,
        ask: Ask,
        clock: Callable[[], int],
        channel: str | None,
        usergroup: str | None,
    ) -> None:
        self._client = client
        self._context = context
        self._ask = ask
        self._clock = clock
        self._channel = channel
        self._usergroup = usergroup

    async def set_topic(self, database: Database) -> Delivered:
        """While nothing is planned, the topic stays as it is."""
        channel = self._channel
        said = await database.read(sentence, self._context, self._clock()) if channel else None
        if channel is None or said is None:
            return Delivered("nothing")
        found = await self._ask(lambda: self._client.conversations_info(channel=channel))
        held = unescape(str((found["channel"].get("topic") or {}).get("value") or ""))
        wanted = topic(held, said)
        if wanted == held:
            return Delivered("nothing")
        await self._ask(lambda: self._client.conversations_setTopic(channel=channel, topic=wanted))
        return Delivered("topic")

    async def set_group(self, database: Database) -> Delivered:
        """Never emptied: while nobody is on call, or nobody whom Slack knows, whoever was last stays."""
        group = self._usergroup
        wanted = await database.read(accounts, self._context, self._clock()) if group else []
        if group is None or not wanted:
            return Delivered("nothing")
        found = await self._ask(lambda: self._client.usergroups_users_list(usergroup=group))
        if set(found["users"]) == set(wanted):
            return Delivered("nothing")
        await self._ask(lambda: self._client.usergroups_users_update(usergroup=group, users=wanted))
        return Delivered("usergroup")


def accounts(tx: Connection, context: Context, now: int) -> list[str]:
    """The Slack accounts of whoever is on call, overrides honoured."""
    found = set()
    for person in {duty.final_id for duty in asking.who(tx, context, now).on} - {None}:
        row = people.get(tx, person) if person is not None else None
        if row and row.slack_user_id:
            found.add(row.slack_user_id)
        else:
            log.warning("oncall_without_slack", person=person)
    return sorted(found)


def sentence(tx: Connection, context: Context, now: int) -> str | None:
    """Our part of the topic; None while nothing is planned."""
    return said_of(asking.who(tx, context, now), settings.load(tx, context))


def said_of(found: Now, chosen: OnCallSettings) -> str | None:
    following = ", ".join(map(_name, found.next))
    if found.on:
        return OURS + ", ".join(map(_name, found.on)) + (f"; next {following}" if following else "")
    if not found.next:
        return None
    starts = local(found.next[0].planned.starts_at, chosen.tz)
    return f"{OURS}nobody until {starts:%a %Y-%m-%d %H:%M} ({chosen.zone}); next {following}"


def topic(held: str, said: str) -> str:
    """The topic with our part in it; what people wrote beside it stays, as far as there is room."""
    theirs = [part for part in held.split(BETWEEN) if part and not part.startswith(OURS)]
    room = LONGEST_TOPIC - sum(len(BETWEEN) + len(escape(part)) for part in theirs)
    ours = said if len(escape(said)) <= room else said.partition("; next ")[0]
    whole = BETWEEN.join([ours, *theirs])
    while len(escape(whole)) > LONGEST_TOPIC:
        whole = whole[: -1 - (len(escape(whole)) - LONGEST_TOPIC) // 6].rstrip()
    return whole


def _name(duty: Duty) -> str:
    name = (duty.final_name or "nobody").replace(BETWEEN.strip(), "/")
    return f"{duty.planned.rotation} {name}"
