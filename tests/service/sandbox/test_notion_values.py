"""Property values are refused, bent and read back as Notion does it."""

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


async def test_text_reads_back_with_plain_text_and_annotations(notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada", Key=text("user_1"))
    prop = page["properties"]["Key"]
    assert prop["type"] == "rich_text"
    assert prop["rich_text"][0]["plain_text"] == "user_1"
    assert prop["rich_text"][0]["annotations"]["color"] == "default"
    assert prop["id"] != "Key"


async def test_empty_values_have_the_shapes_notion_gives_them(notion: AsyncClient, table: str) -> None:
    page = await notion.pages.create(parent={"type": "data_source_id", "data_source_id": table}, properties={})
    values = {name: prop[prop["type"]] for name, prop in page["properties"].items()}
    assert values["Name"] == values["Key"] == values["Tags"] == values["Person"] == []
    assert values["Email"] is values["Role"] is values["When"] is values["Level"] is None
    assert values["Active"] is False
    assert values["Number"] == {"prefix": "P", "number": 1}
    assert list(page["properties"])[-1] == "Name"


async def test_null_clears_what_was_written(notion: AsyncClient, table: str, add: Add) -> None:
    full = {"Email": {"email": "a@example.com"}, "Role": {"select": {"name": "admin"}}}
    page = await add(notion, table, "Ada", **full)
    page = await notion.pages.update(
        page["id"], properties={"Email": {"email": None}, "Role": {"select": None}, "Key": {"rich_text": []}}
    )
    assert page["properties"]["Email"]["email"] is None
    assert page["properties"]["Role"]["select"] is None


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"Nickname": {"email": None}}, "Nickname is not a property that exists."),
        ({"Email": {"rich_text": []}}, "Email is expected to be email."),
        ({"Email": {"type": "url", "email": "a@example.com"}}, "Email is expected to be email."),
        ({"Email": {"email": ""}}, "populated"),
        ({"Email": {"email": "a" * 201}}, "≤ `200`"),
        ({"Email": {"email": 7}}, "a populated string"),
        ({"Phone": {"phone_number": "1" * 201}}, "≤ `200`"),
        ({"Home": {"url": "https://example.com/" + "a" * 2000}}, "≤ `2000`"),
        ({"Key": {"rich_text": "plain"}}, "should be an array"),
        ({"Key": {"rich_text": None}}, "should be an array"),
        ({"Key": {"rich_text": [{"text": {"content": "a" * 2001}}]}}, "≤ `2000`, instead was `2001`"),
        ({"Key": {"rich_text": [{"text": {"content": "a"}}] * 101}}, "≤ `100`"),
        ({"Role": {"select": {"name": "admin, member"}}}, "commas not allowed"),
        ({"Role": {"select": "admin"}}, "an object"),
        ({"Stage": {"status": {"name": "Nowhere"}}}, "does not exist"),
        ({"Active": {"checkbox": "yes"}}, "a boolean"),
        ({"Level": {"number": "7"}}, "a number"),
        ({"When": {"date": {"start": "tomorrow"}}}, "ISO 8601"),
        ({"When": {"date": {"start": "2026-07-02", "end": "2026-07-01"}}}, "before"),
        ({"When": {"date": {"start": "2026-07-02T09:00:00", "time_zone": "Mars/Base"}}}, "time zone"),
        ({"Final": {"formula": {"string": "Ada"}}}, "cannot be written"),
        ({"Number": {"unique_id": {"number": 7}}}, "cannot be written"),
    ],
)
async def test_a_wrong_value_is_refused_and_nothing_is_written(
    world: World, notion: AsyncClient, table: str, properties: Json, message: str, add: Add
) -> None:
    page = await add(notion, table, "Ada", Level={"number": 1})
    before = world.notion.writes
    with pytest.raises(APIResponseError, match=message) as refused:
        await notion.pages.update(page["id"], properties={"Level": {"number": 2}} | properties)
    assert (refused.value.status, refused.value.code) == (400, APIErrorCode.ValidationError)
    assert world.notion.rows(table)[0]["Level"] == 1
    assert world.notion.writes == before


async def test_an_unknown_select_option_comes_to_life(notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada", Role={"select": {"name": "owner"}})
    schema = (await notion.data_sources.retrieve(table))["properties"]["Role"]["select"]["options"]
    assert [option["name"] for option in schema] == ["admin", "member", "owner"]
    assert page["properties"]["Role"]["select"]["id"] == schema[-1]["id"]


async def test_a_refused_page_leaves_no_option_behind(notion: AsyncClient, table: str, add: Add) -> None:
    with pytest.raises(APIResponseError):
        await add(notion, table, "Ada", Role={"select": {"name": "owner"}}, Level={"number": "x"})
    schema = (await notion.data_sources.retrieve(table))["properties"]["Role"]["select"]["options"]
    assert [option["name"] for option in schema] == ["admin", "member"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            {"start": "2026-06-27T17:57:32", "time_zone": "Europe/London"},
            {"start": "2026-06-27T17:57:00.000+01:00", "end": None, "time_zone": None},
        ),
        (
            {"start": "2024-01-08T12:00:59Z", "end": "2024-01-08T13:00:00Z"},
            {"start": "2024-01-08T12:00:00.000+00:00", "end": "2024-01-08T13:00:00.000+00:00", "time_zone": None},
        ),
        ({"start": "2026-07-01"}, {"start": "2026-07-01", "end": None, "time_zone": None}),
    ],
)
async def test_dates_lose_their_seconds_and_their_zone(
    notion: AsyncClient, table: str, written: Json, read: Json, add: Add
) -> None:
    page = await add(notion, table, "Ada", When={"date": written})
    assert page["properties"]["When"]["date"] == read


async def test_a_body_above_500_kilobytes_is_refused(notion: AsyncClient, table: str, add: Add) -> None:
    heavy = {"rich_text": [{"text": {"content": "ä" * 2000}}] * 90}
    with pytest.raises(APIResponseError, match=r"body\.length"):
        await add(notion, table, "Ada", Key=heavy | {"id": "x" * 200_000})
