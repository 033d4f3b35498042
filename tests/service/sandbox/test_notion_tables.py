"""Databases, data sources and the moving of pages between them keep Notion's rules."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from notion_client import AsyncClient
from notion_client.errors import APIResponseError

from service.sandbox import World

Json = dict[str, Any]
Add = Callable[..., Awaitable[Json]]


def text(content: str) -> Json:
    return {"rich_text": [{"text": {"content": content}}]}


async def second_table(notion: AsyncClient, table: str, properties: Json) -> str:
    database_id = (await notion.data_sources.retrieve(table))["parent"]["database_id"]
    source: Json = await notion.data_sources.create(
        parent={"type": "database_id", "database_id": database_id}, properties=properties
    )
    return str(source["id"])


async def test_a_moved_page_keeps_its_id_and_the_columns_both_sides_share(
    world: World, notion: AsyncClient, table: str, add: Add
) -> None:
    past = await second_table(notion, table, {"Who": {"title": {}}, "Key": {"rich_text": {}}, "Role": {"select": {}}})
    page = await add(notion, table, "Ada", Key=text("k"), Role={"select": {"name": "admin"}}, Level={"number": 3})
    moved = await notion.pages.move(page["id"], parent={"type": "data_source_id", "data_source_id": past})
    assert moved["id"] == page["id"]
    assert world.notion.rows(past) == [{"Who": "Ada", "Key": "k", "Role": "admin"}]
    assert world.notion.rows(table) == []


@pytest.mark.parametrize(
    ("lost", "kept"),
    [
        (frozenset({"Key"}), {"Who": "Ada", "Key": "", "Role": "admin"}),
        (frozenset({"Who", "Role"}), {"Who": "", "Key": "k", "Role": None}),
        (None, {"Who": "", "Key": "", "Role": None}),
    ],
)
async def test_a_move_loses_the_columns_it_is_told_to(
    world: World, notion: AsyncClient, table: str, add: Add, lost: frozenset[str] | None, kept: Json
) -> None:
    """What the real one carries over is not documented: whoever relies on it should fail here."""
    past = await second_table(notion, table, {"Who": {"title": {}}, "Key": {"rich_text": {}}, "Role": {"select": {}}})
    page = await add(notion, table, "Ada", Key=text("k"), Role={"select": {"name": "admin"}})
    world.notion.store.lost_in_moves = lost
    await notion.pages.move(page["id"], parent={"type": "data_source_id", "data_source_id": past})
    assert world.notion.rows(past) == [kept]


async def test_a_repeated_move_is_refused(notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada")
    with pytest.raises(APIResponseError, match="New parent must be different from the current parent"):
        await notion.pages.move(page["id"], parent={"type": "data_source_id", "data_source_id": table})


async def test_a_trashed_page_cannot_be_moved(world: World, notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada")
    await notion.pages.update(page["id"], in_trash=True)
    with pytest.raises(APIResponseError, match="in trash and cannot be moved"):
        await notion.pages.move(page["id"], parent={"page_id": world.notion.parent_page_id})


async def test_a_page_cannot_be_moved_below_itself(world: World, notion: AsyncClient) -> None:
    outer = await notion.pages.create(parent={"page_id": world.notion.parent_page_id}, properties={"title": []})
    inner = await notion.pages.create(parent={"page_id": outer["id"]}, properties={"title": []})
    for target in (outer["id"], inner["id"]):
        with pytest.raises(APIResponseError, match="descendants"):
            await notion.pages.move(outer["id"], parent={"page_id": target})


async def test_properties_belong_into_the_initial_data_source(world: World, notion: AsyncClient) -> None:
    body = {"parent": {"page_id": world.notion.parent_page_id}, "properties": {"Name": {"title": {}}}}
    with pytest.raises(APIResponseError, match=r"body\.properties should be not present"):
        await notion.request("databases", "POST", body=body)


async def test_a_database_names_its_data_sources(notion: AsyncClient, table: str) -> None:
    database_id = (await notion.data_sources.retrieve(table))["parent"]["database_id"]
    await notion.databases.update(database_id, title=[{"text": {"content": "Directory"}}])
    database = await notion.databases.retrieve(database_id)
    assert database["data_sources"] == [{"id": table, "name": "People"}]
    assert database["title"][0]["plain_text"] == "Directory"


async def test_columns_are_added_renamed_and_deleted(world: World, notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada", Email={"email": "a@example.com"}, Level={"number": 3})
    source = await notion.data_sources.update(
        table, properties={"Email": {"name": "Address"}, "Level": None, "Title": {"rich_text": {}}}
    )
    assert {"Address", "Title"} < source["properties"].keys()
    assert "Level" not in source["properties"]
    seen = (await notion.pages.retrieve(page["id"]))["properties"]
    assert seen["Address"]["email"] == "a@example.com"
    with pytest.raises(APIResponseError, match="Email is not a property that exists"):
        await notion.pages.update(page["id"], properties={"Email": {"email": None}})


async def test_the_title_stays_the_only_one(notion: AsyncClient, table: str) -> None:
    changes: tuple[Json, ...] = ({"Name": None}, {"Other": {"title": {}}}, {"Name": {"rich_text": {}}})
    for change in changes:
        with pytest.raises(APIResponseError, match="title"):
            await notion.data_sources.update(table, properties=change)


async def test_a_page_read_stops_at_25_relations_and_the_property_does_not(
    notion: AsyncClient, table: str, add: Add
) -> None:
    relation = {"relation": {"data_source_id": table, "single_property": {}}}
    team = await second_table(notion, table, {"Name": {"title": {}}, "Members": relation})
    members = [{"id": (await add(notion, table, f"P{number}"))["id"]} for number in range(30)]
    page = await add(notion, team, "Platform", Members={"relation": members})
    prop = page["properties"]["Members"]
    assert (len(prop["relation"]), prop["has_more"]) == (25, True)
    first = await notion.pages.properties.retrieve(page["id"], prop["id"], page_size=20)
    rest = await notion.pages.properties.retrieve(page["id"], prop["id"], start_cursor=first["next_cursor"])
    assert [item["relation"] for item in first["results"] + rest["results"]] == members
    with pytest.raises(APIResponseError, match="not in the related data source"):
        await notion.pages.update(page["id"], properties={"Members": {"relation": [{"id": page["id"]}]}})


async def test_an_option_left_out_is_deleted_from_pages_too(
    world: World, notion: AsyncClient, table: str, add: Add
) -> None:
    await add(notion, table, "Ada", Role={"select": {"name": "member"}})
    await notion.data_sources.update(table, properties={"Role": {"select": {"options": [{"name": "admin"}]}}})
    assert world.notion.rows(table)[0]["Role"] is None


async def test_a_property_id_serves_as_a_name(notion: AsyncClient, table: str, add: Add) -> None:
    page = await add(notion, table, "Ada")
    email_id = page["properties"]["Email"]["id"]
    seen = await notion.pages.update(page["id"], properties={email_id: {"email": "a@example.com"}})
    assert seen["properties"]["Email"]["email"] == "a@example.com"
    only = await notion.pages.retrieve(page["id"], filter_properties=[email_id])
    assert list(only["properties"]) == ["Email"]
    item = await notion.pages.properties.retrieve(page["id"], email_id)
    assert item["email"] == "a@example.com"
