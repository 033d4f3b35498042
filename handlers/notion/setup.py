"""`rollcall notion setup`: the People database is created, or verified and each difference named (S2.12)."""

from dataclasses import dataclass, field
from typing import Any

from handlers.notion.api import NotionApi
from handlers.notion.directory import TITLE, missing_properties, schema_differences, wanted_properties
from handlers.patience import patiently
from handlers.registry import Gone


@dataclass(frozen=True, slots=True)
class Schema:
    """The data source, and how it differs from what Rollcall writes; no difference: it fits."""

    data_source_id: str
    created: bool = False
    differences: list[str] = field(default_factory=list)


async def create(api: NotionApi, parent_page: str) -> Schema:
    """Make the People database under this page, unless one of ours is there already.

    Not repeated by itself on failure: Notion has no idempotency keys, so the next call looks first.
    """
    for found in await patiently(lambda: api.databases_named(TITLE)):
        if _under(found, parent_page):
            return await verify(api, found["id"])
    made = await api.create_database(parent_page, TITLE, wanted_properties())
    return Schema(str(made["data_sources"][0]["id"]), created=True)


async def verify(api: NotionApi, data_source_id: str) -> Schema:
    """Compare what is there with what Rollcall writes."""
    try:
        found = await patiently(lambda: api.data_source(data_source_id))
    except Gone:
        lost = "it does not exist, or is not shared with the integration: open it in Notion, ..., Connections"
        return Schema(data_source_id, differences=[lost])
    return Schema(data_source_id, differences=schema_differences(found["properties"]))


async def add_missing(api: NotionApi, data_source_id: str) -> list[str]:
    """Add the properties that are not there at all; returns their names. Nothing that is there is touched."""
    found = await patiently(lambda: api.data_source(data_source_id))
    missing = missing_properties(found["properties"])
    if missing:
        await patiently(lambda: api.add_properties(data_source_id, missing))
    return sorted(missing)


def _under(data_source: dict[str, Any], parent_page: str) -> bool:
    """Whether the database that holds this data source lies under the page."""
    page: str | None = (data_source.get("database_parent") or {}).get("page_id")
    return page is not None and page.replace("-", "") == parent_page.replace("-", "")
