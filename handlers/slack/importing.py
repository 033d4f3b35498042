"""`rollcall import slack`: everybody of the team, from users.list (S1.6)."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError
from slack_sdk.web.async_client import AsyncWebClient

from db.identities import Identity
from handlers.patience import patiently
from handlers.people.importing import Import, Tally, body_of, why
from handlers.registry import Malformed, SinkDown, Unauthorized
from handlers.slack.api import call
from handlers.slack.events import identity_of, not_ours
from handlers.slack.payloads import User

log = structlog.get_logger()

PAGE_SIZE = 200  # what Slack recommends at most
SCOPES = ("users:read", "users:read.email")
GRANT = f"give the app {' and '.join(SCOPES)} under OAuth & Permissions > Bot Token Scopes, and reinstall it"
RENEW = "copy SLACK_BOT_TOKEN again from OAuth & Permissions of the app, which must be installed"
TO_DO = {"missing_scope": GRANT} | dict.fromkeys(
    ("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "team_access_not_granted"),
    RENEW,
)


@dataclass(slots=True)
class SlackImport(Import):
    """One run, beside live events and safe to repeat. Bots and other teams are skipped."""

    client: AsyncWebClient = field(kw_only=True)

    async def run(self) -> Tally:
        """Read everybody. Raises SinkDown, Throttled or Refused; Unauthorized says what to do."""
        tally = Tally()
        team = await patiently(lambda: _ask(self.client.auth_test()))
        _must_see_addresses(team)
        cursor = ""
        while True:
            page = await patiently(lambda: _ask(self._page(cursor)))  # noqa: B023 - awaited at once
            await self._record(page["members"], team, tally)
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return tally

    def _page(self, cursor: str) -> Awaitable[Any]:
        return self.client.users_list(cursor=cursor, limit=PAGE_SIZE, include_locale=True)

    async def _record(self, members: list[dict[str, Any]], team: Any, tally: Tally) -> None:
        tally.listed += len(members)
        said = [one for member in members if (one := _identity(member, team))]
        tally.skipped += len(members) - len(said)
        await self.record(said, tally)


async def _ask(request: Awaitable[Any]) -> Any:
    """`call`, where a token or scope that will not do is told apart from a Slack that is down."""
    try:
        return await call(request)
    except SinkDown as down:
        if todo := TO_DO.get(str(down).removeprefix("Slack: ")):
            raise Unauthorized(f"{down}: {todo}") from down
        raise


def _must_see_addresses(answer: Any) -> None:
    """Without users:read.email everybody is listed, but without an address: nobody could be linked to anybody."""
    granted = answer.headers.get("x-oauth-scopes")
    if granted is not None and SCOPES[1] not in granted.split(","):
        raise Unauthorized(f"Slack: addresses cannot be read: {GRANT}")


def _identity(member: dict[str, Any], team: Any) -> Identity | None:
    try:
        user, body = User.model_validate(member), body_of(member)
    except (ValidationError, Malformed) as error:
        log.warning("slack_user_skipped", slack_id=str(member.get("id")), wrong=why(error))
        return None
    if not_ours(user, team.get("team_id"), team.get("enterprise_id")):
        return None
    return identity_of(user, sent_at=0, body=body)
