"""`rollcall notion setup`: each database is created, or verified and each difference named (S2.12)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from handlers.notion.api import Committed, NotionApi
from handlers.notion.table import Table
from handlers.patience import patiently
from handlers.registry import Gone, SinkDown, Unauthorized


@dataclass(frozen=True, slots=True)
class Schema:
    """The data source, and how it differs from what Rollcall writes; no difference: it fits."""

    data_source_id: str
    created: bool = False
    differences: list[str] = field(default_factory=list)
    properties: Mapping[str, Any] = field(default_factory=dict, compare=False)  # as Notion has them


class Unanswered(Exception):
    """A database was asked for and nobody said whether it was made: look for it, never ask again."""


async def create(api: NotionApi, parent_page: str, table: Table) -> Schema:
    """Make this database under this page, unless one of ours is there already.

    Notion has no idempotency keys: where the answer is lost, we look for what was made until it shows.
    """
    there = await patiently(lambda: _find(api, parent_page, table.title))
    if there is not None:
        return await verify(api, there, table)
    try:
        made = await patiently(lambda: _make(api, parent_page, table))
    except Unanswered:
        made = await patiently(lambda: _find_made(api, parent_page, table.title))
    return replace(await verify(api, made, table), created=True)


async def _find(api: NotionApi, parent_page: str, title: str) -> str | None:
    for found in await api.databases_named(title):
        if _under(found, parent_page) and not _trashed(found):
            return str(found["id"])
    return None


async def _make(api: NotionApi, parent_page: str, table: Table) -> str:
    """Raises Throttled where surely nothing was made."""
    try:
        made = await api.create_database(parent_page, table.title, table.wanted_properties())
    except Unauthorized:
        raise
    except (Committed, SinkDown) as lost:
        raise Unanswered from lost
    return str(made["data_sources"][0]["id"])


async def _find_made(api: NotionApi, parent_page: str, title: str) -> str:
    found = await _find(api, parent_page, title)
    if found is None:
        raise SinkDown("Notion did not say whether it made the database, and shows none yet: run this again")
    return found


async def verify(api: NotionApi, data_source_id: str, table: Table) -> Schema:
    """Compare what is there with what Rollcall writes."""
    try:
        found = await patiently(lambda: api.data_source(data_source_id))
    except Gone:
        lost = "it does not exist, or is not shared with the integration: open it in Notion, ..., Connections"
        return Schema(data_source_id, differences=[lost])
    trashed = ["it is in the trash: restore it in Notion"] if _trashed(found) else []
    differences = [*trashed, *table.differences(found["properties"])]
    return Schema(data_source_id, differences=differences, properties=found["properties"])


async def add_missing(api: NotionApi, data_source_id: str, table: Table) -> list[str]:
    """Add the properties and options that are not there at all; returns their names. Nothing that is there changes."""
    try:
        found = await patiently(lambda: api.data_source(data_source_id))
    except Gone:
        return []
    columns = table.missing(found["properties"])
    # There is always a title, and never two: one of another name is for its owner to rename.
    missing = {name: config for name, config in columns.items() if "title" not in config}
    missing |= _with_missing_options(found["properties"], table)
    if missing:
        await patiently(lambda: api.add_properties(data_source_id, missing))
    return sorted(missing)


def _with_missing_options(found: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Selects that lack one of our options, all options named: Notion deletes those that are left out."""
    changed = {}
    for name, wanted in table.options.items():
        has = found.get(name, {}).get("select", {}).get("options")
        if has is None:
            continue
        kept = [{key: option[key] for key in ("id", "name", "color")} for option in has]
        lacking = [{"name": option} for option in wanted if option not in {one["name"] for one in has}]
        if lacking:
            changed[name] = {"select": {"options": kept + lacking}}
    return changed


def _under(data_source: dict[str, Any], parent_page: str) -> bool:
    """Whether the database that holds this data source lies under the page."""
    page: str | None = (data_source.get("database_parent") or {}).get("page_id")
    return page is not None and page.replace("-", "") == parent_page.replace("-", "")


def _trashed(data_source: dict[str, Any]) -> bool:
    return bool(data_source.get("in_trash") or data_source.get("archived"))


def apart(first: Schema, other: Schema, names: tuple[str, str]) -> list[str]:
    """Columns that only one of two data sources has, or has of another type: a page that moves would lose them."""
    here, there = ({name: one.get("type") for name, one in schema.properties.items()} for schema in (first, other))
    return [
        *(f"{name!r} is in {names[0]} and not in {names[1]}; add it there" for name in sorted(here.keys() - there)),
        *(f"{name!r} is in {names[1]} and not in {names[0]}; add it there" for name in sorted(there.keys() - here)),
        *(
            f"{name!r} is of type {here[name]} in {names[0]} and of type {there[name]} in {names[1]}"
            for name in sorted(here.keys() & there)
            if here[name] != there[name]
        ),
    ]
