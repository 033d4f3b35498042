"""`rollcall import slack`: everybody of the team, from users.list (S1.6)."""

from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError
from pydantic_core import to_json
from slack_sdk.web.async_client import AsyncWebClient

from db.identities import Identity
from handlers.patience import patiently
from handlers.people.importing import Import, Tally
from handlers.slack.events import identity_of, not_ours
from handlers.slack.payloads import User
from handlers.slack.sink import call

log = structlog.get_logger()

PAGE_SIZE = 200  # what Slack recommends at most


@dataclass(slots=True)
class SlackImport(Import):
    """One run, beside live events and safe to repeat. Bots and other teams are skipped."""

    client: AsyncWebClient = field(kw_only=True)

    async def run(self) -> Tally:
        tally = Tally()
        team = await patiently(lambda: call(self.client.auth_test()))
        cursor = ""
        while True:
            page = await patiently(lambda: call(self.client.users_list(cursor=cursor, limit=PAGE_SIZE)))  # noqa: B023
            await self._record(page["members"], team, tally)
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return tally

    async def _record(self, members: list[dict[str, Any]], team: Any, tally: Tally) -> None:
        tally.listed += len(members)
        said = [one for member in members if (one := _identity(member, team))]
        tally.skipped += len(members) - len(said)
        await self.record(said, tally)


def _identity(member: dict[str, Any], team: Any) -> Identity | None:
    try:
        user = User.model_validate(member)
    except ValidationError as error:
        fields = [".".join(map(str, one["loc"])) for one in error.errors(include_input=False)]
        log.warning("slack_user_skipped", slack_id=str(member.get("id")), wrong=fields)
        return None
    if not_ours(user, team.get("team_id"), team.get("enterprise_id")):
        return None
    return identity_of(user, sent_at=0, body=to_json(member))
