"""The demo's second act: a team gets a schedule, two ask for changes in Slack, and Notion's calendar follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from db import oncall, people
from db.database import Database
from db.oncall import Duty
from handlers.notion.calendar import Calendars
from handlers.notion.calendar_cycle import look, shift_pages
from handlers.notion.comparing import Comparison
from handlers.oncall.desk import Desk
from handlers.oncall.requests import Replan
from handlers.people.enrolling import enroll
from handlers.people.roster import Entry
from handlers.registry import Context
from service import platforms
from service.clock import now_ms
from service.sandbox.senders import Door
from service.sandbox.slack import Slack
from service.sandbox.slack_hand import Hand
from service.settings import Settings

TEAM = ("AM", "AM", "AM", "PM", "PM", "PM", "PM")  # the pools of the first people who are in Slack too
FURTHER = timedelta(days=120)  # beyond any horizon


class Unasked(Exception):
    """Something in Slack did not go as it should; the message says what was typed and what came back."""


@dataclass(slots=True)
class Team:
    """Who is on call, and a way to see the schedule."""

    database: Database
    context: Context
    slack: Slack
    client: httpx.AsyncClient
    door: Door
    members: list[dict[str, Any]]

    @classmethod
    async def gather(
        cls, database: Database, context: Context, slack: Slack, client: httpx.AsyncClient, door: Door
    ) -> "Team":
        """A roster of the first people who have an address and a Slack account, and their schedule."""
        found = await database.read(people.page)
        members = [one for one in found if one["email"] and one["slack_user_id"] and one["status"] == "active"]
        members = members[: len(TEAM)]
        pools = zip(members, TEAM, strict=False)
        entries = [Entry(one["email"], (pool,), one["name"]) for one, pool in pools]
        await database.write(enroll, entries, context, now_ms())
        await Desk(database, context).confirm(Replan(), None, now_ms())
        return cls(database, context, slack, client, door, members)

    async def duties(self) -> Sequence[Duty]:
        """Every shift after today."""
        today = datetime.fromtimestamp(now_ms() / 1000, UTC).date()
        tomorrow = today + timedelta(days=1)
        return await self.database.read(oncall.between, self.context.workspace_id, tomorrow, today + FURTHER)

    async def ask(self, member: dict[str, Any], text: str) -> str:
        """Type `/oncall …`, read the window, confirm; returns what it said would happen. Raises Unasked."""
        hand = Hand(self.slack, self.client, self.door, member["slack_user_id"])
        said = await hand.type("/oncall", text)
        if hand.window is None:
            raise Unasked(f"/oncall {text}: {said.text or said.status}")
        shown = next((line for line in said.text.splitlines() if line.startswith("*")), said.text)
        done = await hand.submit()
        if done.status != httpx.codes.OK or "Done" not in done.text:
            raise Unasked(f"/oncall {text}, confirmed: {done.text or done.status}")
        return shown.strip("* ")

    async def override(self) -> str:
        """Somebody takes the first PM shift of somebody else."""
        duties = await self.duties()
        duty = next(one for one in duties if one.planned.rotation == "PM" and one.final_id is not None)
        busy = {one.final_id for one in duties if one.planned.date == duty.planned.date}
        other = next(one for one in self.members[TEAM.index("PM") :] if one["id"] not in busy)
        owner = next(one for one in self.members if one["id"] == duty.final_id)
        day = duty.planned.date.isoformat()
        said = await self.ask(owner, f"override <@{other['slack_user_id']}|somebody> {day} PM because of a dentist")
        now_on = next(one for one in await self.duties() if one.planned == duty.planned)
        if now_on.final_id != other["id"]:
            raise Unasked(f"the override of {day} PM was confirmed, and is not in the schedule")
        return said

    async def leave(self) -> str:
        """Somebody is away in the week of one of their shifts."""
        duty = next(one for one in reversed(await self.duties()) if one.final_id is not None and not one.override)
        member = next(one for one in self.members if one["id"] == duty.final_id)
        monday = duty.planned.date - timedelta(days=duty.planned.date.weekday())
        first, last = monday.isoformat(), (monday + timedelta(days=6)).isoformat()
        said = await self.ask(member, f"off {first}..{last}")
        away = (monday, monday + timedelta(days=6))
        if any(one.final_id == member["id"] and away[0] <= one.planned.date <= away[1] for one in await self.duties()):
            raise Unasked(f"{first}..{last} is time off now, and a shift is left in it")
        return said


async def compare_calendar(database: Database, settings: Settings, context: Context) -> Comparison:
    """Every shift beside its page."""
    assert settings.calendar is not None
    api = platforms.notion_api(settings, database, patient=True)
    try:
        kind = await shift_pages(database, api, Calendars(*settings.calendar), context, now_ms(), whole=True)
        return (await look(database, kind)).comparison
    finally:
        await api.close()
