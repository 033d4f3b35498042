"""The one import for whoever needs people: personas, and what each platform says of them."""

from service.sandbox.people_clerk import (
    INSTANCE_ID,
    Json,
    clerk_deleted,
    clerk_event,
    clerk_session,
    clerk_user,
)
from service.sandbox.people_slack import (
    APP_ID,
    BOT_USER_ID,
    FOREIGN_TEAM_ID,
    TEAM_ID,
    slack_bot,
    slack_deactivated,
    slack_event,
    slack_foreign,
    slack_user,
)
from service.sandbox.personas import Persona, personas

__all__ = [
    "APP_ID",
    "BOT_USER_ID",
    "FOREIGN_TEAM_ID",
    "INSTANCE_ID",
    "TEAM_ID",
    "Json",
    "Persona",
    "clerk_deleted",
    "clerk_event",
    "clerk_session",
    "clerk_user",
    "notion_bot",
    "notion_user",
    "personas",
    "slack_bot",
    "slack_deactivated",
    "slack_event",
    "slack_foreign",
    "slack_user",
]


def notion_user(person: Persona) -> Json:
    """A member as Notion's `GET /v1/users` lists them (with the capability to read addresses)."""
    return {
        "object": "user",
        "id": person.notion_id,
        "type": "person",
        "name": person.name,
        "avatar_url": None,
        "person": {"email": person.email} if person.email else {},
    }


def notion_bot(bot_id: str, name: str) -> Json:
    """An integration: `GET /v1/users` lists it among the people."""
    owner = {"type": "workspace", "workspace": True}
    return {
        "object": "user",
        "id": bot_id,
        "type": "bot",
        "name": name,
        "avatar_url": None,
        "bot": {"owner": owner, "workspace_name": "Example Works"},
    }
