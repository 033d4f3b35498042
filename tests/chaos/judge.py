"""Compares the end of a run with what the stream alone says it must be: lost, doubled, diverging."""

from collections import Counter
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import text

from service.sandbox.notion import Notion
from service.sandbox.story_oracle import ExpectedPerson
from tests.chaos.sending import Platforms
from tests.stage import in_order, wanted_rows
from tests.transactions import transaction

Rows = list[dict[str, Any]]
COLUMNS = (
    "clerk_id",
    "email",
    "name",
    "first_name",
    "last_name",
    "slack_user_id",
    "notion_person_id",
    "status",
    "role",
)
DATA = "SELECT clerk_id, key, CAST(value AS TEXT) AS value FROM user_data JOIN users ON users.id = user_id"


def look(url: str, sql: str) -> Rows:
    with transaction(url) as tx:
        return [dict(row) for row in tx.execute(text(sql)).mappings()]


def lost(url: str, platforms: Platforms) -> list[Any]:
    """Never acknowledged, or acknowledged and not there, or there and not applied."""
    stored = look(url, "SELECT source, event_id, status FROM webhook_events")
    ids = set(map(_id, stored))
    undone = [row for row in stored if row["status"] in ("failed", "waiting") and _id(row) in platforms.offered]
    return [*(platforms.offered - platforms.acknowledged), *(platforms.acknowledged - ids), *undone]


def doubled(url: str, expected: list[ExpectedPerson]) -> list[Any]:
    """An event stored twice, a sign-in counted twice, a history entry written twice."""
    stored = look(url, "SELECT source, event_id FROM webhook_events")
    found: list[Any] = _repeated(map(_id, stored))
    data = look(url, DATA)
    counts = {row["clerk_id"]: from_json(row["value"]) for row in data if row["key"] == "session_count"}
    found += [
        (person.clerk_id, "session_count", counts.get(person.clerk_id, 0), person.session_count)
        for person in expected
        if counts.get(person.clerk_id, 0) > person.session_count
    ]
    for row in data:
        if row["key"] in ("login_history", "name_history"):
            found += _repeated(to_json(entry) for entry in from_json(row["value"]))
    return found


def diverging_people(url: str, expected: list[ExpectedPerson]) -> list[Any]:
    """Whoever is not as the stream says, with a column or a count."""
    rows = look(url, "SELECT * FROM users")
    held = {row["clerk_id"]: {name: row[name] for name in COLUMNS} for row in rows}
    wanted = {one.clerk_id: {name: getattr(one, name) for name in COLUMNS} for one in expected}
    counts = {row["clerk_id"]: from_json(row["value"]) for row in look(url, DATA) if row["key"] == "session_count"}
    short = [one.clerk_id for one in expected if counts.get(one.clerk_id, 0) != one.session_count]
    return [*(id_ for id_ in held.keys() | wanted.keys() if held.get(id_) != wanted.get(id_)), *short]


def diverging_pages(url: str, notion: Notion, data_source_id: str) -> list[Any]:
    """Where Notion does not show what the database says."""
    with transaction(url) as tx:
        wanted = wanted_rows(tx)
    shown = notion.rows(data_source_id)
    return [] if in_order(shown) == in_order(wanted) else _differences(shown, wanted)


def doubled_pages(notion: Notion, data_source_id: str) -> list[Any]:
    """Keys that have had more than one page, those in the trash included."""
    everything = notion.rows(data_source_id) + notion.rows(data_source_id, trashed=True)
    return _repeated(row["Rollcall key"] for row in everything)


def _id(row: dict[str, Any]) -> tuple[str, str]:
    return row["source"], row["event_id"]


def _differences(shown: Rows, wanted: Rows) -> list[Any]:
    left = [row for row in shown if row not in wanted]
    return [*(("shown", row) for row in left), *(("wanted", row) for row in wanted if row not in shown)]


def _repeated(values: Any) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]
