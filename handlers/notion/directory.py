"""The People directory: its schema, and how a person reads as a Notion page and back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from db import people, user_data
from handlers.pages import Page

Json = dict[str, Any]

TITLE = "Rollcall People"
KEY = "Rollcall key"
ROLES = ("admin", "member")
STATUSES = ("active", "inactive", "banned", "locked")
TEXT_LIMIT = 2000  # Notion's, for one text

# name -> Notion's property type
SCHEMA = {
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
}
OPTIONS = {"Role": ROLES, "Status": STATUSES}
EMAIL_LIMIT = 200  # Notion's


def wanted_properties() -> Json:
    """The schema as `databases.create` takes it."""
    return {name: {kind: _config(name)} for name, kind in SCHEMA.items()}


def _config(name: str) -> Json:
    return {"options": [{"name": option} for option in OPTIONS[name]]} if name in OPTIONS else {}


def schema_differences(found: Mapping[str, Any]) -> list[str]:
    """What a data source's properties lack or have otherwise, in words; nothing when it fits (S2.12)."""
    differences = []
    for name, kind in SCHEMA.items():
        has = found.get(name)
        if has is None and kind == "title":
            called = next((other for other, one in found.items() if one.get("type") == kind), "")
            differences.append(f"the title column is called {called!r}; rename it to {name!r} in Notion")
        elif has is None:
            differences.append(f"{name!r} is missing; it must be of type {kind}")
        elif has.get("type") != kind:
            differences.append(f"{name!r} is of type {has.get('type')}; it must be {kind}")
        elif name in OPTIONS:
            options = {option["name"] for option in has[kind].get("options", ())}
            lacking = [option for option in OPTIONS[name] if option not in options]
            differences.extend(f"{name!r} has no option {option!r}" for option in lacking)
    return differences


def missing_properties(found: Mapping[str, Any]) -> Json:
    """What can be added without touching anything that is there."""
    return {name: config for name, config in wanted_properties().items() if name not in found}


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


def to_properties(key: str, page: Page) -> Json:
    """As pages.create and pages.update take it."""
    return {name: _to_value(SCHEMA[name], value) for name, value in {**page, KEY: key}.items()}


def _to_value(kind: str, value: str | None) -> Json:
    if kind in ("title", "rich_text"):
        return {kind: [{"text": {"content": value}}] if value else []}
    if kind == "people":
        return {kind: [{"object": "user", "id": value}] if value else []}
    if kind == "select":
        return {kind: {"name": value} if value else None}
    return {kind: value}


def from_properties(properties: Mapping[str, Any]) -> tuple[str | None, Page]:
    """Our key and the page, from what Notion reads back."""
    page = {name: _from_value(properties.get(name) or {}) for name in SCHEMA}
    return page.pop(KEY), page


def _from_value(value: Mapping[str, Any]) -> str | None:
    kind = value.get("type")
    inner = value.get(kind) if kind else None
    if not inner:
        return None
    if kind in ("title", "rich_text"):
        return "".join(part.get("plain_text", "") for part in inner) or None
    if kind == "people":
        return str(inner[0]["id"]) if len(inner) == 1 else ",".join(sorted(one["id"] for one in inner))
    return str(inner["name"] if kind == "select" else inner)
