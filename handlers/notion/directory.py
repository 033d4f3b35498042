"""The People directory: its schema, and how a person reads as a Notion page."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import people, user_data
from handlers.notion.table import KEY, TEXT_LIMIT, Table
from handlers.pages import Page

ROLES = ("admin", "member")
STATUSES = ("active", "inactive", "banned", "locked")
EMAIL_LIMIT = 200  # Notion's

PEOPLE = Table(
    "Rollcall People",
    {
        "Name": "title",
        "E-mail": "email",
        "Title": "rich_text",
        "Time zone": "rich_text",
        "Role": "select",
        "Status": "select",
        "Person": "people",
        "Slack id": "rich_text",
        "Clerk id": "rich_text",
        KEY: "rich_text",
    },
    {"Role": ROLES, "Status": STATUSES},
)


def render(tx: Connection, key: str) -> Page | None:
    """The page of `person:<id>` as it should be now; None when there is no such person."""
    return render_many(tx, [key]).get(key)


def render_many(tx: Connection, keys: list[str]) -> dict[str, Page]:
    ids = [int(key.removeprefix("person:")) for key in keys if key.startswith("person:")]
    found: dict[str, Page] = {}
    for start in range(0, len(ids), people.LONGEST_LIST):
        some = ids[start : start + people.LONGEST_LIST]
        data = user_data.load_many(tx, some, ("profile", "preferences"))
        for user_id, person in people.load(tx, some).items():
            found[f"person:{user_id}"] = page_of(person, data.get(user_id, {}))
    return found


def page_of(person: people.Person, data: Mapping[str, Any]) -> Page:
    return {
        "Name": person.name[:TEXT_LIMIT],
        "E-mail": person.email if person.email and len(person.email) <= EMAIL_LIMIT else None,
        "Title": (data.get("profile", {}).get("title") or "")[:TEXT_LIMIT] or None,
        "Time zone": data.get("preferences", {}).get("timezone"),
        "Role": person.role,
        "Status": person.status,
        "Person": person.notion_person_id,
        "Slack id": person.slack_user_id,
        "Clerk id": person.clerk_id,
    }
