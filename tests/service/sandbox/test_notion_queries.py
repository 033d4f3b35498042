"""Queries of Notion's stand-in find, sort, page and refuse as the real ones do."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from notion_client import AsyncClient
from notion_client.errors import APIErrorCode, APIResponseError

from service.sandbox import World

Json = dict[str, Any]
Add = Callable[..., Awaitable[Json]]


def text(content: str) -> Json:
    return {"rich_text": [{"text": {"content": content}}]}


async def names(notion: AsyncClient, table: str, **query: Any) -> list[str]:
    answer = await notion.data_sources.query(table, **query)
    return [page["properties"]["Name"]["title"][0]["plain_text"] for page in answer["results"]]


async def test_a_query_walks_all_rows_but_the_trashed_once(notion: AsyncClient, table: str, add: Add) -> None:
    pages = [await add(notion, table, f"P{number:02d}") for number in range(25)]
    await notion.pages.update(pages[0]["id"], in_trash=True)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        part = await notion.data_sources.query(table, page_size=10, start_cursor=cursor)
        seen += [page["id"] for page in part["results"]]
        cursor = part["next_cursor"]
        if not part["has_more"]:
            break
    assert sorted(seen) == sorted(page["id"] for page in pages[1:])
    assert seen != [page["id"] for page in pages[1:]]  # no order was asked for


async def test_a_row_trashed_during_a_walk_hides_no_other(notion: AsyncClient, table: str, add: Add) -> None:
    for number in range(10):
        await add(notion, table, f"P{number}", Level={"number": number})
    sorts = [{"property": "Level", "direction": "ascending"}]
    first = await notion.data_sources.query(table, sorts=sorts, page_size=5)
    await notion.pages.update(first["results"][0]["id"], in_trash=True)
    rest = await names(notion, table, sorts=sorts, start_cursor=first["next_cursor"])
    assert rest == ["P5", "P6", "P7", "P8", "P9"]


async def test_sorting_puts_the_empty_last_both_ways(notion: AsyncClient, table: str, add: Add) -> None:
    for name, level in (("two", 2), ("none", None), ("one", 1), ("zero", 0)):
        await add(notion, table, name, Level={"number": level})
    up = await names(notion, table, sorts=[{"property": "Level", "direction": "ascending"}])
    down = await names(notion, table, sorts=[{"property": "Level", "direction": "descending"}])
    assert up == ["zero", "one", "two", "none"]
    assert down == ["two", "one", "zero", "none"]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ({"property": "Key", "rich_text": {"equals": "user_1"}}, {"Ada"}),
        ({"property": "Key", "rich_text": {"is_empty": True}}, {"Edsger"}),
        ({"property": "Name", "title": {"starts_with": "a"}}, {"Ada"}),
        ({"property": "Email", "email": {"equals": "grace@example.com"}}, {"Grace"}),
        ({"property": "Email", "email": {"contains": "EXAMPLE"}}, {"Ada", "Grace"}),
        ({"property": "Role", "select": {"equals": "admin"}}, {"Ada"}),
        ({"property": "Role", "select": {"does_not_equal": "admin"}}, {"Grace", "Edsger"}),
        ({"property": "Active", "checkbox": {"equals": False}}, {"Grace", "Edsger"}),
        ({"property": "Level", "number": {"greater_than_or_equal_to": 2}}, {"Grace"}),
        ({"property": "Number", "unique_id": {"equals": 3}}, {"Edsger"}),
        ({"property": "Tags", "multi_select": {"contains": "x"}}, {"Ada"}),
        ({"property": "When", "date": {"on_or_after": "2026-07-02"}}, {"Grace"}),
        ({"property": "When", "date": {"equals": "2026-07-01T09:00:30Z"}}, {"Ada"}),
        ({"property": "When", "date": {"before": "2026-07-02"}}, {"Ada"}),
        ({"property": "Final", "formula": {"string": {"equals": "Ada"}}}, set()),
        ({"timestamp": "created_time", "created_time": {"past_week": {}}}, {"Ada", "Grace", "Edsger"}),
        (
            {
                "or": [
                    {"property": "Level", "number": {"equals": 1}},
                    {"and": [{"property": "Key", "rich_text": {"is_empty": True}}]},
                ]
            },
            {"Ada", "Edsger"},
        ),
    ],
)
async def test_a_filter_finds(notion: AsyncClient, table: str, condition: Json, found: set[str], add: Add) -> None:
    await add(
        notion,
        table,
        "Ada",
        Key=text("user_1"),
        Email={"email": "ada@example.com"},
        Role={"select": {"name": "admin"}},
        Active={"checkbox": True},
        Level={"number": 1},
        Tags={"multi_select": [{"name": "x"}]},
        When={"date": {"start": "2026-07-01T09:00:00Z"}},
    )
    grace = {"Email": {"email": "grace@example.com"}, "Level": {"number": 2}}
    await add(notion, table, "Grace", Key=text("USER_1"), When={"date": {"start": "2026-07-02"}}, **grace)
    await add(notion, table, "Edsger")
    assert set(await names(notion, table, filter=condition)) == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"page_size": 101}, "body.page_size should be ≤ `100`, instead was `101`"),
        ({"filter": None}, "an object"),
        ({"filter": {"property": "Nope", "email": {"equals": "a"}}}, "Could not find property with name or id: Nope"),
        ({"filter": {"property": "Email", "rich_text": {"equals": "a"}}}, "database property email does not match"),
        ({"filter": {"property": "Email", "email": {"resembles": "a"}}}, "not present"),
        ({"filter": {"property": "Person", "people": {"contains": "a@example.com"}}}, "valid uuid"),
        ({"filter": {"and": [{"or": [{"and": []}]}]}}, "nest one level"),
        ({"sorts": [{"property": "Nope", "direction": "ascending"}]}, "Could not find sort property"),
        ({"sorts": [{"property": "Email"}]}, "direction"),
        ({"start_cursor": "yesterday"}, "start_cursor"),
        ({"in_trash": True}, "body.in_trash should be not present"),
    ],
)
async def test_a_wrong_query_is_refused(notion: AsyncClient, table: str, query: Json, message: str) -> None:
    with pytest.raises(APIResponseError, match=message) as refused:
        await notion.data_sources.query(table, **query)
    assert refused.value.code == APIErrorCode.ValidationError


async def test_a_query_ends_at_its_row_limit_and_says_so(
    world: World, notion: AsyncClient, table: str, add: Add
) -> None:
    world.notion.row_limit = 4
    for number in range(6):
        await add(notion, table, f"P{number}")
    first = await notion.data_sources.query(table, page_size=3)
    assert first["has_more"] is True
    last = await notion.data_sources.query(table, page_size=3, start_cursor=first["next_cursor"])
    assert (len(last["results"]), last["has_more"]) == (1, False)
    assert last["request_status"]["incomplete_reason"] == "query_result_limit_reached"


async def test_archived_rows_need_to_be_asked_for(notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada")
    await notion.request(f"pages/{page['id']}", "PATCH", body={"is_archived": True})
    assert await names(notion, table) == []
    answer = await notion.request(f"data_sources/{table}/query", "POST", body={"is_archived": True})
    assert [row["id"] for row in answer["results"]] == [page["id"]]


async def test_search_finds_data_sources_by_title(notion: AsyncClient, table: str) -> None:
    found = await notion.search(query="peop", filter={"property": "object", "value": "data_source"})
    assert [item["id"] for item in found["results"]] == [table]
